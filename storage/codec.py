"""Chunk codecs: how a few consecutive frames become one block of bytes, and back.

A codec is lossless and may be used from several threads at once. A new one is a class with `name`, `encode`
and `decode` and a line in `make_codec`. Zstd over 16 frames is the default: its window spans the whole chunk,
so a frame costs little more than what changed since the one before (`make bench-storage` measures the
alternatives). Damage is noticed by the shard's CRC over the compressed block, before decoding: zstd's own
checksum covers the pixels instead, which costs a quarter of the decoder's time and forbids to stop half-way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import numpy as np
import zstandard
from jaxtyping import UInt8

from storage.errors import StorageError
from storage.records import CodecInfo


class ChunkError(Exception):
    """A block does not decode to the frames it should hold; the reader catches it and adds file and row."""


@runtime_checkable
class ChunkCodec(Protocol):
    """Turns a chunk of frames into bytes and back without loss."""

    name: str

    def encode(self, frames: UInt8[np.ndarray, "t h w 3"]) -> bytes:
        """Compress a chunk; the same frames give the same bytes."""
        ...

    def decode(self, block: bytes | memoryview, out: UInt8[np.ndarray, "t h w 3"]) -> None:
        """Fill `out`, which is contiguous, with the first frames of the chunk, as many as fit.

        Raises: ChunkError if the block cannot be decoded or holds fewer.
        """
        ...


class ZstdCodec:
    """One zstd block a chunk."""

    name = "zstd"

    def __init__(self, level: int = 9) -> None:
        self.level = level
        self._local = threading.local()  # zstd contexts must not be shared between threads

    def encode(self, frames: UInt8[np.ndarray, "t h w 3"]) -> bytes:
        """Compress a chunk into one block."""
        compressor = zstandard.ZstdCompressor(level=self.level)
        return compressor.compress(np.ascontiguousarray(frames).data)

    def decode(self, block: bytes | memoryview, out: UInt8[np.ndarray, "t h w 3"]) -> None:
        """Decompress as much of the block as `out` takes, straight into it."""
        try:
            with self._decompressor().stream_reader(block) as stream:
                read_into = cast("Callable[[memoryview], int]", stream.readinto)  # pyright: ignore[reportUnknownMemberType] -- no type in zstandard's stub
                num_bytes = read_into(out.data.cast("B"))
        except zstandard.ZstdError as error:
            raise ChunkError(str(error)) from error
        if num_bytes != out.nbytes:
            raise ChunkError(f"the block holds {num_bytes} bytes of pixels")

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        if not hasattr(self._local, "decompressor"):
            self._local.decompressor = zstandard.ZstdDecompressor()
        return self._local.decompressor


class RawCodec:
    """The frames as they are, for pictures that do not compress."""

    name = "raw"

    def encode(self, frames: UInt8[np.ndarray, "t h w 3"]) -> bytes:
        """The bytes of the frames."""
        return np.ascontiguousarray(frames).tobytes()

    def decode(self, block: bytes | memoryview, out: UInt8[np.ndarray, "t h w 3"]) -> None:
        """Copy the bytes."""
        if len(block) < out.nbytes:
            raise ChunkError(f"the block holds {len(block)} bytes of pixels")
        out.data.cast("B")[:] = block[: out.nbytes]


def make_codec(info: CodecInfo) -> ChunkCodec:
    """Return the codec that `dataset.json`, or a row's `codec` column, names.

    Raises: StorageError for a name that this version does not know.
    """
    if info.name == ZstdCodec.name:
        return ZstdCodec(info.level)
    if info.name == RawCodec.name:
        return RawCodec()
    raise StorageError(
        "chunk codec",
        expected=f"{ZstdCodec.name!r} or {RawCodec.name!r}",
        found=repr(info.name),
        next_step="read the dataset with the version of worldgen that wrote it, or build it again",
    )
