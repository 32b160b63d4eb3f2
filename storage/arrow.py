"""The only module that touches pyarrow: plain types go in and come out.

pyarrow ships no types, so its objects are `Any` here and nowhere else. Tables are dictionaries of columns,
schemas are dictionaries from column name to type name (see `storage.schema`). Everything is written without
dictionaries or statistics and, unless asked for, without Parquet compression: the same values give the same
bytes, and a large value lies in the file as it is.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from jaxtyping import Int64, UInt32

_pa: Any = importlib.import_module("pyarrow")
_pq: Any = importlib.import_module("pyarrow.parquet")

Compression = Literal["none", "zstd"]
Column = Sequence[str] | Sequence[bytes] | Sequence[int] | Sequence[float] | np.ndarray
_TYPES: Mapping[str, Any] = {
    "string": _pa.string(),
    "int64": _pa.int64(),
    "float32": _pa.float32(),
    "float64": _pa.float64(),
    "bool": _pa.bool_(),
    "large_binary": _pa.large_binary(),
}
_HEADER_BYTES = 24
_NEXT_INT32 = 0x15  # Thrift compact protocol: the field after the last one, a 32-bit integer
ReadError: tuple[type[Exception], ...] = (_pa.ArrowException, OSError, ValueError)


class TableWriter:
    """Writes Parquet row groups into an open binary file; close it before the file."""

    def __init__(
        self, file: BinaryIO, schema: Mapping[str, str], *, compression: Compression = "none"
    ) -> None:
        self._schema: Any = _arrow_schema(schema)
        self._writer: Any = _pq.ParquetWriter(
            file,
            self._schema,
            compression=compression,
            use_dictionary=False,
            write_statistics=False,
            store_schema=False,
            write_page_checksum=True,
            data_page_version="1.0",
        )

    def write_row_group(self, columns: Mapping[str, Column]) -> None:
        """Append the columns, all of one length, as exactly one row group."""
        arrays = [_pa.array(columns[field.name], type=field.type) for field in self._schema]
        table = _pa.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def close(self) -> None:
        """Write the footer; without it the file is not Parquet."""
        self._writer.close()


class TableFile:
    """A Parquet file read one row group at a time; several threads may share it."""

    def __init__(self, file: Any) -> None:
        self._file: Any = file
        self._lock = threading.Lock()

    @property
    def num_row_groups(self) -> int:
        """How many row groups the file has."""
        return int(self._file.num_row_groups)

    def arrays(self, row_group: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The named number columns of one row group."""
        table = self._read(row_group, names)
        return {name: table.column(name).to_numpy() for name in names}

    def values(self, row_group: int, names: Sequence[str]) -> dict[str, list[Any]]:
        """The named columns of one row group as Python values."""
        table = self._read(row_group, names)
        return {name: table.column(name).to_pylist() for name in names}

    def all_values(self) -> dict[str, list[Any]]:
        """Every column of the whole file as Python values."""
        with self._lock:
            table: Any = self._file.read(use_threads=False)
        return cast("dict[str, list[Any]]", table.to_pydict())

    def close(self) -> None:
        """Give back the file descriptor."""
        self._file.close()

    def _read(self, row_group: int, names: Sequence[str]) -> Any:
        if row_group >= self.num_row_groups:
            raise ValueError(f"{self.num_row_groups} row groups, so none of number {row_group}")
        with self._lock:
            return self._file.read_row_group(row_group, columns=list(names), use_threads=False)


def open_table(path: Path, schema: Mapping[str, str]) -> TableFile:
    """Open a Parquet file that has the columns of `schema` in that order; page checksums are verified.

    Raises: ValueError for other columns; OSError and Arrow's own errors (see `ReadError`).
    """
    file: Any = _pq.ParquetFile(path, page_checksum_verification=True)
    found = [(field.name, str(field.type)) for field in file.schema_arrow]
    # Parquet does not tell a large column from a small one, and Arrow reads both the same way.
    expected = [(name, str(_TYPES[kind]).removeprefix("large_")) for name, kind in schema.items()]
    if found != expected:
        raise ValueError(f"columns {found} instead of {expected}")
    return TableFile(file)


def write_table(file: BinaryIO, schema: Mapping[str, str], columns: Mapping[str, Column]) -> None:
    """Write a small table as a Parquet file of one row group."""
    writer = TableWriter(file, schema)
    writer.write_row_group(columns)
    writer.close()


def _arrow_schema(schema: Mapping[str, str]) -> Any:
    return _pa.schema([_pa.field(name, _TYPES[kind], nullable=False) for name, kind in schema.items()])


@dataclass(frozen=True)
class ValueRanges:
    """Where in a file the one value of each row group lies: `size` bytes from `offset` on.

    `crc` is the CRC-32 of the value and the four bytes before it.
    """

    offset: Int64[np.ndarray, " rows"]
    size: Int64[np.ndarray, " rows"]
    crc: UInt32[np.ndarray, " rows"]


def value_ranges(path: Path, column: str) -> ValueRanges:
    """Find the bytes of a binary column, one row a row group, so that they can be read without Arrow.

    What is not compressed lies in the file as it is, in one data page: a Thrift header, a length of four
    bytes and the value (Parquet format, "Plain" encoding). This is many times faster than asking pyarrow for
    the row group.
    Raises: ValueError if the file is laid out in any other way; OSError and Arrow's own errors.
    """
    with path.open("rb") as file:
        parquet: Any = _pq.ParquetFile(file)
        metadata: Any = parquet.metadata
        index = list(parquet.schema_arrow.names).index(column)
        rows = int(metadata.num_row_groups)
        ranges = ValueRanges(np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.zeros(rows, np.uint32))
        for i in range(rows):
            chunk: Any = metadata.row_group(i).column(index)
            is_plain = chunk.compression == "UNCOMPRESSED" and not chunk.has_dictionary_page
            if chunk.num_values != 1 or not is_plain:
                raise ValueError(
                    f"row group {i}: {chunk.num_values} {chunk.compression} values, not 1 plain one"
                )
            begin, page_bytes = int(chunk.data_page_offset), int(chunk.total_compressed_size)
            file.seek(begin)
            num_bytes, crc = _page_facts(file.read(_HEADER_BYTES))
            if not 4 <= num_bytes < page_bytes:
                raise ValueError(f"row group {i}: a value of {num_bytes} bytes in a page of {page_bytes}")
            end = begin + page_bytes
            ranges.offset[i], ranges.size[i], ranges.crc[i] = end - num_bytes + 4, num_bytes - 4, crc
    return ranges


def _page_facts(header: bytes) -> tuple[int, int]:
    """Read size and CRC-32 from a Parquet page header in Thrift's compact protocol.

    Its first four fields are 32-bit integers: page type, size, size once compressed, CRC.
    """
    position, values = 0, list[int]()
    try:
        for _field in range(4):
            if header[position] != _NEXT_INT32:
                raise ValueError("a page without a checksum, or that is not Parquet's")
            position, value = _varint(header, position + 1)
            values.append((value >> 1) ^ -(value & 1))  # zigzag
    except IndexError as error:
        raise ValueError("a page header that is cut off") from error
    return values[2], values[3] & 0xFFFFFFFF


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return position, value
