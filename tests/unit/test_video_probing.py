"""Facts of good videos, and one clear line for everything that is none."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.videos import constant_ticks, variable_ticks, write_video
from worldgen_core.errors import VideoError
from worldgen_core.video.limit_settings import DecodeLimits
from worldgen_core.video.probing import frame_rate, probe
from worldgen_core.video.worker import DecodeWorker

NUM_FRAMES = 24


@pytest.fixture(scope="module")
def worker() -> Iterator[DecodeWorker]:
    with DecodeWorker(DecodeLimits(stall_s=20)) as running:
        yield running


def refusal(path: Path, worker: DecodeWorker, **options) -> str:
    """The one line that says why the file cannot be used."""
    with pytest.raises(VideoError) as caught:
        probe(path, worker=worker, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert path.name in line
    return line


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_constant_and_variable_rate(suffix, worker, tmp_path):
    even = probe(write_video(tmp_path / f"even.{suffix}", constant_ticks(NUM_FRAMES)), worker=worker)
    assert (even.width, even.height, even.rotation, even.codec) == (192, 96, 0, "h264")
    assert even.is_constant_rate
    assert even.fps == pytest.approx(30, rel=2e-3)
    assert even.num_demuxed == even.pts.size == NUM_FRAMES
    assert (np.diff(even.pts) > 0).all()
    assert even.problems == ()
    assert even.declared_duration_s == pytest.approx(NUM_FRAMES / 30, abs=0.01)
    ticks = variable_ticks(NUM_FRAMES)
    uneven = probe(write_video(tmp_path / f"uneven.{suffix}", ticks), worker=worker)
    assert not uneven.is_constant_rate
    expected = np.array([float(Fraction(tick, 90_000) / uneven.time_base) for tick in ticks])
    np.testing.assert_allclose(uneven.pts, expected, atol=0.51)


def test_ticks_are_exact_at_59_94_and_with_a_late_start(worker, tmp_path):
    ticks = constant_ticks(NUM_FRAMES, Fraction(60_000, 1001), start=450_000)
    facts = probe(write_video(tmp_path / "late.mp4", ticks), worker=worker)
    assert facts.time_base == Fraction(1, 90_000)
    assert facts.pts.tolist() == ticks
    assert facts.fps == pytest.approx(60_000 / 1001, rel=1e-4)
    assert probe(write_video(tmp_path / "late.mkv", ticks), worker=worker).problems == ()


@pytest.mark.parametrize(("counter_clockwise", "rotation"), [(-90, 90), (90, 270), (180, 180)])
def test_rotation_and_the_size_after_it(counter_clockwise, rotation, worker, tmp_path):
    def turn(stream):
        stream.set_display_rotation(counter_clockwise)

    facts = probe(write_video(tmp_path / "a.mp4", constant_ticks(8), prepare=turn), worker=worker)
    assert facts.rotation == rotation
    assert (facts.width, facts.height) == ((192, 96) if rotation == 180 else (96, 192))


def test_interlaced(worker, tmp_path):
    options = {"preset": "ultrafast", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    facts = probe(write_video(tmp_path / "i.mp4", constant_ticks(8), options=options), worker=worker)
    assert facts.is_interlaced


@pytest.mark.parametrize(("codec", "num_problems"), [("libx264", 1), ("mpeg4", 0), ("mjpeg", 0)])
def test_avi_without_presentation_times(codec, num_problems, worker, tmp_path):
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / "a.avi", constant_ticks(NUM_FRAMES), codec=codec, pixel_format=pixel_format)
    facts = probe(path, worker=worker)
    assert facts.num_demuxed == NUM_FRAMES
    assert facts.fps == pytest.approx(30)
    assert len(facts.problems) == num_problems


def test_without_a_worker_of_ones_own(tmp_path):
    assert probe(write_video(tmp_path / "a.mp4", constant_ticks(8))).num_demuxed == 8


def test_rates():
    tick = Fraction(1, 1000)
    assert frame_rate(np.round(np.arange(300) * 1000 / 60).astype(np.int64), tick)[0]
    assert frame_rate(np.arange(50) * 33, tick) == (True, pytest.approx(1000 / 33))
    dropped = np.delete(np.arange(100) * 3000, 40)
    is_constant, fps = frame_rate(dropped, Fraction(1, 90_000))
    assert not is_constant
    assert fps == pytest.approx(30)


# What is no video


def test_files_that_hold_no_video(worker, tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "empty file" in refusal(empty, worker)
    zeros = tmp_path / "zeros.mp4"
    zeros.write_bytes(bytes(5000))
    assert "zero bytes" in refusal(zeros, worker)
    text = tmp_path / "text.mkv"
    text.write_text("frame,action\n0,left\n")
    assert "text that starts" in refusal(text, worker)
    noise = tmp_path / "noise.avi"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "bytes that start with" in refusal(noise, worker)
    assert "no such file" in refusal(tmp_path / "missing.mp4", worker)
    assert "a folder" in refusal(_folder(tmp_path / "folder.mp4"), worker)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_wrong_names(worker, tmp_path):
    good = write_video(tmp_path / "a.mkv", constant_ticks(8))
    assert "rename it to end in .mkv/.webm" in refusal(good.rename(tmp_path / "a.mp4"), worker)
    good = write_video(tmp_path / "b.mp4", constant_ticks(8))
    assert "a name that ends in" in refusal(good.rename(tmp_path / "b.ts"), worker)
    assert "no ending" in refusal(shutil.copy(tmp_path / "b.ts", tmp_path / "c"), worker)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        "ffconcat version 1.0\nfile '/etc/passwd'\n",
        "concat:/etc/passwd|/etc/hosts",
        "<?xml version='1.0'?><MPD><BaseURL>http://localhost/</BaseURL></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\n",
        "[playlist]\nFile1=/etc/passwd\n",
    ],
)
def test_lists_of_other_files_never_reach_libav(text, worker, tmp_path):
    for suffix in ("mp4", "mkv", "avi"):
        path = tmp_path / f"list.{suffix}"
        path.write_text(text)
        assert "text that starts" in refusal(path, worker)
    riff = tmp_path / "riff.avi"
    riff.write_bytes(b"RIFF" + struct.pack("<I", 100) + b"AVI " + text.encode())
    refusal(riff, worker)


def test_links_pipes_devices_and_sockets(worker, tmp_path, monkeypatch):
    folder, outside = _folder(tmp_path / "in"), _folder(tmp_path / "out")
    write_video(outside / "a.mp4", constant_ticks(8))
    write_video(folder / "real.mp4", constant_ticks(8))
    for name, target in (("a.mp4", outside / "a.mp4"), ("loop.mp4", folder / "loop.mp4")):
        (folder / name).symlink_to(target)
    assert "a link that leads out" in refusal(folder / "a.mp4", worker)
    refusal(folder / "loop.mp4", worker)
    (folder / "inside.mp4").symlink_to(folder / "real.mp4")
    assert probe(folder / "inside.mp4", worker=worker).num_demuxed == 8
    assert probe(folder / "a.mp4", worker=worker, folder=tmp_path).num_demuxed == 8
    os.mkfifo(folder / "fifo.mp4")
    assert "a named pipe" in refusal(folder / "fifo.mp4", worker)
    (folder / "zero.mp4").symlink_to("/dev/zero")
    assert "a link that leads out" in refusal(folder / "zero.mp4", worker)
    assert "a device" in refusal(folder / "zero.mp4", worker, folder=Path("/"))
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(folder)  # a socket's name may not be long
        listening.bind("s.mp4")
        assert "a socket" in refusal(folder / "s.mp4", worker)


def test_a_name_of_two_lines_gives_a_message_of_one(worker, tmp_path):
    path = tmp_path / "two\nlines.mp4"
    path.touch()
    with pytest.raises(VideoError, match=r"two\\nlines\.mp4") as caught:
        probe(path, worker=worker)
    assert "\n" not in str(caught.value)
    good = write_video(tmp_path / "good.mp4", constant_ticks(4)).rename(path)
    assert probe(good, worker=worker).num_demuxed == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(worker, tmp_path):
    path = write_video(tmp_path / "a.mp4", constant_ticks(8))
    path.chmod(0)
    assert "permission denied" in refusal(path, worker)


# Videos that promise what they do not hold


def test_sound_only(worker, tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))  # pyright: ignore[reportAttributeAccessIssue] (an audio stream)
        container.mux(stream.encode())  # pyright: ignore[reportAttributeAccessIssue]
    assert "only audio" in refusal(path, worker)


def test_one_picture_is_no_video(worker, tmp_path):
    assert "at least 2 frames" in refusal(write_video(tmp_path / "a.mp4", [0]), worker)


def test_all_frames_at_once(worker, tmp_path):
    options = {"preset": "ultrafast", "bf": "0"}
    path = write_video(tmp_path / "a.mkv", constant_ticks(8), options=options)
    # A block: its identifier, its size in one to three bytes, the track, the time, flags.
    block = re.compile(rb"\xa3([\x81-\xfe]|[\x40-\x7f].|[\x20-\x3f]..)\x81..([\x00\x80])", re.DOTALL)
    path.write_bytes(
        block.sub(lambda found: found.group(0)[:-3] + b"\0\0" + found.group(2), path.read_bytes())
    )
    assert "0 frames/s" in refusal(path, worker)


def test_an_hour_declared(worker, tmp_path):
    path = write_video(tmp_path / "a.mkv", constant_ticks(8))
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    path.write_bytes(data[:at] + struct.pack(">d", 3_600_000.0) + data[at + 8 :])
    assert "declared 3600 s" in refusal(path, worker)


def test_ticks_that_the_header_leaves_out_are_told(worker, tmp_path):
    options = {"preset": "ultrafast", "bf": "0"}
    path = write_video(tmp_path / "a.mp4", constant_ticks(8), options=options)
    data = path.read_bytes()
    at = data.index(b"stts") + 16
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    assert "share their time" in probe(path, worker=worker).problems[0]


def test_a_cut_off_file_tells_what_is_missing(worker, tmp_path):
    path = write_video(tmp_path / "a.mkv", constant_ticks(200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    facts = probe(path, worker=worker)
    assert 20 < facts.num_demuxed < 180
    assert "the header declares 6.7 s" in facts.problems[0]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("side", [8192, 16_384])
def test_huge_pictures_are_refused_before_decoding(suffix, side, tmp_path):
    with DecodeWorker(DecodeLimits(memory_bytes=512 << 20)) as worker:
        line = refusal(_huge(tmp_path / f"a.{suffix}", side), worker)
    assert "pictures of at most 9437184 pixels" in line


def _huge(path: Path, side: int) -> Path:
    """A small video that claims to be large, in its header and in every JPEG picture."""
    write_video(path, [0, 3000], size=(256, 320), codec="mjpeg", pixel_format="yuvj420p")
    data = path.read_bytes()
    claim = struct.pack(">H", side)
    for before, after in (
        (b"\xff\xc0\x00\x11\x08\x01\x00\x01\x40", b"\xff\xc0\x00\x11\x08" + claim + claim),
        (b"\x01\x40\x01\x00\x00\x48", claim + claim + b"\x00\x48"),
        (b"\xb0\x82\x01\x40\xba\x82\x01\x00", b"\xb0\x82" + claim + b"\xba\x82" + claim),
        (struct.pack("<3I", 40, 320, 256), struct.pack("<3I", 40, side, side)),
    ):
        data = data.replace(before, after)
    path.write_bytes(data)
    return path


def test_too_many_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", constant_ticks(20))
    with DecodeWorker(DecodeLimits(max_frames=10)) as worker:
        assert "at most 10 frames" in refusal(path, worker)
