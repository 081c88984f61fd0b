"""Reads chunks and records of an MCAP file without its index, which may be missing, damaged or useless."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
import os
import struct
from typing import NamedTuple
import zlib

from rsgmamba_ros.data.bags.compression import decompress

MAGIC = b'\x89MCAP0\r\n'
SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, DATA_END = 3, 4, 5, 6, 7, 15

RECORD_START = struct.Struct('<BQ')        #: opcode, length
CHUNK_START = struct.Struct('<BQQQQII')    #: opcode, length, start, end, uncompressed size, CRC, length of the name
INDEX_START = struct.Struct('<BQHI')       #: opcode, length, channel, bytes of entries
MESSAGE_START = struct.Struct('<BQHIQQ')   #: opcode, length, channel, sequence, log time, publish time
INDEX_ENTRY_BYTES = 16
#: Longest name of a compression, bytes.
_LONGEST_NAME = 32


class Place(NamedTuple):
    """Where a chunk, or a record outside the chunks, lies in a file.

    Attributes:
        start_ns: log time of its first message, nanoseconds; 0 for records that are no messages.
        offset: of the record from the start of the file, bytes.
        size: of the record with opcode and length, bytes.
    """

    start_ns: int
    offset: int
    size: int
    is_chunk: bool


@dataclass
class Scan:
    """The content of a file, found without its index.

    Attributes:
        places: of the chunks, and of messages, schemas and channels outside the chunks.
        indexed: for the offset of a chunk and a channel the number of messages, from the index behind the chunk.
        cut: where and how the file is cut off; empty if it is whole.
    """

    places: list[Place] = field(default_factory=list)
    indexed: dict[int, dict[int, int]] = field(default_factory=dict)
    cut: str = 'it ends without an end record'


def scan(file: int) -> Scan:
    """Find the records of a file, from its start to the end of its data or to the first damage.

    Args:
        file: descriptor.
    """
    found, size, offset, chunk = Scan(), os.fstat(file).st_size, len(MAGIC), 0
    while offset < size:
        head = os.pread(file, CHUNK_START.size, offset)
        if len(head) < RECORD_START.size:
            found.cut = f'it ends within a record at byte {offset}'
            break
        opcode, length = RECORD_START.unpack_from(head)
        record_size = RECORD_START.size + length
        if opcode == DATA_END:
            found.cut = ''
            break
        if not opcode:
            found.cut = f'no record begins at byte {offset}'
            break
        if opcode == CHUNK and len(head) == CHUNK_START.size:
            chunk = offset
            found.places.append(Place(CHUNK_START.unpack(head)[2], offset, min(record_size, size - offset), True))
        elif opcode in (SCHEMA, CHANNEL, MESSAGE) and offset + record_size <= size:
            start_ns = MESSAGE_START.unpack_from(head)[4] if opcode == MESSAGE else 0
            found.places.append(Place(start_ns, offset, record_size, False))
        elif opcode == MESSAGE_INDEX and chunk and len(head) >= INDEX_START.size:
            _, _, channel, entries = INDEX_START.unpack_from(head)
            found.indexed.setdefault(chunk, {})[channel] = entries // INDEX_ENTRY_BYTES
        if offset + record_size > size:
            found.cut = f'it ends within a record at byte {offset}'
        offset += record_size
    return found


def read_place(file: int, place: Place) -> bytes:
    """Read the records of a chunk, decompressed, or the one record outside the chunks.

    Of a chunk that is cut off, the records before the cut are read if it is not compressed.

    Raises:
        ValueError: the chunk is damaged.
    """
    raw = os.pread(file, place.size, place.offset)
    if not place.is_chunk:
        return raw
    if len(raw) < CHUNK_START.size or raw[0] != CHUNK:
        raise ValueError('no chunk begins there')
    _, length, _, _, size, checksum, name_size = CHUNK_START.unpack_from(raw)
    start = CHUNK_START.size + name_size + 8
    if name_size > _LONGEST_NAME or start > len(raw):
        raise ValueError('its header is damaged')
    compression = raw[CHUNK_START.size:start - 8].decode('ascii', 'replace')
    (data_size,) = struct.unpack_from('<Q', raw, start - 8)
    if compression and len(raw) < start + data_size:
        raise ValueError(f'it is cut off, {compression}')
    records = decompress(memoryview(raw)[start:start + data_size], compression, size=size)
    if compression and (len(records) != size or (checksum and zlib.crc32(records) != checksum)):
        raise ValueError('its checksum is wrong')
    return records


def walk(records: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterate over records: opcode, start and end of each, in bytes.

    Raises:
        ValueError: a record is damaged, or longer than what is left.
    """
    offset = 0
    while offset < len(records):
        if offset + RECORD_START.size > len(records):
            raise ValueError('it ends within a record')
        opcode, length = RECORD_START.unpack_from(records, offset)
        end = offset + RECORD_START.size + length
        if end > len(records) or not opcode:
            raise ValueError('a record of it is damaged or cut off')
        yield opcode, offset, end
        offset = end
