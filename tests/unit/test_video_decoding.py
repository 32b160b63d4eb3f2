"""The right frame for every index, whatever the container; lost frames named; a dead child is one error."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from tests.videos import constant_ticks, read_number, variable_ticks, write_video
from worldgen_core.errors import ConfigError, VideoError
from worldgen_core.video.decoding import VideoReader, decode, decode_all
from worldgen_core.video.limit_settings import DecodeLimits
from worldgen_core.video.probing import probe
from worldgen_core.video.records import Box
from worldgen_core.video.worker import DecodeWorker

NUM_FRAMES = 70
SIZE = (48, 96)
OPEN_GROUPS = {"preset": "medium", "bf": "3", "g": "20", "x264-params": "open-gop=1:scenecut=0"}
REFRESH = {"preset": "medium", "x264-params": "intra-refresh=1:keyint=20"}
VPX = {
    "auto-alt-ref": "1",
    "lag-in-frames": "16",
    "b": "400k",
    "deadline": "good",
    "cpu-used": "8",
    "g": "20",
}


@pytest.fixture(scope="module")
def worker() -> Iterator[DecodeWorker]:
    with DecodeWorker(DecodeLimits(stall_s=20)) as running:
        yield running


def numbers(decoding) -> list[tuple[int, int]]:
    """(index, number drawn in the picture) of every picture."""
    return [(picture.index, read_number(picture.frame)) for picture in decoding]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("constant.mp4", {}),
        ("variable.mp4", {}),
        ("variable.mkv", {}),
        ("a.avi", {}),
        ("open.mkv", {"options": OPEN_GROUPS}),
        ("refresh.mp4", {"options": REFRESH}),
        ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("ten.mkv", {"pixel_format": "yuv420p10le"}),
        ("a8.webm", {"codec": "libvpx", "options": VPX}),
        ("a9.webm", {"codec": "libvpx-vp9", "options": VPX}),
        ("part2.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "20"}}),
        ("lossless.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}),
    ],
)
def test_every_index_gives_its_frame(name, options, worker, tmp_path):
    is_variable = name.startswith("variable")
    ticks = variable_ticks(NUM_FRAMES) if is_variable else constant_ticks(NUM_FRAMES)
    facts = probe(write_video(tmp_path / name, ticks, **options), worker=worker)
    assert facts.num_demuxed == NUM_FRAMES
    everything = decode(facts, np.arange(NUM_FRAMES), SIZE, worker=worker)
    assert numbers(everything) == [(i, i) for i in range(NUM_FRAMES)]
    report = everything.report
    assert (report.num_wanted, report.num_decoded) == (NUM_FRAMES, NUM_FRAMES)
    assert (report.missing, report.corrupt, report.damaged) == ((), (), ())
    some = [3, 4, 11, 12, 40, 63, 69]
    assert numbers(decode(facts, some, SIZE, worker=worker)) == [(i, i) for i in some]
    for index in np.random.default_rng(0).permutation(NUM_FRAMES)[:12].tolist():
        assert numbers(decode(facts, [index], SIZE, worker=worker)) == [(index, index)]


def test_reader_in_any_order(tmp_path):
    facts = probe(write_video(tmp_path / "a.mp4", variable_ticks(NUM_FRAMES)))
    with VideoReader(facts) as reader:
        for index in [50, 51, 52, 3, 69, 0, 20, 19]:
            picture = reader.frame(index)
            assert (picture.index, read_number(picture.frame)) == (index, index)
            assert picture.frame.shape == (facts.height, facts.width, 3)


def test_several_threads_give_the_same_pictures(worker, tmp_path):
    facts = probe(write_video(tmp_path / "a.mp4", constant_ticks(30)), worker=worker)
    one = [p.frame for p in decode(facts, range(30), SIZE, worker=worker)]
    two = [p.frame for p in decode(facts, range(30), SIZE, worker=worker, num_threads=2)]
    np.testing.assert_array_equal(one, two)


def corners(index: int, height: int, width: int) -> np.ndarray:
    """Red, green, blue and white quarters."""
    frame = np.full((height, width, 3), 255, np.uint8)
    frame[: height // 2, : width // 2] = (255, 0, 0)
    frame[: height // 2, width // 2 :] = (0, 255, 0)
    frame[height // 2 :, : width // 2] = (0, 0, 255)
    return frame


@pytest.mark.parametrize(("counter_clockwise", "turns"), [(0, 0), (-90, -1), (180, 2), (90, 1)])
def test_rotation_and_crop_are_in_shown_pixels(counter_clockwise, turns, worker, tmp_path):
    options = {"preset": "ultrafast", "crf": "4", "bf": "0"}
    path = write_video(
        tmp_path / "a.mp4",
        constant_ticks(4),
        draw=corners,
        options=options,
        prepare=lambda stream: stream.set_display_rotation(counter_clockwise),
    )
    facts = probe(path, worker=worker)
    shown = np.rot90(corners(0, 96, 192), turns)
    assert (facts.height, facts.width) == shown.shape[:2]
    picture = next(iter(decode(facts, [2], shown.shape[:2], worker=worker)))
    assert np.abs(picture.frame.astype(int) - shown).mean() < 5
    box = Box(facts.width // 2 - 20, 10, 60, 40)
    cut = next(iter(decode(facts, [2], (40, 60), crop=box, worker=worker)))
    expected = shown[10:50, box.x : box.x + 60]
    assert np.abs(cut.frame.astype(int) - expected).mean() < 5


@pytest.mark.parametrize("colorspace", [1, 5])
@pytest.mark.parametrize("color_range", [1, 2])
def test_colours_by_matrix_and_range(colorspace, color_range, worker, tmp_path):
    """What swscale makes of the same frame at full size, within the rounding of 4:2:0."""

    def tag(stream):
        stream.codec_context.colorspace, stream.codec_context.color_range = colorspace, color_range

    def tag_frame(frame):
        frame.colorspace, frame.color_range = colorspace, color_range

    reformatter = VideoReformatter()

    def draw(index, height, width):
        return corners(index, height, width) // 2 + 60

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 192, 96, "yuv420p"  # pyright: ignore
        tag(stream)
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(draw(index, 96, 192), "rgb24")
            coded = reformatter.reformat(
                frame, format="yuv420p", dst_colorspace=colorspace, dst_color_range=color_range
            )
            tag_frame(coded)
            coded.pts = index
            container.mux(stream.encode(coded))  # pyright: ignore
        container.mux(stream.encode())  # pyright: ignore
    facts = probe(path, worker=worker)
    picture = next(iter(decode(facts, [1], (48, 96), worker=worker)))
    difference = np.abs(picture.frame.astype(int) - draw(0, 48, 96))
    assert np.percentile(difference, 95) <= 3


def test_gray_signal_pass(worker, tmp_path):
    def ramp(index: int, height: int, width: int) -> np.ndarray:
        return np.full((height, width, 3), index * 8, np.uint8)

    facts = probe(write_video(tmp_path / "a.mp4", constant_ticks(32), draw=ramp), worker=worker)
    levels = [float(p.frame.mean()) for p in decode_all(facts, (24, 48), worker=worker)]
    np.testing.assert_allclose(levels, np.arange(32) * 8, atol=3)


def test_deinterlacing_keeps_every_index(worker, tmp_path):
    options = {"preset": "ultrafast", "flags": "+ildct+ilme", "x264-params": "tff=1", "g": "20"}
    facts = probe(write_video(tmp_path / "a.mp4", constant_ticks(NUM_FRAMES), options=options), worker=worker)
    assert facts.is_interlaced
    assert numbers(decode(facts, range(NUM_FRAMES), SIZE, worker=worker)) == [
        (i, i) for i in range(NUM_FRAMES)
    ]
    assert numbers(decode(facts, [5, 33, 69], SIZE, worker=worker)) == [(5, 5), (33, 33), (69, 69)]


def test_combing_is_gone(worker, tmp_path):
    """Moving stripes, half a step further on in the second field: the lines agree again."""

    def combed(index: int, height: int, width: int) -> np.ndarray:
        x = np.arange(width)
        fields = [(x - 16 * index - 8 * field) // 32 % 2 * 150 + 50 for field in (0, 1)]
        lines = np.stack(fields * (height // 2)).astype(np.uint8)
        return lines[:, :, None].repeat(3, 2)

    options = {"preset": "ultrafast", "crf": "4", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    path = write_video(tmp_path / "a.mp4", constant_ticks(6), options=options, draw=combed)
    facts = probe(path, worker=worker)
    size = (facts.height, facts.width)
    roughness = []
    for mode in ("off", "auto"):
        picture = next(iter(decode(facts, [3], size, deinterlace=mode, worker=worker)))
        roughness.append(np.abs(np.diff(picture.frame[..., 0].astype(int), axis=0)).mean())
    assert roughness[1] < roughness[0] / 3


def test_a_lost_frame_is_named(worker, tmp_path):
    path = write_video(tmp_path / "a.mp4", constant_ticks(60), codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(31):
        at = data.index(b"\xff\xd8\xff", at + 1)
    end = data.index(b"\xff\xd8\xff", at + 1)
    data[at:end] = bytes(end - at)
    path.write_bytes(data)
    decoding = decode(probe(path, worker=worker), range(60), SIZE, worker=worker)
    assert [index for index, _ in numbers(decoding)] == [i for i in range(60) if i != 30]
    assert decoding.report.missing == (30,)
    assert decoding.report.damaged == ((30, 30),)
    with VideoReader(probe(path)) as reader:
        with pytest.raises(VideoError, match="frame 30 of 60"):
            reader.frame(30)
        assert read_number(reader.frame(31).frame) == 31


def test_damage_spoils_up_to_the_next_key_frame(worker, tmp_path):
    path = write_video(tmp_path / "a.mp4", constant_ticks(80))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    middle = start + (len(data) - start) * 4 // 10
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    decoding = decode(probe(path, worker=worker), range(80), SIZE, worker=worker)
    good = {index for index, number in numbers(decoding) if index == number}
    report = decoding.report
    assert report.missing or report.corrupt
    assert all((last + 1) % 20 == 0 for _, last in report.damaged)
    spoiled = {i for first, last in report.damaged for i in range(first, last + 1)}
    assert set(range(80)) - spoiled <= good


# Requests that cannot be met


def test_frames_shown_before_a_damaged_one_may_be_predicted_from_it(worker, tmp_path):
    """Of I B B P the second packet is P: what spoils it spoils both B, which are shown first."""
    path = write_video(tmp_path / "a.mkv", constant_ticks(40))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        first_p = packets[1]
        payload, shown_at = bytes(first_p), first_p.pts
    assert shown_at is not None
    data = bytearray(path.read_bytes())
    at = data.find(payload)
    data[at + 8 : at + len(payload)] = bytes(len(payload) - 8)
    path.write_bytes(data)
    decoding = decode(facts := probe(path, worker=worker), np.arange(40), SIZE, worker=worker)
    list(decoding)
    shown_before = int(np.searchsorted(facts.pts, shown_at))
    assert shown_before > 1
    assert decoding.report.damaged[0] == (1, 19)


def test_wrong_requests(worker, tmp_path):
    facts = probe(write_video(tmp_path / "a.mp4", constant_ticks(10)), worker=worker)
    for indices in ([10], [-1], [3, 3], [4, 2]):
        with pytest.raises(ConfigError, match="ascending indices"):
            decode(facts, indices, SIZE, worker=worker)
    with pytest.raises(ConfigError, match="a box inside"):
        decode(facts, [0], SIZE, crop=Box(180, 0, 20, 20), worker=worker)
    decoding = decode(facts, [0], SIZE, worker=worker)
    with pytest.raises(VideoError, match="after the last picture"):
        _ = decoding.report
    assert list(decode(facts, [], SIZE, worker=worker)) == []


def test_a_file_that_changed_since(worker, tmp_path):
    path = write_video(tmp_path / "a.mp4", constant_ticks(10))
    facts = probe(path, worker=worker)
    write_video(path, constant_ticks(12))
    with pytest.raises(VideoError, match="start again"):
        list(decode(facts, [0], SIZE, worker=worker))


# A child that dies, hangs, or is no longer wanted


def long_video(path: Path) -> Path:
    return write_video(path, constant_ticks(900), size=(48, 96))


def test_a_killed_child_is_one_error_with_name_frame_and_signal(tmp_path):
    facts = probe(long_video(tmp_path / "a.mp4"))
    for number in (signal.SIGKILL, signal.SIGSEGV):
        with DecodeWorker() as worker:
            pictures = iter(decode(facts, range(900), (240, 320), worker=worker))
            next(pictures)
            assert worker.process_id is not None
            os.kill(worker.process_id, number)
            with pytest.raises(VideoError, match=rf"a\.mp4.*{number.name}.*after \d+ decoded frames"):
                list(pictures)
            # The next request has a process of its own.
            assert len(list(decode(facts, [5], SIZE, worker=worker))) == 1


def test_a_stalled_child_is_given_up(tmp_path):
    facts = probe(long_video(tmp_path / "a.mp4"))
    with DecodeWorker(DecodeLimits(stall_s=5)) as worker:
        pictures = iter(decode(facts, range(900), (240, 320), worker=worker))
        next(pictures)
        assert worker.process_id is not None
        os.kill(worker.process_id, signal.SIGSTOP)
        started_s = time.monotonic()
        with pytest.raises(VideoError, match="no sign of life"):
            list(pictures)
        assert 4 < time.monotonic() - started_s < 60


def test_limits_on_time_and_memory(tmp_path):
    path = write_video(tmp_path / "a.mp4", constant_ticks(300), size=(480, 640))
    facts = probe(path)
    with pytest.raises(VideoError, match="no end within"):
        list(decode(facts, range(300), (480, 640), limits=DecodeLimits(wall_s=0.05)))
    # FFmpeg does not always notice that it got no memory: then the child dies of a signal, which is named.
    with pytest.raises(VideoError, match=r"MiB|no sign|ended|died of SIG"):
        list(decode(facts, range(300), (6000, 9000), limits=DecodeLimits(memory_bytes=300 << 20)))


def test_leaving_early_ends_the_child(tmp_path):
    facts = probe(long_video(tmp_path / "a.mp4"))
    with DecodeWorker() as worker:
        decoding = decode(facts, range(900), (240, 320), worker=worker)
        next(iter(decoding))
        decoding.close()
        assert worker.process_id is None
        assert numbers(decode(facts, [7], SIZE, worker=worker)) == [(7, 7)]


def test_a_slow_consumer_is_no_stall(tmp_path):
    facts = probe(long_video(tmp_path / "a.mp4"))
    count = 0
    for picture in decode(facts, range(900), (240, 320), limits=DecodeLimits(stall_s=4, wall_s=60)):
        count += 1
        if picture.index == 20:
            time.sleep(5)
    assert count == 900
