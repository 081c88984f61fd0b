"""Writes images and results as a ROS 2 bag with rosbags; the bag stays readable if the disk becomes full."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
import shutil
import sqlite3
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from rosbags.typesys.store import Typestore

from rsgmamba_ros.data.messages.definitions import typestore
from rsgmamba_ros.data.messages.serialised_images import COMPRESSED_IMAGE_TYPE, IMAGE_TYPE
from rsgmamba_ros.vocabulary.errors import BagError

STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
#: 'storage' compresses the chunks of an MCAP file, which every MCAP reader reads; only rosbag2 reads the other two.
COMPRESSIONS = {'none': CompressionMode.NONE, 'message': CompressionMode.MESSAGE, 'file': CompressionMode.FILE,
                'storage': CompressionMode.STORAGE}

#: Bytes that stay free on the disk: room for the end of the bag and for the report.
RESERVE = 32 * 2**20
#: Bytes between two checks of the free space, and between two commits to an SQLite bag.
_CHECK_INTERVAL = 4 * 2**20


class _PlainPathWriter(Sqlite3Writer):
    """The SQLite writer of rosbags, for paths with #, ? or %: rosbags 0.11 does not quote them in its URI."""

    def __init__(self, path: Path, compression: CompressionMode):
        if compression == CompressionMode.STORAGE:
            raise WriterError('SQLite has no compression of its own; compress messages or files')
        self.path = path / f'{path.name}.db3'
        self.conn = sqlite3.connect(self.path)
        self.conn.executescript(self.SQLITE_SCHEMA)
        self.cursor = self.conn.cursor()


class _RosbagsWriter(Writer):
    STORAGE_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.SQLITE3: _PlainPathWriter}


class BagWriter:
    """Writes a bag. A context manager; after an exception the messages so far are kept.

    Args:
        path: folder to create.
        storage: one of `STORAGES`.
        compression: one of `COMPRESSIONS`.

    Raises:
        BagError: the folder exists or cannot be made. Later: the disk is full. The bag is then complete up to that
            point; if the disk filled up without warning, `BagReader` can read it up to its last chunk.
    """

    def __init__(self, path: str | Path, *, storage: str = 'mcap', compression: str = 'none'):
        self.path = Path(path)
        self.count = 0
        self._unchecked_bytes = 0
        self._connections: dict[str, Connection] = {}
        self._open = True
        try:
            self._writer = _RosbagsWriter(self.path, version=9 if storage == 'mcap' else 8,
                                          storage_plugin=STORAGES[storage])
            self._writer.set_compression(COMPRESSIONS[compression], CompressionFormat.ZSTD)
            self._writer.open()
        except (WriterError, OSError, sqlite3.Error) as error:
            raise BagError(f'cannot write the bag {self.path}: {error}') from error
        self._check_space()

    @property
    def types(self) -> Typestore:
        """Message classes by name: `types.types['std_msgs/msg/Header']`."""
        return typestore()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the bag, so that every tool can read it.

        Raises:
            BagError: the disk is full.
        """
        if self._open:
            self._open = False
            self._guarded(self._writer.close)

    def write_image(self, topic: str, pixels: np.ndarray, *, encoding: str, stamp_ns: int, received_ns: int,
                    frame_id: str = '') -> None:
        """Add a sensor_msgs/Image.

        Args:
            pixels: (H, W) or (H, W, 3), of the encoding's type.
            stamp_ns: for the header, nanoseconds.
            received_ns: bag time, nanoseconds.
        """
        pixels = np.ascontiguousarray(pixels)
        message = self.types.types[IMAGE_TYPE](
            header=self.header(stamp_ns, frame_id), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
            is_bigendian=0, step=pixels.strides[0], data=pixels.reshape(-1).view(np.uint8))
        self.write(topic, IMAGE_TYPE, message, received_ns=received_ns)

    def write_compressed_image(self, topic: str, data: bytes, *, format: str, stamp_ns: int, received_ns: int,
                               frame_id: str = '') -> None:
        """Add a sensor_msgs/CompressedImage; `format` as in `decode_compressed_image`."""
        message = self.types.types[COMPRESSED_IMAGE_TYPE](
            header=self.header(stamp_ns, frame_id), format=format, data=np.frombuffer(data, np.uint8))
        self.write(topic, COMPRESSED_IMAGE_TYPE, message, received_ns=received_ns)

    def header(self, stamp_ns: int, frame_id: str = '') -> Any:
        """A std_msgs/Header."""
        stamp = self.types.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 1_000_000_000))
        return self.types.types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)

    def write(self, topic: str, message_type: str, message: Any, *, received_ns: int) -> None:
        """Add a message of any type in `types`.

        Raises:
            BagError: the disk is full; the bag is then closed.
        """
        self.write_serialised(topic, message_type, self.types.serialize_cdr(message, message_type),
                              received_ns=received_ns)

    def write_serialised(self, topic: str, message_type: str, data: bytes | memoryview, *, received_ns: int) -> None:
        """Add a message that is already serialised (CDR); otherwise as `write`."""
        if not self._open:
            raise BagError(f'the bag {self.path} is closed')
        self._unchecked_bytes += len(data)
        if self._unchecked_bytes >= _CHECK_INTERVAL:
            self._unchecked_bytes = 0
            self._check_space()
            self._guarded(self._commit)
        self.add_topic(topic, message_type)
        self._guarded(lambda: self._writer.write(self._connections[topic], received_ns, data))
        self.count += 1

    def add_topic(self, topic: str, message_type: str) -> None:
        """Add a topic before its first message, which would otherwise take some tens of milliseconds longer."""
        if topic not in self._connections:
            self._connections[topic] = self._guarded(
                lambda: self._writer.add_connection(topic, message_type, typestore=self.types))

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < RESERVE:
            self.close()
            raise BagError(f'the disk of {self.path} is full: {free / 2**20:.0f} MiB are left, and {RESERVE >> 20} MiB '
                           f'are kept free; the bag holds the {self.count} messages before that')

    def _commit(self) -> None:
        """Commit the SQLite transaction of rosbags, so that an abort keeps the messages so far."""
        connection = getattr(self._writer.storage, 'conn', None)
        if connection is not None:
            connection.commit()

    def _guarded(self, action: Any) -> Any:
        try:
            return action()
        except (OSError, sqlite3.Error) as error:
            self._open = False
            with suppress(OSError, sqlite3.Error):  # no room for the end of the file either; what reached it stays
                self._writer.abort()
            raise BagError(f'cannot write on to the bag {self.path}: {error}; it can be read up to about message '
                           f'{self.count}') from error
