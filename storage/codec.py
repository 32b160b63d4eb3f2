"""Chunk codecs: how a few consecutive frames become one block of bytes, and back.

A codec is lossless, may be used from several threads at once, and notices damage. A new one is a class with
`name`, `encode` and `decode` and a line in `make_codec`. Zstd over 8 frames is the default: its window spans
the whole chunk, so a frame costs little more than what changed since the one before (`make bench-storage`
measures the alternatives).
"""

from __future__ import annotations

import threading
import zlib
from typing import Protocol

import numpy as np
import zstandard
from jaxtyping import UInt8

from storage.errors import StorageError
from storage.records import CodecInfo


class ChunkError(Exception):
    """A block does not decode to the frames it should hold; the reader catches it and adds file and row."""


class ChunkCodec(Protocol):
    """Turns a chunk of frames into bytes and back without loss."""

    name: str

    def encode(self, frames: UInt8[np.ndarray, "t h w 3"]) -> bytes:
        """Compress a chunk; the same frames give the same bytes."""
        ...

    def decode(self, block: bytes | memoryview, shape: tuple[int, ...]) -> UInt8[np.ndarray, "t h w 3"]:
        """Return the chunk's frames, read-only, after checking the block's checksum.

        Raises: ChunkError if the block is damaged or holds frames of another shape.
        """
        ...


class ZstdCodec:
    """One zstd block a chunk, with content size and checksum."""

    name = "zstd"

    def __init__(self, level: int = 3) -> None:
        self.level = level
        self._local = threading.local()  # zstd contexts must not be shared between threads

    def encode(self, frames: UInt8[np.ndarray, "t h w 3"]) -> bytes:
        """Compress a chunk into one block."""
        compressor = zstandard.ZstdCompressor(level=self.level, write_checksum=True, write_content_size=True)
        return compressor.compress(np.ascontiguousarray(frames).data)

    def decode(self, block: bytes | memoryview, shape: tuple[int, ...]) -> UInt8[np.ndarray, "t h w 3"]:
        """Decompress a block and compare its checksum."""
        num_bytes = int(np.prod(shape))
        try:
            if (
                zstandard.frame_content_size(block) != num_bytes
            ):  # before memory is set aside for a damaged size
                raise ChunkError(
                    f"a block of {zstandard.frame_content_size(block)} bytes instead of {num_bytes}"
                )
            data = self._decompressor().decompress(block, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ChunkError(str(error)) from error
        return np.frombuffer(data, np.uint8).reshape(shape)

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        if not hasattr(self._local, "decompressor"):
            self._local.decompressor = zstandard.ZstdDecompressor()
        return self._local.decompressor


class RawCodec:
    """The frames as they are behind a CRC-32, for pictures that do not compress."""

    name = "raw"

    def encode(self, frames: UInt8[np.ndarray, "t h w 3"]) -> bytes:
        """Put a checksum before the bytes of the frames."""
        data = np.ascontiguousarray(frames).tobytes()
        return zlib.crc32(data).to_bytes(4, "little") + data

    def decode(self, block: bytes | memoryview, shape: tuple[int, ...]) -> UInt8[np.ndarray, "t h w 3"]:
        """Take the frames from behind the checksum."""
        data = block[4:]
        if len(data) != int(np.prod(shape)):
            raise ChunkError(f"a block of {len(data)} bytes instead of {int(np.prod(shape))}")
        if zlib.crc32(data).to_bytes(4, "little") != block[:4]:
            raise ChunkError("checksum does not match")
        return np.frombuffer(data, np.uint8).reshape(shape)


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
