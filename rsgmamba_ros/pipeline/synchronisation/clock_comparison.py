"""Whether the stamps of one stream may be compared with the leader's, decided by arrival times.

At 30 Hz a clock that is 0.2 s off matches other images perfectly: only arrivals can tell. The measure is the
*relative lag* of an image: its lag (arrival minus stamp) minus the lowest recent lag of the leader. Equal
clocks and equal delivery give 0. It rises with slower delivery or a clock that is behind; it falls below
what it was at its fastest only if a clock moved. What follows from it:

- beyond `limit` either way: a clock fault; the image is not paired;
- below the fastest delivery ever seen by more than the tolerance: the clock has stepped ahead; not paired;
- stamps that go back to where no image was missing: the clock was set back; not paired until they recover;
- the fastest delivery creeps: a drift; not paired once it may take a pair beyond the tolerance;
- beyond the limit, but different from image to image after sound delivery: a slow process, since a clock steps once;
  paired, and reported;
- within the limit, but large enough for a wrong pair if it were a clock: paired, and reported.

Nanoseconds throughout, negative is ahead.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from statistics import median_low

from rsgmamba_ros.pipeline.synchronisation.stream_clock import NS_PER_S, varies, WINDOW_IMAGES
from rsgmamba_ros.vocabulary.images import Doubt

#: Windows without a change after which a faster delivery is taken for the normal one.
SETTLED_WINDOWS = 10

#: Images in a row beyond the limit after which they are a fault, unless delivery varies.
STALL_IMAGES = 4


@dataclass
class _Delivery:
    """The relative lag that is taken for delivery: now, and when it was first learned."""

    now_ns: int
    first_ns: int


class ClockComparison:
    """Relative lag of one stream against the leader's, and what it allows.

    Args:
        tolerance_ns: largest skew of a pair.
        limit_ns: largest relative lag that is taken for delivery.
        estimate: correct a fault by the relative lag instead of refusing its images.

    Attributes:
        level_ns: lowest relative lag in the window; 0 before the first image.
        drift_ns: how far the fastest delivery has crept from what it was; 0 while that may be chance.
    """

    def __init__(self, *, tolerance_ns: int, limit_ns: int, estimate: bool) -> None:
        self._tolerance = tolerance_ns
        self._limit = limit_ns
        self._estimate = estimate
        self.level_ns = self.drift_ns = 0
        self._noise_ns = 0  # median above the fastest delivery
        self._recent: deque[int] = deque(maxlen=WINDOW_IMAGES)
        self._window: list[int] = []
        self._window_started_ns = 0
        self._closed_ns: int | None = None
        self._closed_noises_ns: deque[int] = deque(maxlen=2)
        self._delivery: _Delivery | None = None
        self._ceiling_ns = limit_ns  # relative lags above it are a fault
        self._settled = 0

    def set_back(self, step_ns: int) -> None:
        """Take in that the clock was set back, before `observe` of that image."""
        if step_ns <= max(self._tolerance // 2, self._noise_ns):
            return
        if abs(self._usual() + step_ns) < abs(self._usual()):
            # It had been ahead, and was set right: what was learned of it is no measure for it now.
            self._delivery, self._ceiling_ns = None, self._limit
            self._recent.clear()
            self._window.clear()
            return
        self._ceiling_ns = min(self._limit, self._usual() + step_ns // 2)

    def observe(self, relative_lag_ns: int, received_ns: int) -> None:
        """Take in the relative lag of an image, in order of arrival."""
        if relative_lag_ns < self._ceiling_ns:
            self._ceiling_ns = self._limit
        self._recent.append(relative_lag_ns)
        self.level_ns = min(self._recent)
        if not self._window:
            self._window_started_ns = received_ns
        self._window.append(relative_lag_ns)
        # Steady delivery shows its fastest in a few images; the fastest of a jittering one takes more to be seen.
        enough = 8 if _noise(self._window) <= self._tolerance // 4 else 20
        long_enough = received_ns - self._window_started_ns >= NS_PER_S * 9 // 10
        if len(self._window) >= WINDOW_IMAGES or (long_enough and len(self._window) >= enough):
            self._close_window()
        # A step in a window looks like noise; the windows beside it know better.
        self._noise_ns = min([_noise(self._recent), *self._closed_noises_ns])
        self.drift_ns = self._find_drift()

    @property
    def correction_ns(self) -> int:
        """What to add to a stamp: 0 unless there is a fault and estimation was asked for."""
        if not self._estimate or not (self._fault(self.level_ns) or self.drift_ns):
            return 0
        return self.level_ns - (self._delivery.now_ns if self._delivery else 0)

    def refusal(self, relative_lag_ns: int, skew_ns: int = 0) -> str:
        """Why an image must not be paired at this skew: `ahead`, `behind`, `drift`; empty if it may be."""
        fault = self._fault(relative_lag_ns - self.correction_ns)
        if fault:
            return fault
        drift = 0 if self._estimate else self.drift_ns
        # Six tenths: the drift is found one to two windows late, and the first window was not free of it.
        return 'drift' if drift and abs(skew_ns) + abs(drift) > self._tolerance * 6 // 10 else ''

    def doubts(self, leader: str) -> list[str]:
        """What people must know of this clock now; empty if all is well."""
        if not self._recent:
            return []
        if self._is_slow(self._recent[-1]):
            return [Doubt(f'arrives {_seconds(self._recent[-1])} later than {leader}, irregularly: '
                          'its sensor or process is slow')]
        if self._may_be_a_stall():
            return []
        fault = self._fault(self._recent[-1]) or self._fault(self.level_ns)
        if fault:
            lag = self._recent[-1] if self._fault(self._recent[-1]) else self.level_ns
            return [self._fault_text(fault, lag, leader)]
        if self.drift_ns:
            side = 'ahead of' if self.drift_ns < 0 else 'behind'
            return [f'clock drifts against {leader}: {_seconds(self.drift_ns)} further {side} it than at first'
                    + self._corrected()]
        if abs(self.level_ns) > self._tolerance * 3 // 4:
            return [_delivery_text(self.level_ns, leader)]
        change = self._delivery.now_ns - self._delivery.first_ns if self._delivery else 0
        if abs(change) > self._tolerance // 2:
            return [Doubt(f'{_seconds(change)} {"later" if change > 0 else "earlier"} against {leader} than at first: '
                          'the delivery changed, or a clock stepped')]
        return []

    def pair_doubt(self, relative_lag_ns: int, skew_ns: int, leader: str) -> Doubt:
        """What people must know of one pair that `doubts` does not see yet; empty if all is well."""
        lag = relative_lag_ns - self.correction_ns
        usual = self._usual()
        if lag - usual > max(self._tolerance * 3 // 4, 3 * self._noise_ns):
            return Doubt(f'this image came {_seconds(lag - usual)} later than usual against {leader}: '
                         'slow delivery, or its clock stepped back')
        if usual - lag > self._tolerance * 3 // 4:
            return Doubt(f'this image came {_seconds(usual - lag)} earlier than ever against {leader}: '
                         'fast delivery, or its clock stepped ahead')
        level = self.level_ns - self.correction_ns
        if abs(level) > self._tolerance // 4 and abs(skew_ns + level) > self._tolerance * 3 // 4:
            return _delivery_text(level, leader)
        return Doubt()

    def _fault(self, lag_ns: int) -> str:
        floor = -self._limit
        if self._delivery is not None:
            floor = max(floor, min(self._delivery.first_ns, 0) - self._tolerance)
        if lag_ns < floor:
            return 'ahead'
        return 'behind' if lag_ns > self._ceiling_ns and not self._is_slow(lag_ns) else ''

    def _may_be_a_stall(self) -> bool:
        """Whether too few images came beyond the limit to tell a clock from a stalled process: they are not paired."""
        return self._recent[-1] > self._limit <= self._ceiling_ns and \
            any(lag < self._limit - self._tolerance // 2 for lag in islice(reversed(self._recent), STALL_IMAGES))

    def _is_slow(self, lag_ns: int) -> bool:
        """Whether a lag beyond the limit is that of a slow process: delivery was sound, now it varies."""
        return lag_ns > self._limit <= self._ceiling_ns and self._delivery is not None and varies(self._recent)

    def _usual(self) -> int:
        return self._delivery.now_ns if self._delivery else self.level_ns

    def _find_drift(self) -> int:
        if self._closed_ns is None or self._delivery is None or abs(self._closed_ns) > self._limit:
            return 0
        # Delivery that is as fast as ever, or that varies, says nothing of a drift.
        if abs(self.level_ns - self._delivery.first_ns) <= self._tolerance // 4 or varies(self._recent):
            return 0
        drift = self._closed_ns - self._delivery.now_ns
        return drift if abs(drift) > max(self._tolerance // 2, self._noise_ns * 3 // 4) else 0

    def _close_window(self) -> None:
        value, noise = min(self._window), _noise(self._window)
        jump = max(self._tolerance // 2, min([noise, *self._closed_noises_ns]) * 3 // 2)
        if abs(value) <= self._limit:
            delivery, closed_ns = self._delivery, self._closed_ns
            if delivery is None or closed_ns is None:
                self._delivery = _Delivery(value, value)
            # A creeping lag is a drifting clock; a sudden one is taken for delivery if it can be that.
            elif min(abs(value - closed_ns), abs(value - delivery.now_ns)) > jump and not self._fault(value):
                delivery.now_ns, self._settled = value, 0
            else:
                self._settle(delivery)
        self._closed_ns = value
        self._closed_noises_ns.append(noise)
        self._window.clear()

    def _settle(self, delivery: _Delivery) -> None:
        self._settled += 1
        # Only towards equal lags: a slow start is commoner than a step that cancels a delay.
        if self._settled >= SETTLED_WINDOWS and abs(delivery.now_ns) < abs(delivery.first_ns):
            delivery.first_ns = delivery.now_ns

    def _fault_text(self, fault: str, lag_ns: int, leader: str) -> str:
        offset = abs(lag_ns - (self._delivery.first_ns if self._delivery else 0))
        verb = 'has stepped' if self._delivery else 'is'
        if fault == 'ahead':
            return f'clock {verb} {_seconds(offset)} ahead of {leader}' + self._corrected()
        return f'clock {verb} {_seconds(offset)} behind {leader}, or images are delivered that late' + self._corrected()

    def _corrected(self) -> str:
        return ' (corrected)' if self._estimate else ' (not paired)'


def _noise(lags_ns: Collection[int]) -> int:
    return median_low(lags_ns) - min(lags_ns) if lags_ns else 0


def _delivery_text(lag_ns: int, leader: str) -> Doubt:
    side = ('later', 'behind') if lag_ns > 0 else ('earlier', 'ahead')
    return Doubt(f'arrives {_seconds(lag_ns)} {side[0]} than {leader} at equal stamps: delivery, or its clock is '
                 f'{side[1]}')


def _seconds(value_ns: int) -> str:
    return f'{abs(value_ns) / NS_PER_S:.2f} s'
