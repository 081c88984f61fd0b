"""What the arrivals and stamps of one image stream tell: its rate, its delivery, whether it lives.

Pure Python over integers, nanoseconds throughout. `lag` is arrival time minus stamp: delivery delay plus
whatever the sensor's clock is behind this machine's.
"""
from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection
from itertools import islice, pairwise
from operator import sub
from statistics import median_low

NS_PER_S = 1_000_000_000

#: Delivery varies if neighbouring images differ by more than this in their lag, in the median of the newest images.
VARYING_NS = 8_000_000

#: Newest images by which delivery is found to vary. The median of their differences is not moved by one step.
VARYING_IMAGES = 8

#: Spread of the lags in the window beyond which its lowest is not taken for the usual one if it is a higher one.
SPREAD_NS = 30_000_000

#: How long stamps must advance at another pace than arrivals: a queue that empties after a stall does so for a moment.
PACE_NS = NS_PER_S * 3 // 10

#: Images that a statistic looks back on: one second at 30 Hz, long enough for the fastest delivery of a
#: stream that jitters by 120 ms to be seen with near certainty.
WINDOW_IMAGES = 30

#: Images after which the rhythm of a stream can be told.
RHYTHM_IMAGES = 4

#: A stream is in order again after this many images without one that came behind a newer one.
ORDERED_IMAGES = 60

#: Stamps that advance at another pace than arrivals, in both halves of the window, mean that the arrival
#: clock is not the stamps' clock (a bag played at half speed without simulated time).
PACE_LIMITS = (0.7, 1.4)

#: Largest ratio of the paces of both halves: a bag is played evenly, a queue that empties after a stall is not.
EVEN_PACE = 1.5


