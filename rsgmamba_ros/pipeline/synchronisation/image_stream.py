"""One modality inside the synchroniser: its clocks, and its images that no bundle has used yet."""
from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass

from rsgmamba_ros.pipeline.synchronisation.clock_comparison import ClockComparison
from rsgmamba_ros.pipeline.synchronisation.stream_clock import NS_PER_S, share_a_pace, StreamClock
from rsgmamba_ros.vocabulary.images import Doubt, Modality, StampedImage


@dataclass(frozen=True, eq=False)
class Arrival:
    """One image on its way to a bundle.

    Attributes:
        stamp_ns: the image's stamp less the configured clock offset.
        received_ns: its arrival on the synchroniser's clock.
        fault: `zero_stamp` or `repeated_stamp`: it can only lead alone; else empty.
        late: it came after the bundle of its own time had left.
    """

    image: StampedImage
    stamp_ns: int
    received_ns: int
    fault: str = ''
    late: bool = False

    @property
    def modality(self) -> Modality:
        """What the image shows."""
        return self.image.modality

    @property
    def lag_ns(self) -> int:
        """Arrival minus stamp."""
        return self.received_ns - self.stamp_ns


#: Partners that are kept for another leading image.
USED_IMAGES = 3


class ImageStream:
    """The images of one modality, compared with those of the reference stream (the configured leader).

    Args:
        reference: the stream whose stamps are the measure; None if this is it.
    """

    def __init__(self, modality: Modality, reference: ImageStream | None, comparison: ClockComparison) -> None:
        self.modality = modality
        self.clock = StreamClock()
        self.queue: list[Arrival] = []
        self.used: deque[Arrival] = deque(maxlen=USED_IMAGES)
        self._reference = reference
        self._comparison = comparison
        self._newest: Arrival | None = None

    def observe(self, stamp_ns: int, received_ns: int) -> str:
        """Take in the times of one image; return the fault of its stamp, empty if it has none."""
        step_ns = self.clock.set_back_ns(stamp_ns)
        if step_ns:
            self.used.clear()
        self._comparison.set_back(step_ns)
        return self.clock.observe(stamp_ns, received_ns)

    def compare(self, arrival: Arrival) -> None:
        """Take in the relative lag of an image whose stamp is sound."""
        self._newest = arrival
        relative = self.relative_lag_ns(arrival)
        if relative is not None:
            self._comparison.observe(relative, arrival.received_ns)

    def enqueue(self, arrival: Arrival) -> None:
        """Keep an image for a bundle to come."""
        insort(self.queue, arrival, key=lambda kept: kept.stamp_ns)

    def take(self, arrival: Arrival) -> None:
        """Move an image from the queue to those that have been partners."""
        self.queue.remove(arrival)
        self.used.append(arrival)

    def expire(self, behind_ns: int | None, before_ns: int, *, size: int) -> list[tuple[Arrival, str]]:
        """Take out the images that no bundle can use any more, each with the cause.

        Args:
            behind_ns: older stamps are of no use.
            before_ns: earlier arrivals have waited long enough.
            size: images that may stay; the oldest go.
        """
        expired = []
        excess = len(self.queue) - size
        for index, arrival in enumerate(self.queue):
            passed = behind_ns is not None and self.true_stamp_ns(arrival) < behind_ns
            if passed or arrival.received_ns < before_ns:
                refusal = self.refusal(arrival)
                expired.append((arrival, f'clock_{refusal}' if refusal else 'too_late' if arrival.late else 'unused'))
            elif index < excess:
                expired.append((arrival, 'queue_full'))
        for arrival, _ in expired:
            self.queue.remove(arrival)
        return expired

    def age_s(self, now_ns: int) -> float | None:
        """Time since the newest image arrived; None if none ever came."""
        silence = self.clock.silence_ns(now_ns)
        return None if silence is None else silence / NS_PER_S

    def relative_lag_ns(self, arrival: Arrival) -> int | None:
        """How much later than the reference stream's fastest an image came; None while that cannot be said."""
        if self._reference is None or self._reference.clock.pace != 1:
            return None
        if share_a_pace(self.clock, self._reference.clock):
            return None
        usual = self._reference.clock.usual_lag_ns
        return None if usual is None else arrival.lag_ns - usual

    @property
    def correction_ns(self) -> int:
        """What to add to a stamp: 0 unless the clock is at fault and estimation was asked for."""
        return self._comparison.correction_ns

    def true_stamp_ns(self, arrival: Arrival) -> int:
        """Stamp on the reference clock."""
        return arrival.stamp_ns + self.correction_ns

    def refusal(self, arrival: Arrival, skew_ns: int = 0) -> str:
        """Why an image must not be paired; empty if it may be."""
        relative = self.relative_lag_ns(arrival)
        return arrival.fault or ('' if relative is None else self._comparison.refusal(relative, skew_ns))

    @property
    def fault(self) -> str:
        """Why the newest image must not be paired: of its stamp or of the clock; empty if it may be."""
        return self.clock.stamps_fail or (self.refusal(self._newest) if self._newest else '')

    def slowest_lag_ns(self, limit_ns: int) -> int | None:
        """Lag of the slowest usual delivery, on the reference clock; None before the first image."""
        correction = self.correction_ns
        below = NS_PER_S << 40
        if self._reference is not None:
            lowest = self._reference.clock.lowest_lag_ns
            below = below if lowest is None else lowest + limit_ns + correction
        highest = self.clock.highest_lag_ns(below)
        return None if highest is None else highest - correction

    def doubts(self) -> list[str]:
        """What people must know of this stream's stamps now, each with the modality's name in front."""
        found = []
        if self.clock.zeros:
            found.append('stamps are zero')
        if self.clock.repeats:
            found.append(f'stamps repeat ({self.clock.repeats} in a row)')
        if self._reference is not None and not found:
            found += self._comparison.doubts(str(self._reference.modality))
        if self.clock.pace != 1:
            found.append(f'stamps advance {self.clock.pace:.2f} s in a second of arrivals: clocks are not checked; '
                         'play bags at another speed with simulated time')
        return [type(text)(f'{self.modality}: {text}') for text in found]

    def pair_doubt(self, arrival: Arrival, skew_ns: int) -> Doubt:
        """What people must know of one pair; empty if all is well."""
        relative = self.relative_lag_ns(arrival)
        if relative is None or self._reference is None:
            return Doubt()
        text = self._comparison.pair_doubt(relative, skew_ns, str(self._reference.modality))
        return text and Doubt(f'{self.modality}: {text}')
