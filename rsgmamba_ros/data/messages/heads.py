"""The messages of a bag's file by its index, or their first bytes: a study of stamps need not read the pixels.

Only for what rosbag2 writes by default: MCAP with an index and without compression, and SQLite.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
import os
from pathlib import Path
import struct
from typing import BinaryIO, Protocol

import apsw
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
_PLACE = np.dtype([('time_ns', '<u8'), ('offset', '<u8'), ('channel', '<u2')])


class MessageHeads(Protocol):
    """A file of which the beginning of each message can be had."""

    def heads(self, topics: set[str]) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, message type, receive time in nanoseconds, and the message or the beginning of it, in that order."""
        ...


def open_heads(path: Path) -> MessageHeads | None:
    """The heads of a file, None if they cannot be had without the rest."""
    if path.suffix == '.db3':
        return SqliteHeads(path)
    return open_mcap(path)


class SqliteHeads:
    """The messages of an SQLite file: blobs are opened, not fetched, which skips the pages that they go on on."""

    def __init__(self, path: Path):
        self._path = path

    def heads(self, topics: set[str]) -> Iterator[tuple[str, str, int, bytes]]:
        """See `MessageHeads`."""
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        with closing(apsw.Connection(f'file:{self._path}?immutable=1', flags=flags)) as connection:
            kinds = {row: (name, message_type)
                     for row, name, message_type in connection.execute('SELECT id, name, type FROM topics')
                     if name in topics}
            blob = None
            for row, topic, time_ns in connection.execute('SELECT id, topic_id, timestamp FROM messages '
                                                          'ORDER BY timestamp, id'):
                if topic not in kinds:
                    continue
                if blob is None:
                    blob = connection.blob_open('main', 'messages', 'data', row, False)
                else:
                    blob.reopen(row)
                yield *kinds[topic], time_ns, blob.read(min(HEAD_BYTES, blob.length()))
            if blob is not None:
                blob.close()


class McapMessages:
    """The messages of a file in order of their log time."""

    def __init__(self, path: Path, summary: Summary):
        self._path = path
        self._summary = summary
        self._types = {channel.id: (channel.topic, summary.schemas[channel.schema_id].name)
                       for channel in summary.channels.values() if channel.schema_id in summary.schemas}

    def heads(self, topics: set[str]) -> Iterator[tuple[str, str, int, bytes]]:
        """See `MessageHeads`."""
        channels = self._channels(topics)
        with self._path.open('rb', buffering=0) as file:
            for channel, position, time_ns in self._positions(file, set(channels)):
                raw = os.pread(file.fileno(), _MESSAGE_START.size + HEAD_BYTES, position)
                yield *channels[channel], time_ns, raw[_MESSAGE_START.size:_record_size(raw)]

    def messages(self, topics: set[str]) -> Iterator[tuple[str, str, int, memoryview]]:
        """Whole messages in the same order, each read once; rosbags reads a chunk, and then a message from it.

        Raises:
            OSError: the file ends within a message.
        """
        channels = self._channels(topics)
        sizes = dict.fromkeys(channels, HEAD_BYTES)
        with self._path.open('rb', buffering=0) as file:
            for channel, position, time_ns in self._positions(file, set(channels)):
                raw = os.pread(file.fileno(), sizes[channel], position)
                size = _record_size(raw)
                if size > len(raw):  # larger than the one before: most topics have images of one size
                    raw = os.pread(file.fileno(), size, position)
                if size > len(raw):
                    raise OSError(f'{self._path.name} ends within a message')
                sizes[channel] = size
                yield *channels[channel], time_ns, memoryview(raw)[_MESSAGE_START.size:size]

    def _channels(self, topics: set[str]) -> dict[int, tuple[str, str]]:
        return {channel: kind for channel, kind in self._types.items() if kind[0] in topics}

    def _positions(self, file: BinaryIO, channels: set[int]) -> Iterator[tuple[int, int, int]]:
        """Each message's channel, where its record begins, and its log time, in order of time."""
        entries = [entry for chunk in self._summary.chunk_indexes for entry in _read_index(file, chunk, channels)]
        if not entries:
            return
        merged = np.concatenate(entries)
        for index in np.lexsort((merged['offset'], merged['time_ns'])):
            yield int(merged['channel'][index]), int(merged['offset'][index]), int(merged['time_ns'][index])


def _record_size(raw: bytes) -> int:
    """Bytes of the message record that begins here: its opcode and length come before what is counted."""
    return 9 + _MESSAGE_START.unpack_from(raw)[1]


def open_mcap(path: Path) -> McapMessages | None:
    """None if the file is no MCAP, has no index or is compressed."""
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
    return McapMessages(path, summary)


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
            entries = np.frombuffer(raw, _ENTRY, size // _ENTRY.itemsize, position + _INDEX_START.size)
            found.append(np.empty(len(entries), _PLACE))
            found[-1]['time_ns'], found[-1]['channel'] = entries['time_ns'], channel
            found[-1]['offset'] = entries['offset'] + records_start
        position += 9 + length
    return found
