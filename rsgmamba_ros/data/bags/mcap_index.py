"""Reads messages of an uncompressed MCAP file by its index: whole, or their first bytes only.

A replay without a network needs stamps but no pixels. rosbag2 writes such files by default.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import os
import struct

from mcap.records import ChunkIndex
import numpy as np

from rsgmamba_ros.data.bags.mcap_chunks import CHUNK_START, INDEX_START, MESSAGE, MESSAGE_INDEX, MESSAGE_START

#: One page: more than the header and the fields of an image message ever take.
HEAD_BYTES = 4096
#: Largest record, bytes. A greater length is damaged.
_LARGEST_RECORD = 2**31

_ENTRY = np.dtype([('time_ns', '<u8'), ('offset', '<u8')])
_LOCATION = np.dtype([('time_ns', '<u8'), ('offset', '<u8'), ('channel', '<u2')])


def locate_messages(file: int, chunks: Sequence[ChunkIndex], counts: Mapping[int, int]) -> np.ndarray | None:
    """Find the messages of some channels.

    Args:
        file: descriptor.
        counts: number of messages of each wanted channel.

    Returns:
        Time, offset in the file and channel of each message, in order of time; None if the index is incomplete.
    """
    try:
        found = [entries for chunk in chunks for entries in _read_index(file, chunk, counts)]
    except (struct.error, ValueError):
        return None
    merged = np.concatenate(found) if found else np.empty(0, _LOCATION)
    if any(int((merged['channel'] == channel).sum()) != count for channel, count in counts.items()):
        return None
    return merged[np.lexsort((merged['offset'], merged['time_ns']))]


def read_messages(file: int, locations: np.ndarray, *, head_only: bool) -> Iterator[tuple[int, int, memoryview]]:
    """Channel, log time and data of each message, or the first bytes of the data; damaged messages are left out.

    Most topics have messages of one size. So the size of the one before is tried first: one read is then enough.
    """
    sizes: dict[int, int] = {}
    for time_ns, offset, channel in locations.tolist():
        raw = os.pread(file, MESSAGE_START.size + HEAD_BYTES if head_only else sizes.get(channel, HEAD_BYTES), offset)
        if len(raw) < MESSAGE_START.size:
            continue
        opcode, length, own_channel, _, own_time_ns, _ = MESSAGE_START.unpack_from(raw)
        if (opcode, own_channel, own_time_ns) != (MESSAGE, channel, time_ns) or length > _LARGEST_RECORD:
            continue
        size = 9 + length
        if not head_only:
            if size > len(raw):
                raw = os.pread(file, size, offset)
            if size > len(raw):
                continue
            sizes[channel] = size
        yield channel, time_ns, memoryview(raw)[MESSAGE_START.size:size]


def _read_index(file: int, chunk: ChunkIndex, channels: Mapping[int, int]) -> Iterator[np.ndarray]:
    """The index entries of some channels; offsets count from the start of the file."""
    if set(channels).isdisjoint(chunk.message_index_offsets):
        return
    records_start = chunk.chunk_start_offset + CHUNK_START.size + len(chunk.compression) + 8
    raw = os.pread(file, chunk.message_index_length, chunk.chunk_start_offset + chunk.chunk_length)
    offset = 0
    while offset < len(raw):
        opcode, length, channel, size = INDEX_START.unpack_from(raw, offset)
        if opcode != MESSAGE_INDEX:
            raise ValueError('no message index begins there')
        if channel in channels:
            entries = np.frombuffer(raw, _ENTRY, size // _ENTRY.itemsize, offset + INDEX_START.size)
            found = np.empty(len(entries), _LOCATION)
            found['time_ns'], found['channel'] = entries['time_ns'], channel
            found['offset'] = entries['offset'] + records_start
            yield found
        offset += 9 + length
