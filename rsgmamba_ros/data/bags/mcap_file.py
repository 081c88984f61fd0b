"""Reads the messages of an MCAP file in order of log time, with or without an index, whole, damaged or cut off."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from io import BytesIO
import os
from pathlib import Path
import struct
from typing import BinaryIO
import zlib

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Schema
from mcap.summary import Summary

from rsgmamba_ros.data.bags.mcap_chunks import (
    CHANNEL,
    MAGIC,
    MESSAGE,
    MESSAGE_START,
    Place,
    read_place,
    RECORD_START,
    Scan,
    scan,
    SCHEMA,
    walk,
)
from rsgmamba_ros.data.bags.mcap_index import locate_messages, read_messages
from rsgmamba_ros.data.bags.records import BagMessage, Damage, one_line, Topic

#: Summary start, start of the offsets, checksum, and the magic bytes behind the footer.
_FOOTER_END = struct.Struct('<QQI8s')
_PARSE_ERRORS = (McapError, OSError, ValueError, KeyError, OverflowError, MemoryError, struct.error)


class McapFile:
    """One MCAP file, see `BagFile`.

    Args:
        damage: gets a sentence for each fault of the file.

    Raises:
        ValueError: it is no MCAP file.
    """

    def __init__(self, path: Path, damage: Damage):
        self._path = path
        self._damage = damage
        self._file: BinaryIO = path.open('rb', buffering=0)
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: Counter[int] = Counter()
        self._places: list[Place] = []
        self.start_ns = self.end_ns = 0
        self._summary = _read_summary(self._file)
        if self._summary is None or not self._take_summary(self._summary):
            self._summary = None
            self._take_scan(scan(self._file.fileno()))
        self.ros1 = any(channel.message_encoding == 'ros1' for channel in self._channels.values())
        self._kinds = {identifier: (channel.topic, self._message_type(channel))
                       for identifier, channel in self._channels.items()}
        counts: Counter[tuple[str, str]] = Counter()
        for identifier, kind in self._kinds.items():
            counts[kind] += self._counts[identifier]
        self.topics = [Topic(*kind, count) for kind, count in counts.items()]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """See `BagFile`."""
        return self._read(topics, head_only=False)

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        """See `BagFile`."""
        return self._read(topics, head_only=True)

    def _read(self, topics: set[str], *, head_only: bool) -> Iterator[BagMessage]:
        kinds = {channel: kind for channel, kind in self._kinds.items() if kind[0] in topics}
        for channel, time_ns, data in self._by_index(set(kinds), head_only=head_only) or self._by_chunk(set(kinds)):
            yield BagMessage(*kinds[channel], time_ns, data)

    def _by_index(self, channels: set[int], *, head_only: bool) -> Iterator[tuple[int, int, memoryview]] | None:
        """Channel, log time and data, found by the index; None if the index cannot be used."""
        chunks = self._summary.chunk_indexes if self._summary else []
        if not chunks or any(chunk.compression or not chunk.message_index_length for chunk in chunks):
            return None
        counts = {channel: self._counts[channel] for channel in channels}
        locations = locate_messages(self._file.fileno(), chunks, counts)
        return None if locations is None else read_messages(self._file.fileno(), locations, head_only=head_only)

    def _by_chunk(self, channels: set[int]) -> Iterator[tuple[int, int, memoryview]]:
        """Channel, log time and data, chunk by chunk; only chunks that overlap in time are kept in memory."""
        waiting: list[tuple[int, int, int, int, memoryview]] = []
        for place in sorted(self._places):
            while waiting and waiting[0][0] < place.start_ns:
                time_ns, _, _, channel, data = heappop(waiting)
                yield channel, time_ns, data
            for record in self._messages_of(place):
                if record[3] in channels:
                    heappush(waiting, record)
        while waiting:
            time_ns, _, _, channel, data = heappop(waiting)
            yield channel, time_ns, data

    def _messages_of(self, place: Place) -> Iterator[tuple[int, int, int, int, memoryview]]:
        """Log time, offset of the chunk, offset in it, channel and data; schemas and channels are kept."""
        try:
            records = read_place(self._file.fileno(), place)
            for opcode, start, end in walk(records):
                if opcode == MESSAGE and end - start >= MESSAGE_START.size:
                    _, _, channel, _, time_ns, _ = MESSAGE_START.unpack_from(records, start)
                    if channel in self._channels:
                        yield time_ns, place.offset, start, channel, memoryview(records)[start + MESSAGE_START.size:end]
                elif opcode in (SCHEMA, CHANNEL):
                    self._take_definition(opcode, records[start + RECORD_START.size:end])
        except _PARSE_ERRORS as error:
            self._damage.lose(f'{self._path.name}: the chunk at byte {place.offset} is damaged and was left out, or '
                              f'read up to the damage ({one_line(error)})')

    def _take_definition(self, opcode: int, content: bytes) -> None:
        stream = ReadDataStream(BytesIO(content))
        if opcode == SCHEMA:
            schema = Schema.read(stream)
            self._schemas.setdefault(schema.id, schema)
        else:
            channel = Channel.read(stream)
            self._channels.setdefault(channel.id, channel)

    def _take_summary(self, summary: Summary) -> bool:
        """Take topics, counts and chunks from the summary; False if it does not have all of them."""
        statistics = summary.statistics
        if statistics is None or statistics.chunk_count != len(summary.chunk_indexes):
            return False
        if statistics.message_count and not (summary.chunk_indexes and summary.channels):
            return False
        counts = Counter(statistics.channel_message_counts)
        if sum(counts.values()) != statistics.message_count or not set(counts) <= set(summary.channels):
            return False
        self._schemas, self._channels, self._counts = dict(summary.schemas), dict(summary.channels), counts
        self._places = [Place(chunk.message_start_time, chunk.chunk_start_offset, chunk.chunk_length, True)
                        for chunk in summary.chunk_indexes]
        self.start_ns, self.end_ns = statistics.message_start_time, statistics.message_end_time
        return True

    def _take_scan(self, found: Scan) -> None:
        """Take topics, counts and chunks from one pass through the file."""
        self._places = found.places
        times: list[int] = []
        damaged: list[int] = []
        for place in sorted(found.places, key=lambda place: place.offset):
            known = len(self._damage.sentences)
            counts: Counter[int] = Counter()
            for time_ns, _, _, channel, _ in self._messages_of(place):
                counts[channel] += 1
                times = [min([time_ns, *times[:1]]), max([time_ns, *times[-1:]])]
            if len(self._damage.sentences) > known:
                damaged.append(place.offset)
                counts = counts | Counter(found.indexed.get(place.offset, {}))
            self._counts += counts
        self.start_ns, self.end_ns = (times[0], times[-1]) if times else (0, 0)
        count = sum(self._counts.values())
        if found.cut:
            self._damage.lose(f'{self._path.name} is cut off ({found.cut}): {count} messages of it can be read')
        elif not damaged:
            self._damage.note(f'{self._path.name} has no index at its end, or a damaged one; all of it was read')

    def _message_type(self, channel: Channel) -> str:
        schema = self._schemas.get(channel.schema_id)
        if schema is None:
            return ''
        package, _, name = schema.name.partition('/')
        return f'{package}/msg/{name}' if channel.message_encoding == 'ros1' and '/' not in name else schema.name


def _read_summary(file: BinaryIO) -> Summary | None:
    """The summary at the end of a file; None if it is missing or damaged.

    Raises:
        ValueError: the file does not begin as an MCAP file does.
    """
    if os.pread(file.fileno(), len(MAGIC), 0) != MAGIC:
        raise ValueError('it does not begin as an MCAP file does')
    size = os.fstat(file.fileno()).st_size
    if size < len(MAGIC) + _FOOTER_END.size:
        return None
    start, _, checksum, magic = _FOOTER_END.unpack(os.pread(file.fileno(), _FOOTER_END.size, size - _FOOTER_END.size))
    if magic != MAGIC or not 0 < start < size:
        return None
    section = os.pread(file.fileno(), size - 12 - start, start)
    if checksum and zlib.crc32(section) != checksum:
        return None
    try:
        with open(file.fileno(), 'rb', closefd=False) as stream:
            stream.seek(0)
            return make_reader(stream).get_summary()
    except _PARSE_ERRORS:
        return None
