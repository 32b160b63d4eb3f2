"""The contenders of the storage benchmark: each writes the same episodes and reads random clips of frames.

All are written the way a careful user of that format would: one open file or memory map where the format
allows it, footers parsed once, the fast decoder of the format, no copies beyond what its library makes.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from storage.clips import ClipReader
from storage.records import CodecInfo, DatasetFormat, DatasetInfo, Episode
from storage.shards import write_dataset

ReadFrames = Callable[[int, int, int], np.ndarray]
"""(episode, start, length) -> frames uint8 (length, h, w, 3)."""

WriteFrames = Callable[[Path, list[np.ndarray], list[np.ndarray]], None]
"""(folder, frames of each episode, actions of each episode)."""


@dataclass(frozen=True)
class Contender:
    """A way to store frames. `write` fills a folder, `open` returns the reader; `kind` groups the table."""

    name: str
    kind: str  # "ours", "lossless", "png" or "raw"
    write: WriteFrames
    open: Callable[[Path], ReadFrames]
    is_slow: bool = False


def contenders() -> list[Contender]:
    """Every contender, ours in its default settings first."""
    default = DatasetInfo("flappy", "benchmark", 1, 1, 30.0, ("idle", "flap"))
    small = replace(default, frames_per_chunk=8, codec=CodecInfo("zstd", 3))
    return [
        Contender("worldgen parquet, chunk of 16, zstd-9", "ours", _write_ours(default), _open_ours),
        Contender("worldgen parquet, chunk of 8, zstd-3", "ours", _write_ours(small), _open_ours),
        *(
            Contender(
                f"parquet, frame a row, zstd-3, row groups of {n}", "lossless", _write_rows(n), _open_rows(n)
            )
            for n in (1, 8, 64)
        ),
        Contender("PNG (OpenCV) in parquet", "png", _write_png(_encode_opencv), _open_png, is_slow=True),
        Contender("PNG (Pillow) in parquet", "png", _write_png(_encode_pillow), _open_png, is_slow=True),
        Contender("worldgen npz, deflate", "lossless", _write_ours(default, "npz"), _open_npz, is_slow=True),
        Contender(".pt an episode", "lossless", _write_pt, _open_pt, is_slow=True),
        Contender("raw .npy memory map", "raw", _write_npy, _open_npy),
    ]


def _write_ours(info: DatasetInfo, format: DatasetFormat = "parquet") -> WriteFrames:
    def write(folder: Path, frames: list[np.ndarray], action: list[np.ndarray]) -> None:
        height, width = frames[0].shape[1:3]
        sized = replace(info, height=height, width=width)
        write_dataset(folder, sized, _episodes(frames, action), format=format)

    return write


def _episodes(frames: list[np.ndarray], action: list[np.ndarray]) -> Iterator[Episode]:
    for number, (pixels, actions) in enumerate(zip(frames, action, strict=True)):
        count = np.arange(len(pixels), dtype=np.int64)
        no = np.zeros(len(pixels), np.bool_)
        yield Episode(
            str(number),
            "{}",
            "train",
            np.asarray(pixels),
            actions,
            no.astype(np.float32),
            no,
            no,
            count,
            count,
        )


def _open_ours(folder: Path) -> ReadFrames:
    reader = ClipReader(folder)
    return lambda episode, start, length: reader.read(str(episode), start, length).frames


def _open_npz(folder: Path) -> ReadFrames:
    def read(episode: int, start: int, length: int) -> np.ndarray:
        with np.load(folder / f"episode-{episode:05d}.npz") as arrays:
            return arrays["frames"][start : start + length]

    return read


def _write_rows(rows: int) -> WriteFrames:
    def write(folder: Path, frames: list[np.ndarray], action: list[np.ndarray]) -> None:
        for number, (pixels, actions) in enumerate(zip(frames, action, strict=True)):
            blobs = [frame.tobytes() for frame in pixels]
            table = pa.table({"action": actions, "pixels": pa.array(blobs, pa.large_binary())})
            path = folder / f"{number}.parquet"
            pq.write_table(
                table,
                path,
                row_group_size=rows,
                compression="zstd",
                compression_level=3,
                use_dictionary=False,
                write_statistics=False,
                data_page_size=2**26,  # so that one zstd window sees the whole row group
            )
        np.save(folder / "shape.npy", frames[0].shape[1:])

    return write


def _open_rows(rows: int) -> Callable[[Path], ReadFrames]:
    def open_folder(folder: Path) -> ReadFrames:
        shape = tuple(np.load(folder / "shape.npy"))
        return _row_reader(folder, rows, lambda value: np.frombuffer(value, np.uint8).reshape(shape))

    return open_folder


def _row_reader(folder: Path, rows: int, decode: Callable[[memoryview], np.ndarray]) -> ReadFrames:
    paths = sorted(folder.glob("*.parquet"), key=lambda path: int(path.stem))
    files = [pq.ParquetFile(path, memory_map=True) for path in paths]

    def read(episode: int, start: int, length: int) -> np.ndarray:
        groups = list(range(start // rows, (start + length - 1) // rows + 1))
        table = files[episode].read_row_groups(groups, columns=["pixels"], use_threads=False)
        column = table.column("pixels").slice(start - groups[0] * rows, length)
        values = itertools.chain.from_iterable(_values(chunk) for chunk in column.chunks)
        return np.stack([decode(value) for value in values])

    return read


def _values(array: pa.Array) -> Iterator[memoryview]:
    """The values of a large binary array without copying them."""
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    data = memoryview(array.buffers()[2])
    return (data[a:b] for a, b in itertools.pairwise(offsets))


def _encode_opencv(frame: np.ndarray) -> bytes:
    return cv2.imencode(".png", frame)[1].tobytes()


def _encode_pillow(frame: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame[:, :, ::-1]).save(
        file, "png"
    )  # OpenCV, which decodes it, has its channels reversed
    return file.getvalue()


def _write_png(encode: Callable[[np.ndarray], bytes]) -> WriteFrames:
    def write(folder: Path, frames: list[np.ndarray], action: list[np.ndarray]) -> None:
        for number, (pixels, actions) in enumerate(zip(frames, action, strict=True)):
            blobs = [encode(frame) for frame in pixels]
            pq.write_table(
                pa.table({"action": actions, "pixels": pa.array(blobs, pa.large_binary())}),
                folder / f"{number}.parquet",
                row_group_size=8,
                compression="none",
                use_dictionary=False,
                write_statistics=False,  # else the smallest and largest picture of each row group come twice
            )

    return write


def _open_png(folder: Path) -> ReadFrames:
    def decode(value: memoryview) -> np.ndarray:
        return np.asarray(cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR))

    return _row_reader(folder, 8, decode)


def _write_pt(folder: Path, frames: list[np.ndarray], action: list[np.ndarray]) -> None:
    for number, (pixels, actions) in enumerate(zip(frames, action, strict=True)):
        tensors = {"frames": torch.from_numpy(np.array(pixels)), "action": torch.from_numpy(actions)}
        torch.save(tensors, folder / f"{number}.pt")


def _open_pt(folder: Path) -> ReadFrames:
    def read(episode: int, start: int, length: int) -> np.ndarray:
        tensors = torch.load(folder / f"{episode}.pt", weights_only=True)
        return tensors["frames"][start : start + length].numpy()

    return read


def _write_npy(folder: Path, frames: list[np.ndarray], _action: list[np.ndarray]) -> None:
    for number, pixels in enumerate(frames):
        np.save(folder / f"{number}.npy", pixels)


def _open_npy(folder: Path) -> ReadFrames:
    paths = sorted(folder.glob("*.npy"), key=lambda path: int(path.stem))
    maps = [np.load(path, mmap_mode="r") for path in paths]
    return lambda episode, start, length: np.array(maps[episode][start : start + length])
