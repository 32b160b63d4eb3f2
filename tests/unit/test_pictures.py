"""Pictures as data: URLs: small ones untouched, big ones shrunk until they fit, anything else refused."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from storage.errors import StorageError
from tasks.pictures import MAX_URL_CHARS, data_url


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def decode(url: str) -> tuple[str, Image.Image]:
    head, _, body = url.partition(";base64,")
    return head, Image.open(io.BytesIO(base64.b64decode(body)))


def test_small_picture_is_embedded_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    noise(20, 30).save(path)
    url = data_url(path)
    assert url == "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_big_still_is_shrunk_until_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    noise(700, 900).save(path)
    assert path.stat().st_size > MAX_URL_CHARS
    url = data_url(path)
    assert len(url) < MAX_URL_CHARS
    _, image = decode(url)
    assert image.width / image.height == pytest.approx(900 / 700, rel=0.02)


def test_big_animation_keeps_moving_at_its_pace(tmp_path: Path) -> None:
    path = tmp_path / "dream.gif"
    frames = [noise(128, 144, seed) for seed in range(40)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=30, loop=0)
    url = data_url(path)
    assert len(url) < MAX_URL_CHARS
    head, image = decode(url)
    assert head == "data:image/gif"
    durations = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert len(durations) > 1
    assert set(durations[:-1]) <= {60, 90}  # every second or third frame, shown as long as all of them
    assert image.width in (72, 144)


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(StorageError, match=r"weights\.safetensors.*figures"):
        data_url(path)


def test_damaged_big_picture_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"not a png" * 20_000)
    with pytest.raises(StorageError, match=r"broken\.png.*damaged"):
        data_url(path)
