"""libav filters over decoded frames: the one crops without copying, the other deinterlaces.

Runs in the decoding process only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from av.error import BlockingIOError as NotYet
from av.filter import Graph
from av.video.frame import VideoFrame

Decoded = tuple[int, VideoFrame]
"""A frame and its presentation index."""


def one_filter(frame: VideoFrame, name: str, arguments: str) -> Graph:
    """A graph of one filter, for frames like this one."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add(name, arguments), graph.add("buffersink"))
    graph.configure()
    return graph


class Cropper:
    """Cuts the same box (x, y, width, height) out of frames of one size."""

    def __init__(self, frame: VideoFrame, box: tuple[int, int, int, int]) -> None:
        x, y, width, height = box
        self._graph = one_filter(frame, "crop", f"w={width}:h={height}:x={x}:y={y}:exact=1")

    def crop(self, frame: VideoFrame) -> VideoFrame:
        """The part of the frame inside the box; its pixels are not copied."""
        self._graph.push(frame)
        return _video_frame(self._graph)


def deinterlaced(pairs: Iterator[Decoded]) -> Iterator[Decoded]:
    """The same frames, one for one, with the lines of their second field interpolated (bwdif)."""
    graph: Graph | None = None
    ranks: deque[int] = deque()
    for rank, frame in pairs:
        graph = graph or one_filter(frame, "bwdif", "mode=send_frame:deint=all")
        ranks.append(rank)
        graph.push(frame)
        yield from _finished(graph, ranks)
    if graph is not None:
        graph.push(None)
        yield from _finished(graph, ranks)


def _finished(graph: Graph, ranks: deque[int]) -> Iterator[Decoded]:
    while ranks:
        try:
            frame = _video_frame(graph)
        except (NotYet, EOFError):
            return
        yield ranks.popleft(), frame


def _video_frame(graph: Graph) -> VideoFrame:
    frame = graph.pull()
    assert isinstance(frame, VideoFrame)
    return frame