class StreamClock:
    """Arrivals and stamps of one modality, in bounded memory.

    Attributes:
        last_received_ns: arrival of the newest image; None if none ever came.
        newest_stamp_ns: highest stamp that was accepted; None before the first.
        period_ns: usual distance of neighbouring stamps; None until four images have come.
        shortest_period_ns: distance that one in ten neighbouring stamps stay below: the sensor's own period even
            if most images are lost on the way; None until eleven images have come.
        streak: images since the stream started, came back to life or lost the lead.
        has_failed: whether it ever came back to life or lost the lead.
        repeats: images in a row whose stamp had been seen before.
        longest_gap_ns: longest time between two arrivals in the window; 0 before the second image.
        lowest_lag_ns: lag of the fastest delivery in the window; None before the first accepted stamp.
        usual_lag_ns: `lowest_lag_ns`, or what it was before delivery began to vary or the stream came back to life.
        pace: seconds that stamps advance in a second of arrivals; 1 unless both halves of the window deny it for
            `PACE_NS`.
        collisions: images in a row whose stamp fell where no image was missing: the clock was set back.
        zeros: images in a row whose stamp was zero.
    """

    def __init__(self) -> None:
        self.last_received_ns: int | None = None
        self.newest_stamp_ns: int | None = None
        self.period_ns: int | None = None
        self.shortest_period_ns: int | None = None
        self.streak = 0
        self.has_failed = False
        self.repeats = 0
        self.zeros = 0
        self.collisions = 0
        self.longest_gap_ns = 0
        self.lowest_lag_ns: int | None = None
        self.usual_lag_ns: int | None = None
        self.pace = 1.0
        self._other_pace_since_ns: int | None = None
        self._arrivals: deque[int] = deque(maxlen=WINDOW_IMAGES)
        self._accepted: deque[tuple[int, int]] = deque(maxlen=WINDOW_IMAGES)
        self._stamps: deque[int] = deque(maxlen=WINDOW_IMAGES)  #: those of `_accepted`
        self._lags: deque[int] = deque(maxlen=WINDOW_IMAGES)  #: likewise
        self._ordered = ORDERED_IMAGES
        self._silence_limit_ns = NS_PER_S

    def observe(self, stamp_ns: int, received_ns: int) -> str:
        """Take in one image.

        Returns:
            The fault of its stamp, `zero_stamp` or `repeated_stamp`; empty if it has none.
        """
        self._observe_arrival(received_ns)
        self.zeros = self.zeros + 1 if stamp_ns == 0 else 0
        if stamp_ns == 0:
            return 'zero_stamp'
        self.collisions = self.collisions + 1 if self.set_back_ns(stamp_ns) else 0
        if stamp_ns == self.newest_stamp_ns or stamp_ns in self._stamps:
            self.repeats += 1
            return 'repeated_stamp'
        self.repeats = 0
        if self.newest_stamp_ns is not None and stamp_ns < self.newest_stamp_ns:
            self._ordered = 0
        else:
            self._ordered = min(self._ordered + 1, ORDERED_IMAGES)
            self.newest_stamp_ns = stamp_ns
        self._accepted.append((stamp_ns, received_ns))
        self._stamps.append(stamp_ns)
        self._lags.append(received_ns - stamp_ns)
        self._learn_lag()
        self._learn_period()
        self._learn_pace()
        return ''

    def set_back_ns(self, stamp_ns: int) -> int:
        """How far the clock was set back, if this stamp of a new image falls where none was missing; else 0.

        A late image fills a gap; a clock that was set back gives new images the stamps of old ones. That tells
        it from slow delivery. (An old image that is sent twice looks the same.)
        """
        if self.period_ns is None or self.newest_stamp_ns is None or stamp_ns >= self.newest_stamp_ns:
            return 0
        stamps = sorted(self._stamps)
        index = bisect_left(stamps, stamp_ns)
        if not 0 < index < len(stamps) or 2 * (stamps[index] - stamps[index - 1]) > 3 * self.period_ns:
            return 0
        return self.newest_stamp_ns + self.period_ns - stamp_ns

    def forget_stamps(self) -> None:
        """Start again after the clock was set back: the old stamps no longer tell order or lag."""
        self.newest_stamp_ns = self.lowest_lag_ns = self.usual_lag_ns = None
        self.collisions = 0
        self._accepted.clear()
        self._stamps.clear()
        self._lags.clear()

    def mark_failed(self) -> None:
        """Count the images that show the stream to be alive from zero."""
        self.streak = 0
        self.has_failed = True

    def silence_ns(self, now_ns: int) -> int | None:
        """Time since the newest image arrived; None if none ever came."""
        return None if self.last_received_ns is None else max(0, now_ns - self.last_received_ns)

    def is_dead(self, now_ns: int) -> bool:
        """Whether images stay away for longer than the stream's own rhythm explains (or never came)."""
        silence = self.silence_ns(now_ns)
        return silence is None or silence > self._silence_limit_ns

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

    def highest_lag_ns(self, below_ns: int) -> int | None:
        """Lag of the slowest delivery in the window that is no slower than `below_ns`; None if there is none."""
        return max([lag for lag in self._lags if lag <= below_ns], default=None)

    @property
    def newest_lag_ns(self) -> int | None:
        """Lag of the fastest delivery among the newest images; None before the first."""
        return min(islice(reversed(self._lags), VARYING_IMAGES), default=None)

    @property
    def observed_pace(self) -> float:
        """Seconds that stamps advance in a second of arrivals, by the whole window; 1 before the second image."""
        return _pace(list(self._accepted)) if len(self._accepted) > 1 else 1.0

    @property
    def starting_pace(self) -> float:
        """`observed_pace` while `pace` cannot be told yet; 1 afterwards and in the first three images."""
        is_starting = len(self._accepted) < WINDOW_IMAGES or self._other_pace_since_ns is not None
        return self.observed_pace if is_starting and len(self._accepted) >= RHYTHM_IMAGES else 1.0

    def _observe_arrival(self, received_ns: int) -> None:
        if len(self._arrivals) >= RHYTHM_IMAGES and self.is_dead(received_ns):
            self._arrivals.clear()
            self._accepted.clear()
            self._stamps.clear()
            self._lags.clear()
            self.mark_failed()
        self.streak += 1
        self._arrivals.append(received_ns)
        self.last_received_ns = received_ns
        arrivals = list(self._arrivals)
        self.longest_gap_ns = max(map(sub, arrivals[1:], arrivals), default=0)
        if len(self._arrivals) >= RHYTHM_IMAGES:
            # 0.3 s at 30 Hz: nine images in a row, which a stream that loses 30 % at random all but never loses.
            self._silence_limit_ns = max(3 * (arrivals[-1] - arrivals[0]) // (len(arrivals) - 1) + NS_PER_S // 5,
                                         2 * self.longest_gap_ns)

    def _learn_lag(self) -> None:
        lags = self._lags
        lowest = self.lowest_lag_ns = min(lags)
        # Delivery that varies tells nothing of the clock. A queue that empties after a stall looks like that too.
        unsure = len(lags) < VARYING_IMAGES or max(lags) - lowest > SPREAD_NS
        self.usual_lag_ns = min(self.usual_lag_ns, lowest) if unsure and self.usual_lag_ns is not None else lowest

    def _learn_period(self) -> None:
        stamps = sorted(self._stamps)
        gaps = sorted(map(sub, stamps[1:], stamps))
        if len(gaps) >= 3:
            # The lower quartile, not the mean: lost images make gaps longer, nothing makes them shorter.
            self.period_ns = gaps[len(gaps) // 4]
        if len(gaps) >= 10:
            self.shortest_period_ns = gaps[len(gaps) // 10]

    def _learn_pace(self) -> None:
        self.pace = 1.0
        if len(self._accepted) < WINDOW_IMAGES:
            return
        images = list(self._accepted)
        paces = [_pace(half) for half in (images[:WINDOW_IMAGES // 2], images[WINDOW_IMAGES // 2:])]
        low, high = PACE_LIMITS
        if (low <= max(paces) and min(paces) <= high) or max(paces) > EVEN_PACE * min(paces):
            self._other_pace_since_ns = None
            return
        received_ns = images[-1][1]
        if self._other_pace_since_ns is None:
            self._other_pace_since_ns = received_ns
        if received_ns - self._other_pace_since_ns >= PACE_NS:
            self.pace = _pace(images)


def share_a_pace(one: StreamClock, other: StreamClock) -> bool:
    """Whether two streams have just begun and advance alike at a pace that no clock fault gives: a simulation."""
    paces = sorted((one.starting_pace, other.starting_pace))
    low, high = PACE_LIMITS
    return (paces[1] < low or paces[0] > high) and paces[1] < 1.1 * paces[0]


def varies(lags_ns: Collection[int]) -> bool:
    """Whether the newest of these lags, in order of arrival, differ from one image to the next.

    Delivery does that and a clock does not: it steps once, or drifts by little.
    """
    newest = list(islice(reversed(list(lags_ns)), VARYING_IMAGES))
    return len(newest) >= 3 and median_low([abs(one - other) for one, other in pairwise(newest)]) > VARYING_NS


def _pace(images: list[tuple[int, int]]) -> float:
    stamps = images[-1][0] - images[0][0]
    arrivals = images[-1][1] - images[0][1]
    return stamps / arrivals if arrivals > 0 else 1.0
