"""Fewer threads for the network while other programs use the cores.

OpenMP's threads wait for one another at every operator, spinning. Where one of them has lost its core to another
program the others burn theirs, and two threads become many times slower than one (`benchmarks/busy_machine.py`).
"""
from __future__ import annotations

from collections.abc import Callable
import math
import os
from pathlib import Path
import time

from rsgmamba_ros.ops.cpu import threads as cpu_threads

#: Seconds between two looks at the load.
INTERVAL_S = 1.0
#: Looks, one after the other, that must find a core free before it is taken again, for a load that comes and goes.
LOOKS_BEFORE_RISE = 3
#: A core that others use for less than this share of the time counts as free.
TOLERATED_SHARE = 0.4
_STAT = Path('/proc/stat')
#: Of a line of /proc/stat behind the core's name: what is not busy, and what the line counts twice.
_IDLE, _IOWAIT, _GUEST = 3, 4, 8


def read_cpu_times() -> tuple[float, float] | None:
    """CPU seconds spent on the cores of this process by everybody, and by this process; None where it cannot be read.

    Source: proc_stat(5). What a hypervisor took away counts as spent by others.
    """
    try:
        lines = _STAT.read_text(encoding='ascii').splitlines()
        names = {f'cpu{core}' for core in os.sched_getaffinity(0)}
        busy = 0
        for name, *counts in (line.split() for line in lines):
            if name in names:
                busy += sum(int(count) for index, count in enumerate(counts[:_GUEST]) if index not in (_IDLE, _IOWAIT))
        own = os.times()
        return busy / os.sysconf('SC_CLK_TCK'), own.user + own.system
    except (OSError, AttributeError, ValueError):  # not Linux, or a container that hides it
        return None


class CpuSharing:
    """Keeps the number of threads to the cores that other programs leave free.

    Ask it now and then from the thread that computes: OpenMP keeps a number for each thread.

    Args:
        wanted: threads where nobody else computes; 0 for torch's own choice.
        read: the CPU times, see `read_cpu_times`.
        clock: seconds.
    """

    def __init__(self, *, wanted: int = 0, read: Callable[[], tuple[float, float] | None] = read_cpu_times,
                 clock: Callable[[], float] = time.monotonic):
        self.wanted = wanted or cpu_threads.OWN_CHOICE
        self.threads = self.wanted
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
        self._read, self._clock = read, clock
        self._last, self._last_s = read(), clock()
        self._looks = 0

    def update(self) -> bool:
        """Look at the load if it is time to, and set the number of threads; whether it has changed."""
        now_s = self._clock()
        passed_s = now_s - self._last_s
        if passed_s < INTERVAL_S or self.wanted == 1:
            return False
        times, last = self._read(), self._last
        self._last, self._last_s = times, now_s
        if times is None or last is None:
            return False
        others = max(0.0, (times[0] - last[0]) - (times[1] - last[1])) / passed_s
        fitting = min(max(math.floor(self._cores - others + TOLERATED_SHARE), 1), self.wanted)
        self._looks = self._looks + 1 if fitting > self.threads else 0
        if fitting >= self.threads and self._looks < LOOKS_BEFORE_RISE:
            return False
        self.threads, self._looks = fitting, 0
        cpu_threads.use_threads(fitting)
        return True
