"""Opens a video with libav and lists its packets; runs in the decoding process only.

The container format is the one that the file's first bytes named, never guessed again; only the `file`
protocol exists; references to other files are not followed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from worldgen_core.video.refusal import Refusal

_FORMATS = {"mov": "mov", "matroska": "matroska", "avi": "avi"}

PacketKey = tuple[int | None, int | None]
"""Byte position and presentation tick: what names a packet again after a seek."""


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """Every packet of the stream, in the order of the file, and its place in the order of show."""

    pts: np.ndarray
    """Presentation ticks in the order of show (n,)."""
    rank: np.ndarray
    """Presentation index of each packet in the order of the file (n,)."""
    is_key: np.ndarray
    """Whether decoding can start at the packet (n,)."""
    dts: np.ndarray
    """Decoding ticks in the order of the file (n,), made up where the file has none."""
    ordinal_of: dict[PacketKey, int]
    has_pts: bool
    """False if frames must be told by their order because the packets carry no presentation time."""
    problems: tuple[str, ...]

    @property
    def num_packets(self) -> int:
        """The number of packets, one for each frame."""
        return self.rank.size


def open_container(path: str, container: str, max_pixels: int) -> InputContainer:
    """The file as one of the known containers, and as nothing else."""
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi",
        "max_pixels": str(max_pixels),
        "max_streams": "32",
    }
    if container == "mov":
        options["enable_drefs"] = "0"
    name = path if path.startswith("/") else f"file:{path}"
    return av.open(name, "r", format=_FORMATS[container], options=options, metadata_errors="replace")


def first_video_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; cover art does not count.

    Raises: Refusal if there is none that can be decoded.
    """
    found = "no streams" if not container.streams else "only " + ", ".join(s.type for s in container.streams)
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            found = "only cover art"
        elif stream.codec_context is None:
            found = "a codec that libav does not know"
        else:
            return stream
    raise Refusal("a video stream", found, "record with video, or remove the file")


def index_packets(
    container: InputContainer, stream: VideoStream, max_frames: int, *, on_packet: Callable[[], None]
) -> PacketIndex:
    """Read every packet of the stream without decoding it.

    Raises: Refusal if there are too many, or if no times can be had.
    """
    packets, problems = _read_packets(container, stream, max_frames, on_packet)
    pts = [packet[0] for packet in packets]
    dts = [packet[1] for packet in packets]
    has_pts = None not in pts and not _invents_pts(container, stream)
    if not has_pts:
        if None in dts:
            raise Refusal("a time for every frame", "frames without any", "convert the file with ffmpeg")
        problems.append("frames carry no presentation time, so they are told by their order from the start")
    ticks = np.array(pts if has_pts else sorted(dts), dtype=np.int64)  # pyright: ignore[reportCallIssue, reportArgumentType] (None is excluded above)
    order = np.argsort(ticks, kind="stable")
    rank = np.empty(ticks.size, np.int64)
    rank[order] = np.arange(ticks.size)
    num_shared = int((np.diff(ticks[order]) == 0).sum())
    if num_shared:
        problems.append(f"{num_shared} frames share their time with the frame before")
    made_up = [ticks[i] if d is None else d for i, d in enumerate(dts)]
    return PacketIndex(
        pts=ticks[order],
        rank=rank,
        # Counting is only right from the start: a group's first frames may belong before its key frame.
        is_key=np.array([packet[3] and has_pts for packet in packets], dtype=bool),
        dts=np.array(made_up, dtype=np.int64),
        ordinal_of={(packet[2], packet[0]): i for i, packet in enumerate(packets)},
        has_pts=has_pts,
        problems=tuple(problems),
    )


def _invents_pts(container: InputContainer, stream: VideoStream) -> bool:
    """AVI has no presentation times, and libav's guesses are wrong for H.264 with B-frames."""
    context = stream.codec_context
    return container.format.name == "avi" and context.has_b_frames and context.name != "mpeg4"


_Row = tuple[int | None, int | None, int | None, bool]


def _read_packets(
    container: InputContainer, stream: VideoStream, max_frames: int, on_packet: Callable[[], None]
) -> tuple[list[_Row], list[str]]:
    """(pts, dts, byte position, starts a group) of every packet that will be shown."""
    rows: list[_Row] = []
    problems: list[str] = []
    num_corrupt = 0
    is_vp8 = stream.codec_context.name == "vp8"
    try:
        for packet in container.demux(stream):
            on_packet()
            if not is_shown(packet, is_vp8):
                continue
            if len(rows) == max_frames:
                raise Refusal(f"at most {max_frames} frames", "more", "cut the video into parts")
            num_corrupt += packet.is_corrupt
            rows.append((packet.pts, packet.dts, packet.pos, packet.is_keyframe))
    except (FFmpegError, OSError, ValueError) as error:
        problems.append(f"reading stopped after {len(rows)} frames: {describe(error)}")
    if num_corrupt:
        problems.append(f"{num_corrupt} frames are marked as damaged by the container")
    return rows, problems


def is_shown(packet: Packet[VideoStream], is_vp8: bool) -> bool:
    """False for the empty packet at the end, frames hidden by an edit list, VP8's reference-only frames."""
    if packet.size == 0 or packet.is_discard:
        return False
    return not (is_vp8 and not memoryview(packet)[0] & 0x10)


def describe(error: BaseException) -> str:
    """What libav said, without the file's name and error number."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).strip().lower()
