"""Decodes frames by presentation index; runs in the decoding process only.

A wanted frame is found by its exact presentation tick, never by counting: seek to the key frame before it,
decode forward, compare ticks. After a seek the first packet must be one that the index knows; else reading
starts over from the beginning of the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from worldgen_core.video.filters import Decoded, deinterlaced
from worldgen_core.video.packets import (
    PacketIndex,
    describe,
    first_video_stream,
    index_packets,
    is_shown,
    open_container,
)

_WORTH_A_SEEK = 16
"""Packets to be skipped from which on a seek is cheaper than decoding through."""
_MAX_NOTES = 5
_MAX_VAIN_RETRIES = 2


class FrameSource:
    """An open video; `frames` may be asked again and again, and goes on where it was if that serves."""

    def __init__(
        self,
        path: str,
        container: str,
        *,
        max_pixels: int,
        max_frames: int,
        num_threads: int,
        on_packet: Callable[[int], None],
    ) -> None:
        self._path = path
        self._container_name = container
        self._max_pixels = max_pixels
        self._num_threads = num_threads
        self.num_decoded = 0
        self.on_packet = on_packet
        self._num_vain_retries = 0
        self.notes: list[str] = []
        self._container, self._stream = self._open()
        self.index: PacketIndex = index_packets(
            self._container, self._stream, max_frames, on_packet=lambda: on_packet(0)
        )
        self._keys = np.flatnonzero(self.index.is_key)
        self._place = np.argsort(self.index.rank)
        # Of each key frame, the first index from which on decoding may start there.
        self._key_ranks = np.maximum.accumulate(self.index.rank[self._keys])
        self._forget_position()

    @property
    def stream(self) -> VideoStream:
        """The stream that is decoded."""
        return self._stream

    @property
    def container(self) -> InputContainer:
        """The open file."""
        return self._container

    def close(self) -> None:
        """Let go of the file."""
        self._forget_position()
        self._container.close()

    def frames(self, wanted: np.ndarray, *, deinterlace: bool = False) -> Iterator[Decoded]:
        """Those of the wanted frames (ascending indices) that can be decoded, with their index.

        Frames that no wanted one is predicted from are not decoded when several frames are wanted.
        """
        self.notes = []
        self._start_request(wanted, deinterlace)
        for index in wanted.tolist():
            frame = self._advance_to(index) if self._can_go_on_to(index) else self._seek_to(index)
            if frame is not None:
                yield index, frame

    def next_key(self, index: int) -> int:
        """Presentation index of the first key frame after `index`; the number of frames if there is none."""
        later = self._key_ranks[self._key_ranks > index]
        return int(later[0]) if later.size else self.index.num_packets

    def spoiled_by(self, index: int) -> tuple[int, int]:
        """First and last frame that may be predicted from this one: what follows it up to the next key frame.

        In the order of the file, that is: frames shown before it may still be predicted from it.
        """
        place = int(self._place[index])
        later = self._keys[self._keys > place]
        end = int(later[0]) if later.size else self.index.num_packets
        return int(self.index.rank[place:end].min()), max(self.next_key(index) - 1, index)

    @property
    def num_before_key(self) -> int:
        """Frames shown before the first key frame: what they are predicted from is not in the file."""
        return int(self._key_ranks[0]) if self._keys.size and self._keys[0] > 0 else 0

    def note(self, sentence: str) -> None:
        """Keep the first few sentences about what went wrong."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(sentence)

    # Position

    def _seek_to(self, index: int) -> VideoFrame | None:
        """The frame, decoded from the key frame before it.

        Some key frames only promise a whole picture later (intra refresh). If the frame is not there, try the
        key frame before and then the start; after that has failed twice, no more: the frames are really lost.
        """
        starts = [self._key_before(index)]
        if self._num_vain_retries < _MAX_VAIN_RETRIES and starts[0] > 0:
            starts += [self._key_before(int(self.index.rank[starts[0]]) - 1), 0]
        for ordinal in dict.fromkeys(starts):
            self._restart(ordinal)
            frame = self._advance_to(index)
            if frame is not None:
                self._num_vain_retries = 0
                return frame
        self._num_vain_retries += 1
        return None

    def _advance_to(self, index: int) -> VideoFrame | None:
        """Decode up to `index`; None if a later frame comes first, which then waits for its turn."""
        while self._ahead is None or self._ahead[0] < index:
            self._ahead = next(self._running, None)
            if self._ahead is None:
                return None
        rank, frame = self._ahead
        if rank > index:
            return None
        self._ahead = None
        self._last_rank = rank
        return frame

    def _open(self) -> tuple[InputContainer, VideoStream]:
        container = open_container(self._path, self._container_name, self._max_pixels)
        stream = first_video_stream(container)
        context = stream.codec_context
        context.options = {"max_pixels": str(self._max_pixels)}
        context.thread_count = self._num_threads
        context.thread_type = "NONE" if self._num_threads == 1 else "AUTO"
        return container, stream

    def _forget_position(self) -> None:
        self._running: Iterator[Decoded] = iter(())
        self._ahead: Decoded | None = None
        self._is_running = False
        self._last_rank = -1
        self._last_ordinal = -1
        self._wanted: np.ndarray | None = None
        self._deinterlace = False

    def _start_request(self, wanted: np.ndarray, deinterlace: bool) -> None:
        """Start over after a request that skipped frames: they are gone."""
        may_skip = self.index.has_pts and not deinterlace and self._num_threads == 1
        if self._wanted is not None or deinterlace != self._deinterlace:
            self._is_running = False
        self._deinterlace = deinterlace
        self._wanted = None
        if may_skip and 1 < wanted.size < self.index.num_packets:
            self._wanted = np.zeros(self.index.num_packets, dtype=bool)
            self._wanted[wanted] = True
            self._is_running = False

    def _can_go_on_to(self, index: int) -> bool:
        if not self._is_running or index <= self._last_rank:
            return False
        return self._key_before(index) - self._last_ordinal <= _WORTH_A_SEEK

    def _key_before(self, index: int) -> int:
        """Ordinal of the last key frame that is shown no later than `index`."""
        position = int(np.searchsorted(self._key_ranks, index, side="right")) - 1
        return int(self._keys[position]) if position >= 0 else 0

    def _restart(self, ordinal: int) -> None:
        packets = self._packets_from(ordinal)
        self._stream.codec_context.skip_frame = "DEFAULT"  # what a request before this one skipped
        pairs = self._decode(packets, int(self.index.rank[ordinal]))
        self._last_rank, self._last_ordinal = -1, ordinal
        self._running = deinterlaced(pairs) if self._deinterlace else pairs
        self._ahead = None
        self._is_running = True

    # Packets

    def _packets_from(self, ordinal: int) -> Iterator[Packet[VideoStream]]:
        """The packets from an ordinal on, by a seek if that lands at or before it."""
        packets = self._landed(ordinal)
        if packets is None:
            self._container.close()
            self._container, self._stream = self._open()
            packets = self._container.demux(self._stream)
        return self._skipped_to(ordinal, packets)

    def _skipped_to(
        self, ordinal: int, packets: Iterator[Packet[VideoStream]]
    ) -> Iterator[Packet[VideoStream]]:
        is_reached = ordinal == 0
        for packet in packets:
            at = self.index.ordinal_of.get((packet.pos, packet.pts))
            is_reached = is_reached or packet.size == 0 or (at is not None and at >= ordinal)
            if is_reached:
                if at is not None:
                    self._last_ordinal = at
                yield packet
            else:
                self.on_packet(self.num_decoded)

    def _landed(self, ordinal: int) -> Iterator[Packet[VideoStream]] | None:
        """Packets after a seek to a key frame; None if the container does not lead there."""
        place = int(np.searchsorted(self._keys, ordinal))
        for target in self._keys[max(0, place - 2) : place + 1][::-1].tolist():
            try:
                self._container.seek(int(self.index.dts[target]), stream=self._stream)
                packets = self._container.demux(self._stream)
                first = next(packets)
            except (FFmpegError, OSError, StopIteration):
                return None
            at = self.index.ordinal_of.get((first.pos, first.pts))
            if at is not None and at <= ordinal:
                return itertools.chain([first], packets)
        return None

    # Frames

    def _decode(self, packets: Iterator[Packet[VideoStream]], first_rank: int) -> Iterator[Decoded]:
        context = self._stream.codec_context
        context.skip_frame = "DEFAULT"
        is_vp8 = context.name == "vp8"
        count = first_rank
        last = -1
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if self._wanted is not None and packet.size:
                    context.skip_frame = "NONREF" if self._is_unwanted(packet, is_vp8) else "DEFAULT"
                frames = context.decode(packet if packet.size else None)
            except MemoryError:
                raise
            except (FFmpegError, OSError, ValueError) as error:
                self.note(f"packet {self._last_ordinal}: {describe(error)}")
                continue
            self.num_decoded += len(frames)
            self.on_packet(self.num_decoded)
            for frame in frames:
                if self.index.has_pts:
                    last = self._rank_of(frame.pts, last)
                    if last >= 0:
                        yield last, frame
                elif count < self.index.num_packets:
                    yield count, frame
                    count += 1

    def _is_unwanted(self, packet: Packet[VideoStream], is_vp8: bool) -> bool:
        if self._wanted is None or not is_shown(packet, is_vp8):
            return False
        at = self.index.ordinal_of.get((packet.pos, packet.pts))
        return at is not None and not self._wanted[self.index.rank[at]]

    def _rank_of(self, pts: int | None, last: int) -> int:
        """Index of the frame with exactly this tick; -1 if the file announced none. Equal ticks count on."""
        if pts is None:
            return -1
        ticks = self.index.pts
        rank = int(np.searchsorted(ticks, pts))
        if rank == ticks.size or ticks[rank] != pts:
            return -1
        while rank <= last and rank + 1 < ticks.size and ticks[rank + 1] == pts:
            rank += 1
        return rank
