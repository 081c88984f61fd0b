"""The first bytes of every message of an MCAP file, by its index: a study of stamps need not read the pixels.

Only for files with an index and without compression, which is what rosbag2 writes by default.
"""
from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import struct
from typing import BinaryIO

from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import ChunkIndex
from mcap.summary import Summary
import numpy as np

#: One page: more than the header and the fields of an image message ever take.
HEAD_BYTES = 4096

_CHUNK_START = struct.Struct('<BQQQQII')  #: opcode, length, start, end, uncompressed size, CRC, length of the name
_INDEX_START = struct.Struct('<BQHI')     #: opcode, length, channel, bytes of entries
_MESSAGE_START = struct.Struct('<BQHIQQ')  #: opcode, length, channel, sequence, log time, publish time
_ENTRY = np.dtype([('time_ns', '<u8'), ('offset', '<u8')])


class McapHeads:
    """The messages of a file in order of their log time, each as far as its first `HEAD_BYTES` bytes."""

    def __init__(self, path: Path, summary: Summary):
        self._path = path
        self._summary = summary
        self._types = {channel.id: (channel.topic, summary.schemas[channel.schema_id].name)
                       for channel in summary.channels.values() if channel.schema_id in summary.schemas}

    def heads(self, topics: set[str]) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, message type, log time in nanoseconds, and the message or the beginning of it."""
        channels = {channel: kind for channel, kind in self._types.items() if kind[0] in topics}
        with self._path.open('rb', buffering=0) as file:
            for position, time_ns in self._positions(file, set(channels)):
                raw = os.pread(file.fileno(), _MESSAGE_START.size + HEAD_BYTES, position)
                _, length, channel, *_ = _MESSAGE_START.unpack_from(raw)
                end = 9 + length  # the record's opcode and length come before what is counted
                yield *channels[channel], time_ns, raw[_MESSAGE_START.size:end]

    def _positions(self, file: BinaryIO, channels: set[int]) -> Iterator[tuple[int, int]]:
        """Where each message's record begins, and its log time, in order of time."""
        entries = [entry for chunk in self._summary.chunk_indexes for entry in _read_index(file, chunk, channels)]
        if not entries:
            return
        merged = np.concatenate(entries)
        for index in np.lexsort((merged['offset'], merged['time_ns'])):
            yield int(merged['offset'][index]), int(merged['time_ns'][index])


def open_heads(path: Path) -> McapHeads | None:
    """The heads of a file, None if it is no uncompressed MCAP with an index."""
    if path.suffix != '.mcap':
        return None
    try:
        with path.open('rb') as stream:
            summary = make_reader(stream).get_summary()
    except (McapError, OSError, ValueError, struct.error):
        return None
    if summary is None or not summary.chunk_indexes:
        return None
    if any(chunk.compression or not chunk.message_index_length for chunk in summary.chunk_indexes):
        return None
    return McapHeads(path, summary)


def _read_index(file: BinaryIO, chunk: ChunkIndex, channels: set[int]) -> list[np.ndarray]:
    """The entries of some channels, offsets from the start of the file."""
    if not channels & set(chunk.message_index_offsets):
        return []
    records_start = chunk.chunk_start_offset + _CHUNK_START.size + len(chunk.compression) + 8
    raw = os.pread(file.fileno(), chunk.message_index_length, chunk.chunk_start_offset + chunk.chunk_length)
    found, position = [], 0
    while position < len(raw):
        _, length, channel, size = _INDEX_START.unpack_from(raw, position)
        if channel in channels:
            entries = np.frombuffer(raw, _ENTRY, size // _ENTRY.itemsize, position + _INDEX_START.size).copy()
            entries['offset'] += records_start
            found.append(entries)
        position += 9 + length
    return found
