"""Throttled logging: a fault that repeats with every image gives one line a period."""
from __future__ import annotations

from collections.abc import Callable


class ThrottledLog:
    """Writes the first message of each key, then at most one a period, with the number of those left out.

    rclpy throttles by line of code; here one line of code reports many different faults.

    Args:
        write: takes the line, for example a logger's `error`.
        period_s: seconds between two lines of one key.
    """

    def __init__(self, write: Callable[[str], object], *, period_s: float = 10.0):
        self._write = write
        self._period_ns = round(period_s * 1e9)
        self._written_ns: dict[str, int] = {}
        self._held_back: dict[str, int] = {}

    def report(self, key: str, message: str, *, now_ns: int) -> None:
        """Write the message unless one of this key was written less than a period ago.

        Args:
            key: the kind of fault, one of a small set; the message may vary.
            now_ns: a clock that never jumps, nanoseconds.
        """
        written_ns = self._written_ns.get(key)
        if written_ns is not None and now_ns - written_ns < self._period_ns:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return
        held_back = self._held_back.pop(key, 0)
        self._written_ns[key] = now_ns
        self._write(f'{message} ({held_back} more since the last line)' if held_back else message)
