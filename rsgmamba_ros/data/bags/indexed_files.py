"""The messages of one file of a bag by the file's index: whole, or only their first bytes.

A replay without a network needs stamps and no pixels. This reads what rosbag2 writes by default: MCAP with an index and
without compression, and SQLite.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
import os
from pathlib import Path
import struct
from typing import BinaryIO, NamedTuple, Protocol

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
_LOCATION = np.dtype([('time_ns', '<u8'), ('offset', '<u8'), ('channel', '<u2')])


class BagMessage(NamedTuple):
    """One message of a bag, or the beginning of it.

    Attributes:
        message_type: in ROS 2's spelling, `sensor_msgs/msg/Image`.
        received_ns: receive time, nanoseconds.
        data: serialised.
    """

    topic: str
    message_type: str
    received_ns: int
    data: bytes | memoryview


class MessageHeads(Protocol):
    """A file that can give the beginning of each message alone."""

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        """The messages of some topics, in receive order; of each at least the first `HEAD_BYTES` bytes."""
        ...


def open_heads(path: Path) -> MessageHeads | None:
    """Open a file for the heads of its messages; None if they cannot be read without the rest."""
    if path.suffix == '.db3':
        return SqliteHeads(path)
    return open_mcap(path)


class SqliteHeads:
    """The messages of an SQLite file: blobs are opened and not fetched, so that overflow pages are not read."""

    def __init__(self, path: Path):
        self._path = path

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
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
                yield BagMessage(*kinds[topic], time_ns, blob.read(min(HEAD_BYTES, blob.length())))
            if blob is not None:
                blob.close()


class McapMessages:
    """The messages of a file in order of their log time."""

    def __init__(self, path: Path, summary: Summary):
        self._path = path
        self._summary = summary
        self._types = {channel.id: (channel.topic, summary.schemas[channel.schema_id].name)
                       for channel in summary.channels.values() if channel.schema_id in summary.schemas}

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        """See `MessageHeads`."""
        channels = self._channels(topics)
        with self._path.open('rb', buffering=0) as file:
            for channel, offset, time_ns in self._locations(file, set(channels)):
                raw = os.pread(file.fileno(), _MESSAGE_START.size + HEAD_BYTES, offset)
                yield BagMessage(*channels[channel], time_ns, raw[_MESSAGE_START.size:_record_size(raw)])

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """Whole messages in the same order, each read once; rosbags reads a chunk, and then a message from it.

        Raises:
            OSError: the file ends within a message.
        """
        channels = self._channels(topics)
        sizes = dict.fromkeys(channels, HEAD_BYTES)
        with self._path.open('rb', buffering=0) as file:
            for channel, offset, time_ns in self._locations(file, set(channels)):
                raw = os.pread(file.fileno(), sizes[channel], offset)
                size = _record_size(raw)
                if size > len(raw):  # larger than the one before: most topics have images of one size
                    raw = os.pread(file.fileno(), size, offset)
                if size > len(raw):
                    raise OSError(f'{self._path.name} ends within a message')
                sizes[channel] = size
                yield BagMessage(*channels[channel], time_ns, memoryview(raw)[_MESSAGE_START.size:size])

    def _channels(self, topics: set[str]) -> dict[int, tuple[str, str]]:
        return {channel: kind for channel, kind in self._types.items() if kind[0] in topics}

    def _locations(self, file: BinaryIO, channels: set[int]) -> Iterator[tuple[int, int, int]]:
        """Channel, offset of the record in the file, and log time of each message, in order of time."""
        entries = [entry for chunk in self._summary.chunk_indexes for entry in _read_index(file, chunk, channels)]
        if not entries:
            return
        merged = np.concatenate(entries)
        for index in np.lexsort((merged['offset'], merged['time_ns'])):
            yield int(merged['channel'][index]), int(merged['offset'][index]), int(merged['time_ns'][index])


def _record_size(raw: bytes) -> int:
    """Bytes of the message record that begins here: opcode and length field, and the content that the field counts."""
    length: int = _MESSAGE_START.unpack_from(raw)[1]
    return 9 + length


def open_mcap(path: Path) -> McapMessages | None:
    """Open an MCAP file; None if it is none, has no index or is compressed."""
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
    found, offset = [], 0
    while offset < len(raw):
        _, length, channel, size = _INDEX_START.unpack_from(raw, offset)
        if channel in channels:
            entries = np.frombuffer(raw, _ENTRY, size // _ENTRY.itemsize, offset + _INDEX_START.size)
            found.append(np.empty(len(entries), _LOCATION))
            found[-1]['time_ns'], found[-1]['channel'] = entries['time_ns'], channel
            found[-1]['offset'] = entries['offset'] + records_start
        offset += 9 + length
    return found
