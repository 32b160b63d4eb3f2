"""At least 300 damaged videos: each is one VideoError or gives frames; nothing hangs, nothing crashes here.

One decoding process serves all the cases and is started again when a case kills it. Frames that the decoder
calls good must be the right ones.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.videos import constant_ticks, read_number, write_video
from worldgen_core.errors import VideoError
from worldgen_core.video.decoding import decode
from worldgen_core.video.limit_settings import DecodeLimits
from worldgen_core.video.probing import probe
from worldgen_core.video.worker import DecodeWorker

NUM_FRAMES = 48
LIMIT_S = 10.0
Case = tuple[str, bytes]


def truncated(name: str, data: bytes, count: int) -> Iterator[Case]:
    """Cut off at places all over the file, and just before its end."""
    places = np.unique(np.linspace(1, len(data) - 1, count - 4).astype(int)).tolist()
    for place in [*places, 8, 40, len(data) - 2, len(data) - 9]:
        yield f"cut at {place} of {len(data)}.{name}", data[:place]


def flipped(name: str, data: bytes, count: int) -> Iterator[Case]:
    """A few to many flipped bytes, anywhere."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        damaged = np.frombuffer(data, np.uint8).copy()
        places = rng.integers(0, damaged.size, 2 ** rng.integers(0, 9))
        damaged[places] ^= rng.integers(1, 256, places.size, dtype=np.uint8)
        yield f"flip {seed}.{name}", damaged.tobytes()


def rewritten(name: str, data: bytes) -> Iterator[Case]:
    """Zeroed, doubled, shuffled and misplaced parts."""
    size = len(data)
    yield f"zero header.{name}", bytes(64) + data[64:]
    for tenth in range(0, 10, 2):
        at = size * tenth // 10
        yield f"zeros from {tenth}.{name}", data[:at] + bytes(size // 10) + data[at + size // 10 :]
        yield f"hole at {tenth}.{name}", data[:at] + data[at + size // 10 :]
    yield f"doubled.{name}", data + data
    yield f"tail first.{name}", data[:48] + data[size // 2 :] + data[48 : size // 2]
    yield f"header only.{name}", data[:48] + bytes(size - 48)
    yield f"ones.{name}", data[:48] + b"\xff" * (size - 48)
    noise = np.random.default_rng(1).bytes(size - 48)
    yield f"noise.{name}", data[:48] + noise


def wild_numbers(data: bytes) -> Iterator[Case]:
    """Counts, sizes and times of an MP4's header at their extremes."""
    for box in (
        b"stts",
        b"stsz",
        b"stsc",
        b"stco",
        b"ctts",
        b"stss",
        b"mvhd",
        b"mdhd",
        b"elst",
        b"avcC",
        b"stsd",
    ):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            at = data.find(box)
            if at >= 0:
                place = at + 8
                yield (
                    f"{box.decode()} {value:x}.mp4",
                    data[:place] + struct.pack(">I", value) + data[place + 4 :],
                )


def cases(folder: Path) -> Iterator[Case]:
    """Every damaged file: name and content."""
    mp4 = write_video(folder / "a.mp4", constant_ticks(NUM_FRAMES)).read_bytes()
    fast = {"movflags": "faststart"}
    streamed = write_video(folder / "b.mp4", constant_ticks(NUM_FRAMES), container_options=fast).read_bytes()
    mkv = write_video(folder / "a.mkv", constant_ticks(NUM_FRAMES)).read_bytes()
    avi = write_video(folder / "a.avi", constant_ticks(NUM_FRAMES), codec="mpeg4").read_bytes()
    yield from truncated("mp4", mp4, 20)
    yield from truncated("mp4", streamed, 20)
    yield from truncated("mkv", mkv, 40)
    yield from truncated("avi", avi, 10)
    mov = write_video(folder / "a.mov", constant_ticks(NUM_FRAMES)).read_bytes()
    yield from truncated("mov", mov, 10)
    yield from ((f"streamed {case}", damaged) for case, damaged in flipped("mp4", streamed, 40))
    yield from rewritten("mov", mov)
    yield from flipped("mov", mov, 40)
    for name, data in (("mp4", mp4), ("mkv", mkv), ("avi", avi)):
        yield from flipped(name, data, 20)
        yield from rewritten(name, data)
    yield from wild_numbers(mp4)


def outcome(path: Path, worker: DecodeWorker) -> tuple[str, int, int]:
    """(error or '', frames decoded, frames that are not those of their time although nobody complained)."""
    try:
        facts = probe(path, worker=worker)
        size = (48, 96)
        decoding = decode(facts, np.arange(min(facts.num_demuxed, 200)), size, worker=worker)
        # Episodes go by time, so that a frame counts as right if it is what was shown then.
        due = np.rint((facts.pts - facts.pts[0]) * float(facts.time_base) * 30).astype(int).tolist()
        wrong = [picture.index for picture in decoding if read_number(picture.frame) != due[picture.index]]
    except VideoError as error:
        return str(error), 0, 0
    report = decoding.report
    assert report.num_decoded + len(report.missing) == report.num_wanted
    spoiled = {index for first, last in report.damaged for index in range(first, last + 1)}
    return "", report.num_decoded, len(set(wrong) - spoiled)


@pytest.mark.timeout(240)
def test_damaged_videos(tmp_path):
    results: dict[str, tuple[str, int, int]] = {}
    num_undetected = 0
    good, damaged = tmp_path / "good", tmp_path / "damaged"
    good.mkdir()
    damaged.mkdir()
    limits = DecodeLimits(stall_s=LIMIT_S, cpu_s=LIMIT_S, memory_bytes=1 << 30)
    with DecodeWorker(limits) as worker:
        for name, data in cases(good):
            path = damaged / name
            path.write_bytes(data)
            started_s = time.monotonic()
            results[name] = outcome(path, worker)
            assert time.monotonic() - started_s < 3 * LIMIT_S, name
            num_undetected += bool(results[name][2])
            path.unlink()
        # After all that, a good video is as good as ever.
        assert outcome(good / "a.mkv", worker) == ("", NUM_FRAMES, 0)
    assert len(results) >= 300
    assert not any("\n" in error for error, _, _ in results.values())
    num_refused = sum(bool(error) for error, _, _ in results.values())
    assert num_refused >= 40
    assert sum(count == NUM_FRAMES for _, count, _ in results.values()) >= 10
    # What cannot be seen: AVI counts its frames, so that a hole moves what follows (their number then differs
    # from the header's and the labels'); a few flipped bytes decode without complaint; wrong times.
    assert num_undetected < len(results) / 20
