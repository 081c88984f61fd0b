"""What the arrivals and stamps of one image stream say: its rate, its delivery, whether it lives.

Pure Python over integers, nanoseconds throughout. `lag` is arrival time minus stamp: delivery delay plus
whatever the sensor's clock is behind this machine's.
"""
from __future__ import annotations

from collections import deque
from itertools import pairwise

NS_PER_S = 1_000_000_000

#: Images that a statistic looks back on: one second at 30 Hz, long enough for the fastest delivery of a
#: stream that jitters by 120 ms to be seen with near certainty.
WINDOW_IMAGES = 30

#: A stream is in order again after this many images without one that came behind a newer one.
ORDERED_IMAGES = 60

#: Stamps that advance at another pace than arrivals, in both halves of the window, mean that the arrival
#: clock is not the stamps' clock (a bag played at half speed without simulated time).
PACE_LIMITS = (0.7, 1.4)


class StreamClock:
    """Arrivals and stamps of one modality, in bounded memory.

    Attributes:
        last_received_ns: arrival of the newest image; None if none ever came.
        newest_stamp_ns: highest stamp that was believed; None before the first.
        period_ns: usual distance of neighbouring stamps (of arrivals while stamps cannot be used); None until
            four images have come.
        streak: images since the stream started or came back to life.
        repeats: images in a row whose stamp had been seen before.
        zeros: images in a row whose stamp was zero.
    """

    def __init__(self) -> None:
        self.last_received_ns: int | None = None
        self.newest_stamp_ns: int | None = None
        self.period_ns: int | None = None
        self.streak = 0
        self.repeats = 0
        self.zeros = 0
        self._arrivals: deque[int] = deque(maxlen=WINDOW_IMAGES)
        self._believed: deque[tuple[int, int]] = deque(maxlen=WINDOW_IMAGES)
        self._ordered = ORDERED_IMAGES
        self._silence_limit_ns = _silence_limit(0, 0)

    def observe(self, stamp_ns: int, received_ns: int) -> str:
        """Take in one image.

        Returns:
            The fault of its stamp, `zero_stamp` or `repeated_stamp`; empty if it has none.
        """
        self._observe_arrival(received_ns)
        self.zeros = self.zeros + 1 if stamp_ns == 0 else 0
        if stamp_ns == 0:
            return 'zero_stamp'
        if any(stamp_ns == known for known, _ in self._believed):
            self.repeats += 1
            return 'repeated_stamp'
        self.repeats = 0
        if self.newest_stamp_ns is not None and stamp_ns < self.newest_stamp_ns:
            self._ordered = 0
        else:
            self._ordered = min(self._ordered + 1, ORDERED_IMAGES)
            self.newest_stamp_ns = stamp_ns
        self._believed.append((stamp_ns, received_ns))
        self._learn_period()
        return ''

    def silence_ns(self, now_ns: int) -> int | None:
        """Time since the newest image arrived; None if none ever came."""
        return None if self.last_received_ns is None else max(0, now_ns - self.last_received_ns)

    def is_dead(self, now_ns: int) -> bool:
        """Whether images stay away for longer than the stream's own rhythm explains (or never came)."""
        silence = self.silence_ns(now_ns)
        return silence is None or silence > self._silence_limit_ns

    @property
    def longest_gap_ns(self) -> int:
        """Longest time between two arrivals in the window; 0 before the second image."""
        return max((later - earlier for earlier, later in pairwise(self._arrivals)), default=0)

    @property
    def in_order(self) -> bool:
        """Whether no image has lately come behind a newer one."""
        return self._ordered >= ORDERED_IMAGES

    @property
    def stamps_fail(self) -> str:
        """Why the stamps are of no use at present: `zero_stamp`, `repeated_stamp`, or empty."""
        if self.zeros:
            return 'zero_stamp'
        return 'repeated_stamp' if self.repeats >= 2 else ''

    @property
    def lowest_lag_ns(self) -> int | None:
        """Lag of the fastest delivery in the window; None before the first believed stamp."""
        return min((received - stamp for stamp, received in self._believed), default=None)

    def highest_lag_ns(self, below_ns: int) -> int | None:
        """Lag of the slowest delivery in the window that is no slower than `below_ns`; None if there is none."""
        lags = [received - stamp for stamp, received in self._believed]
        return max((lag for lag in lags if lag <= below_ns), default=None)

    @property
    def pace(self) -> float:
        """Seconds that stamps advance in a second of arrivals; 1 unless both halves of the window deny it."""
        if len(self._believed) < WINDOW_IMAGES:
            return 1.0
        images = list(self._believed)
        middle = len(images) // 2
        paces = [_pace(half) for half in (images[:middle], images[middle:])]
        low, high = PACE_LIMITS
        if all(pace < low for pace in paces) or all(pace > high for pace in paces):
            return _pace(images)
        return 1.0

    def _observe_arrival(self, received_ns: int) -> None:
        if self.last_received_ns is not None and self.is_dead(received_ns):
            self._arrivals.clear()
            self._believed.clear()
            self.streak = 0
        self.streak += 1
        self._arrivals.append(received_ns)
        self.last_received_ns = received_ns
        if len(self._arrivals) > 1:
            mean_gap = (self._arrivals[-1] - self._arrivals[0]) // (len(self._arrivals) - 1)
            self._silence_limit_ns = _silence_limit(mean_gap, self.longest_gap_ns)

    def _learn_period(self) -> None:
        stamps = sorted(stamp for stamp, _ in self._believed)
        gaps = sorted(later - earlier for earlier, later in pairwise(stamps))
        if len(gaps) >= 3:
            # The lower quartile, not the mean: lost images make gaps longer, nothing makes them shorter.
            self.period_ns = gaps[len(gaps) // 4]


def _silence_limit(mean_gap_ns: int, longest_gap_ns: int) -> int:
    # 0.3 s at 30 Hz: nine images in a row, which a stream that loses 30 % at random all but never loses.
    return max(3 * mean_gap_ns + NS_PER_S // 5, 2 * longest_gap_ns)


def _pace(images: list[tuple[int, int]]) -> float:
    stamps = images[-1][0] - images[0][0]
    arrivals = images[-1][1] - images[0][1]
    return stamps / arrivals if arrivals > 0 else 1.0
