"""Opens the files of a bag, in the order in which they were recorded, whole or damaged.

A robot that loses power leaves MCAP files without their end, SQLite files with half of their messages in the
write-ahead log, and folders without metadata.yaml. All are read as far as possible, and the damage is reported. Topics,
types and times are read from the storage files. metadata.yaml only names the files: people edit, merge and convert it.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePath
import re
from tempfile import TemporaryDirectory

from rosbags.rosbag1 import Reader as Rosbag1Reader
import yaml

from rsgmamba_ros.data.bags.compression import decompress_file, ZSTD_MAGIC, ZSTD_SUFFIXES
from rsgmamba_ros.data.bags.mcap_chunks import MAGIC as MCAP_MAGIC
from rsgmamba_ros.data.bags.mcap_file import McapFile
from rsgmamba_ros.data.bags.records import BagFile, BagMessage, Damage, one_line, Topic
from rsgmamba_ros.data.bags.sqlite_file import SqliteFile
from rsgmamba_ros.vocabulary.errors import BagError

SUFFIXES = ('.mcap', '.db3', '.bag')

_ROS1_MAGIC = b'#ROSBAG V2.0\n'
_SQLITE_MAGIC = b'SQLite format 3\0'
_LFS_START = b'version https://git-lfs'
#: metadata.yaml has a few lines for each topic and file. A file above this size, bytes, is something else.
_LARGEST_METADATA = 2**24


class _Rosbag1File:
    """A ROS 1 bag, read by rosbags; see `BagFile`."""

    ros1 = True

    def __init__(self, path: Path, damage: Damage):
        del damage  # rosbags reads a whole bag or none
        self._reader = Rosbag1Reader(path)
        self._reader.open()
        self.close = self._reader.close
        self.topics = [Topic(name, info.msgtype or '', info.msgcount) for name, info in self._reader.topics.items()]
        empty = not self._reader.message_count
        self.start_ns = 0 if empty else self._reader.start_time
        self.end_ns = 0 if empty else self._reader.end_time - 1  # rosbags gives the first time after it

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        connections = [connection for connection in self._reader.connections if connection.topic in topics]
        if connections:
            for connection, received_ns, raw in self._reader.messages(connections):
                yield BagMessage(connection.topic, connection.msgtype, received_ns, raw)

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        return self.messages(topics)


_KINDS: Mapping[bytes, Callable[[Path, Damage], McapFile | SqliteFile | _Rosbag1File]] = {
    MCAP_MAGIC: McapFile, _SQLITE_MAGIC: SqliteFile, _ROS1_MAGIC: _Rosbag1File}


def open_bag(path: Path, stack: ExitStack) -> tuple[list[BagFile], Damage]:
    """Open a bag, damaged or not.

    Args:
        path: the folder of a ROS 2 bag, one of its files (.mcap, .db3), a ROS 1 bag (.bag) or a folder of ROS 1 bags;
            files may be compressed with zstd.
        stack: closes the files in the end.

    Returns:
        The files, in the order in which they were recorded, and the damage that was worked around.

    Raises:
        BagError: nothing of the bag can be read.
    """
    if not path.exists():
        raise BagError(f'no bag at {str(path)!r}')
    damage = Damage()
    if not path.is_dir():
        return [_open_file(path, stack, damage)], damage
    information = _read_metadata(path, damage)
    opened: list[BagFile] = []
    failed: list[str] = []
    for file in _files_of(path, information, damage):
        try:
            opened.append(_open_file(file, stack, damage))
        except BagError as error:
            failed.append(str(error))
    if not opened:
        raise BagError('; '.join(failed))
    for sentence in failed:
        damage.lose(sentence)
    _compare_counts(opened, information, damage)
    return sorted(opened, key=lambda file: file.start_ns), damage


def _open_file(path: Path, stack: ExitStack, damage: Damage) -> BagFile:
    try:
        with path.open('rb') as stream:
            start = stream.read(32)
    except OSError as error:
        raise BagError(f'cannot read the bag {path}: {one_line(error)}') from error
    if start.startswith(ZSTD_MAGIC):
        folder = Path(stack.enter_context(TemporaryDirectory(prefix='rsgmamba_bag_')))
        path = decompress_file(path, folder, damage)
        with path.open('rb') as stream:
            start = stream.read(32)
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            try:
                file = kind(path, damage)
            except Exception as error:  # neither apsw nor rosbags turns the errors of its parsers into one of its own
                hint = '; `rosbag reindex` may repair it' if magic == _ROS1_MAGIC else ''
                raise BagError(f'cannot read the bag {path}: {one_line(error)}{hint}') from error
            stack.callback(file.close)
            return file
    raise BagError(_why_no_bag(path, start))


def _why_no_bag(path: Path, start: bytes) -> str:
    if path.suffix not in SUFFIXES and path.suffix not in ZSTD_SUFFIXES:
        return f'{path} is no bag: expected a folder, or a file that ends in {", ".join(SUFFIXES)}'
    if not start:
        return f'cannot read the bag {path}: it is empty, as after a loss of power or on a full disk'
    if start.startswith(_LFS_START):
        return f'cannot read the bag {path}: it is a pointer of Git LFS and not the file; fetch it with `git lfs pull`'
    if not any(start):
        return f'cannot read the bag {path}: it begins with zeros, as after a loss of power'
    return f'cannot read the bag {path}: it does not begin as such a file does'


def _read_metadata(folder: Path, damage: Damage) -> Mapping[str, object]:
    """The contents of metadata.yaml; empty if it is missing or cannot be read."""
    path = folder / 'metadata.yaml'
    try:
        if path.stat().st_size > _LARGEST_METADATA:
            raise ValueError(f'it has {path.stat().st_size} bytes')
        document = yaml.safe_load(path.read_text(encoding='utf-8'))
        information = document['rosbag2_bagfile_information']
        if isinstance(information, dict):
            return information
        damage.note(f'{folder.name}: metadata.yaml has no description of the bag; its files are read without')
    except FileNotFoundError:
        if not list(folder.glob('*.bag')):  # ROS 1 has none
            damage.note(f'{folder.name} has no metadata.yaml; its files are read without')
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
        damage.note(f'{folder.name}: metadata.yaml cannot be read ({one_line(error)}); its files are read without')
    return {}


def _files_of(folder: Path, information: Mapping[str, object], damage: Damage) -> list[Path]:
    """The files that metadata.yaml names; all files of the folder if it names none, or if one is missing.

    Raises:
        BagError: the folder has no file of a bag.
    """
    named = information.get('relative_file_paths')
    names = [PurePath(name).name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    missing = [name for name in names if not (folder / name).is_file()]
    if names and not missing:
        return [folder / name for name in dict.fromkeys(names)]
    found = _storage_files(folder)
    if not found:
        raise BagError(f'{folder} is no bag: no file in it ends in {", ".join(SUFFIXES)}')
    if missing and len(found) < len(names):
        damage.lose(f'{folder.name}: files that metadata.yaml names are missing: {", ".join(missing)}')
    elif missing:
        damage.note(f'{folder.name}: metadata.yaml names files that are not there ({", ".join(missing)}); all files of '
                    'the folder are read')
    return found


def _storage_files(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.is_file() and _plain_name(file).suffix in SUFFIXES]
    # A file and its compressed copy are one.
    plain = {file.name for file in files if file == _plain_name(file)}
    files = [file for file in files if file == _plain_name(file) or _plain_name(file).name not in plain]
    ros2 = [file for file in files if _plain_name(file).suffix != '.bag']
    return sorted(ros2 or files, key=lambda file: [(int(part), '') if part.isdigit() else (-1, part)
                                                   for part in re.split(r'(\d+)', file.name)])


def _plain_name(file: Path) -> Path:
    return file.with_suffix('') if file.suffix in ZSTD_SUFFIXES else file


def _compare_counts(files: list[BagFile], information: Mapping[str, object], damage: Damage) -> None:
    """Report the messages that metadata.yaml counts but the files do not have."""
    counts: Counter[str] = Counter()
    for topic in (topic for file in files for topic in file.topics):
        counts[topic.name] += topic.count
    entries = information.get('topics_with_message_count')
    missing: dict[str, int] = {}
    for entry in entries if isinstance(entries, list) else []:
        try:
            name, stated = str(entry['topic_metadata']['name']), int(entry['message_count'])
        except (KeyError, TypeError, ValueError):
            continue
        if stated > counts[name]:
            missing[name] = stated - counts[name]
    if missing:
        known = sum(damage.losses.values())  # some of them are counted already where their file is damaged
        damage.lose('metadata.yaml counts messages that the files do not have: '
                    + ', '.join(f'{count} of {name}' for name, count in missing.items()),
                    max(sum(missing.values()) - known, 0))
