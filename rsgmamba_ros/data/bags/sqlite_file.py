"""Reads the messages of an SQLite file in receive order, with its write-ahead log, whole, damaged or cut off.

Nothing is written beside the file: its disk may be read-only.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import apsw
import numpy as np

from rsgmamba_ros.data.bags.mcap_index import HEAD_BYTES
from rsgmamba_ros.data.bags.records import BagMessage, Damage, one_line, Topic

_ROW = np.dtype([('time_ns', '<i8'), ('row', '<i8'), ('topic', '<i8')])
#: After so many unreadable rows in sequence the rest of a damaged table is given up.
_LARGEST_HOLE = 2000
#: Steps of SQLite's virtual machine between two checks of the limit.
_STEPS = 10_000


class SqliteFile:
    """One SQLite file, see `BagFile`.

    Args:
        damage: gets a sentence for each fault of the file.

    Raises:
        apsw.Error: nothing of it can be read.
    """

    ros1 = False

    def __init__(self, path: Path, damage: Damage):
        self._path = path
        self._damage = damage
        self._connection = open_readonly(path)
        # A damaged tree can lead in circles: no query takes more steps than a file of this size could need.
        self._steps = self._most_steps = 2_000_000 + 2 * path.stat().st_size
        self._connection.set_progress_handler(self._has_no_steps_left, _STEPS)
        self._kinds: dict[int, tuple[str, str]] = {
            row: (str(name), str(message_type))
            for row, name, message_type in self._connection.execute('SELECT id, name, type FROM topics')}
        self._salvaged: np.ndarray | None = None
        try:
            counts = self._count()
        except apsw.Error as error:
            self._salvaged = self._salvage(one_line(error))
            counts = Counter(self._salvaged['topic'].tolist())
            times = self._salvaged['time_ns']
            self.start_ns, self.end_ns = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        self.topics = [Topic(*kind, counts[row]) for row, kind in self._kinds.items()]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """See `BagFile`."""
        return self._read(topics, limit=None)

    def heads(self, topics: set[str]) -> Iterator[BagMessage]:
        """See `BagFile`; only the first bytes of a blob are read, without its overflow pages."""
        return self._read(topics, limit=HEAD_BYTES)

    def _read(self, topics: set[str], *, limit: int | None) -> Iterator[BagMessage]:
        blob: apsw.Blob | None = None
        for time_ns, row, topic in self._rows(topics).tolist():
            try:
                if blob is None:
                    blob = self._connection.blob_open('main', 'messages', 'data', row, False)
                else:
                    blob.reopen(row)
                data = blob.read(blob.length() if limit is None else min(limit, blob.length()))
            except apsw.Error as error:
                if blob is not None:  # it cannot be opened again
                    blob.close(True)
                self._damage.lose(f'{self._path.name} is damaged ({one_line(error)}): messages of it cannot be read')
                blob = None
                continue
            yield BagMessage(*self._kinds[topic], time_ns, data)
        if blob is not None:
            blob.close()

    def _rows(self, topics: set[str]) -> np.ndarray:
        """Time, row and topic of the messages of some topics, in receive order."""
        self._steps = self._most_steps
        wanted = [row for row, kind in self._kinds.items() if kind[0] in topics]
        if self._salvaged is None:
            marks = ', '.join('?' * len(wanted))
            query = f'SELECT timestamp, id, topic_id FROM messages WHERE topic_id IN ({marks})'
            try:
                rows = np.fromiter(self._connection.execute(query, wanted), _ROW)
            except apsw.Error as error:
                self._salvaged = self._salvage(one_line(error))
        if self._salvaged is not None:
            rows = self._salvaged[np.isin(self._salvaged['topic'], wanted)]
        return rows[np.lexsort((rows['row'], rows['time_ns']))]

    def _has_no_steps_left(self) -> bool:
        self._steps -= _STEPS
        return self._steps < 0

    def _count(self) -> Counter[int]:
        """Count the messages of each topic, and find the times of the first and the last message."""
        counts: Counter[int] = Counter()
        starts, ends = [], []
        for topic, count, start_ns, end_ns in self._connection.execute(
                'SELECT topic_id, COUNT(*), MIN(timestamp), MAX(timestamp) FROM messages GROUP BY topic_id'):
            counts[topic] = count
            starts.append(int(start_ns))
            ends.append(int(end_ns))
        self.start_ns, self.end_ns = min(starts, default=0), max(ends, default=0)
        if unknown := sum(count for topic, count in counts.items() if topic not in self._kinds):
            self._damage.lose(f'{self._path.name}: {unknown} messages belong to no topic of the file')
        return counts

    def _salvage(self, reason: str) -> np.ndarray:
        """Read what can be read of a damaged table, from its start and beyond its holes."""
        found: list[tuple[int, int, int]] = []
        last = holes = hole = 0
        self._steps = self._most_steps
        while hole < _LARGEST_HOLE:
            try:
                for row, topic, time_ns in self._connection.execute(
                        'SELECT id, topic_id, timestamp FROM messages WHERE id > ? ORDER BY id', (last,)):
                    if row <= last:
                        raise apsw.CorruptError('rows are not in order')
                    if topic in self._kinds and isinstance(time_ns, int):
                        found.append((time_ns, row, topic))
                    holes += row - last - 1 if hole else 0
                    last, hole = row, 0
                break
            except apsw.InterruptError:
                break
            except apsw.Error:
                last += 1
                hole += 1
                holes += 1
        lost = holes - hole
        self._steps = self._most_steps
        self._damage.lose(f'{self._path.name} is damaged or cut off ({reason}): {len(found)} messages of it can be '
                          f'read, {lost} before the last of them are lost, and perhaps others after it', lost)
        return np.array(found, _ROW)


def open_readonly(path: Path) -> apsw.Connection:
    """Open a file as SQLite itself sees it, and write nothing.

    If a recorder was killed, its last messages are in the write-ahead log beside the file. In exclusive mode, without
    locks on the file, SQLite keeps the index of this log in memory instead of in a file.
    """
    log = path.with_name(path.name + '-wal')
    has_log = log.exists() and log.stat().st_size > 0
    options = 'mode=ro&vfs=unix-none' if has_log else 'immutable=1'
    connection = apsw.Connection(f'file:{quote(str(path.absolute()))}?{options}',
                                 flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    if has_log:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute('PRAGMA locking_mode = EXCLUSIVE').fetchall()
    return connection
