"""The files of a bag -> serialised messages in receive order, whatever wrote the bag and however it ended.

rosbags reads every complete bag. It refuses what a robot leaves behind when it loses power: an MCAP file without its
end, or a folder without metadata.yaml. These are read as far as possible, and the damage is reported.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
import re
from typing import Protocol, TypeVar

from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.rosbag1 import Reader as Rosbag1Reader
from rosbags.rosbag2 import Reader as Rosbag2Reader
import yaml

from rsgmamba_ros.data.bags.indexed_files import BagMessage, McapMessages, MessageHeads, open_heads, open_mcap
from rsgmamba_ros.vocabulary.errors import BagError

Opened = TypeVar('Opened')

STORAGE_SUFFIXES = ('.mcap', '.db3')


@dataclass(frozen=True)
class Topic:
    """One topic of a bag.

    Attributes:
        name: as recorded.
        message_type: in ROS 2's spelling, `sensor_msgs/msg/Image`.
        count: messages.
    """

    name: str
    message_type: str
    count: int


class BagFile(Protocol):
    """One bag or one file of it. `start_ns` and `end_ns` are receive times, nanoseconds; 0 if it is empty."""

    topics: list[Topic]
    start_ns: int
    end_ns: int
    ros1: bool

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """The messages of some topics, in receive order."""
        ...

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        """As `messages`, but of each message only the beginning may be there."""
        ...


def open_bag(path: Path, stack: ExitStack) -> tuple[list[BagFile], list[str]]:
    """Open a bag, damaged or not.

    Args:
        path: a ROS 2 bag's folder, one of its files (.mcap, .db3), a ROS 1 bag (.bag) or a folder of these.
        stack: closes what was opened.

    Returns:
        Its files, in the order in which they were recorded, and a sentence for each damage that was worked around.

    Raises:
        BagError: nothing of it can be read.
    """
    if not path.exists():
        raise BagError(f'no bag at {str(path)!r}')
    files = [path]
    if path.is_dir():
        try:
            return [stack.enter_context(_Rosbag2(path))], []
        except Exception as error:  # rosbags does not turn the errors of its parsers into one of its own
            files = _storage_files(path)
            if not files:
                raise BagError(f'{path} is no bag: {_line(error)}') from error
            damage = [] if files[0].suffix == '.bag' else [f'{path.name}: {_line(error)}']
    else:
        damage = []
    opened = []
    for file in files:
        opened.append(_open_file(file, stack, damage))
    return sorted(opened, key=lambda source: source.start_ns), damage


def _storage_files(folder: Path) -> list[Path]:
    for suffixes in (STORAGE_SUFFIXES, ('.bag',)):
        if files := [file for file in folder.iterdir() if file.suffix in suffixes]:
            return sorted(files, key=lambda file: [int(part) if part.isdigit() else part
                                                   for part in re.split(r'(\d+)', file.name)])
    return []


def _open_file(path: Path, stack: ExitStack, damage: list[str]) -> BagFile:
    kinds = {'.bag': _Rosbag1, '.mcap': _Rosbag2, '.db3': _Rosbag2}
    if path.suffix not in kinds:
        raise BagError(f'{path} is no bag: expected a folder, or a file that ends in {", ".join(kinds)}')
    try:
        return stack.enter_context(kinds[path.suffix](path))
    except Exception as error:  # as above
        if path.suffix != '.mcap':
            raise BagError(f'cannot read the bag {path}: {_line(error)}') from error
        salvaged = _CutOffMcap(path)
        damage.append(f'{path.name} is cut off ({_line(error)}): '
                      f'{sum(topic.count for topic in salvaged.topics)} messages of it can be read')
        return salvaged


def _line(error: BaseException) -> str:
    """One line about an exception, for a longer sentence."""
    text = ' '.join(str(error).split()).rstrip('.')
    return text if text else type(error).__name__


class _RosbagsFile:
    """A bag that rosbags reads."""

    ros1 = False

    def __init__(self, reader: Rosbag1Reader | Rosbag2Reader):
        self._reader = reader

    def __enter__(self) -> BagFile:
        self._reader.open()
        self.topics = [Topic(name, info.msgtype or '', info.msgcount) for name, info in self._reader.topics.items()]
        empty = not self._reader.message_count
        self.start_ns = 0 if empty else self._reader.start_time
        self.end_ns = 0 if empty else self._reader.end_time - 1  # rosbags gives the first time after it
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        connections = [connection for connection in self._reader.connections if connection.topic in topics]
        if connections:
            for connection, received_ns, raw in self._reader.messages(connections):
                yield BagMessage(connection.topic, connection.msgtype, received_ns, raw)

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        return self.messages(topics)


class _Rosbag2(_RosbagsFile):
    """A bag of ROS 2. Where all of its files have an index, that is quicker than rosbags."""

    def __init__(self, path: Path):
        self._rosbag2 = Rosbag2Reader(path)
        super().__init__(self._rosbag2)
        self._path = path

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        indexed = self._indexed
        return chain.from_iterable(file.messages(topics) for file in indexed) if indexed else super().messages(topics)

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        with_heads = self._with_heads
        return chain.from_iterable(file.heads(topics) for file in with_heads) if with_heads else self.messages(topics)

    @cached_property
    def _indexed(self) -> list[McapMessages]:
        return _open_all(self._files(), open_mcap)

    @cached_property
    def _with_heads(self) -> list[MessageHeads]:
        return _open_all(self._files(), open_heads)

    def _files(self) -> list[Path]:
        """The bag's files in the order in which they were recorded; none if they are compressed."""
        if self._rosbag2.compression_mode:
            return []
        if self._path.is_file():
            return [self._path]
        return [self._path / name for name in _recorded_files(self._path / 'metadata.yaml')]


def _open_all(files: list[Path], open_file: Callable[[Path], Opened | None]) -> list[Opened]:
    """Open every file; an empty list if one of them cannot be opened in this way."""
    opened = [file for file in map(open_file, files) if file is not None]
    return opened if len(opened) == len(files) else []


class _Rosbag1(_RosbagsFile):
    ros1 = True

    def __init__(self, path: Path):
        super().__init__(Rosbag1Reader(path))


def _recorded_files(metadata: Path) -> list[str]:
    """Names of the bag's files, in the order in which they were recorded."""
    information = yaml.safe_load(metadata.read_text(encoding='utf-8'))['rosbag2_bagfile_information']
    return [Path(name).name for name in information['relative_file_paths']]


class _CutOffMcap:
    """An MCAP file without its end, read from the front to the last whole chunk."""

    ros1 = False

    def __init__(self, path: Path):
        self._path = path
        counts: dict[tuple[str, str], int] = {}
        times = [0]
        for name, message_type, received_ns, _ in self._records():
            counts[name, message_type] = counts.get((name, message_type), 0) + 1
            times = [min(times[0] or received_ns, received_ns), max(times[-1], received_ns)]
        self.topics = [Topic(*key, count) for key, count in counts.items()]
        self.start_ns, self.end_ns = times[0], times[-1]

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        return (message for message in self._records() if message.topic in topics)

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        return self.messages(topics)

    def _records(self) -> Iterator[BagMessage]:
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        with self._path.open('rb') as stream:
            records = StreamReader(stream).records
            while True:
                try:
                    record = next(records, None)
                except Exception:  # the end of what can be read; mcap, zstd and lz4 each raise their own
                    return
                if record is None:
                    return
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
                elif isinstance(record, Message):
                    channel = channels[record.channel_id]
                    yield BagMessage(channel.topic, schemas[channel.schema_id].name, record.log_time, record.data)
