"""The partners of a leading image, and how long it is worth waiting for them."""
from __future__ import annotations

from collections.abc import Iterable

from rsgmamba_ros.pipeline.synchronisation.config import SynchroniserConfig
from rsgmamba_ros.pipeline.synchronisation.image_stream import Arrival, ImageStream
from rsgmamba_ros.pipeline.synchronisation.stream_clock import NS_PER_S
from rsgmamba_ros.vocabulary.images import BundleSlot, Presence

#: How long after the first image a stream that has not come yet is waited for.
STARTUP_NS = NS_PER_S


class Pairing:
    """The rules by which a leading image finds its partners. `own` is always the leading image's stream."""

    def __init__(self, config: SynchroniserConfig) -> None:
        self._config = config
        self._max_skew = round(config.max_skew_s * NS_PER_S)
        self._max_wait = round(config.max_wait_s * NS_PER_S)
        self._max_delay = round(config.max_delay_s * NS_PER_S)

    def partner(self, lead: Arrival, own: ImageStream, stream: ImageStream) -> tuple[Arrival | None, int]:
        """The nearest unused image that may be paired, and its skew; None and 0 if there is none."""
        return self._nearest(lead, own, stream, stream.queue)

    def _nearest(self, lead: Arrival, own: ImageStream, stream: ImageStream,
                 images: Iterable[Arrival]) -> tuple[Arrival | None, int]:
        best, best_skew = None, 0
        if own.refusal(lead):
            return best, best_skew
        lead_stamp, newer = own.true_stamp_ns(lead), self._newer_ns(own)
        for arrival in images:
            skew = stream.true_stamp_ns(arrival) - lead_stamp
            near = -self._max_skew <= skew <= newer and (best is None or abs(skew) < abs(best_skew))
            if near and not stream.refusal(arrival, skew) and not own.refusal(lead, skew):
                best, best_skew = arrival, skew
        return best, best_skew

    def ready_ns(self, lead: Arrival, own: ImageStream, stream: ImageStream, *, now_ns: int, started_ns: int) -> int:
        """When a leading image need no longer be held for a stream; its arrival if it need not be held at all."""
        if not self._is_expected(stream, now_ns, started_ns) or stream.fault or own.refusal(lead):
            return lead.received_ns
        partner, skew = self.partner(lead, own, stream)
        if (partner is not None and abs(skew) <= self.reach_ns(own, stream)) or self._has_passed(lead, own, stream):
            return lead.received_ns
        return lead.received_ns + min(self._max_wait, self._worthwhile_ns(lead, own, stream))

    def fill_slot(self, lead: Arrival, own: ImageStream, stream: ImageStream, *,
                  now_ns: int) -> tuple[BundleSlot, list[str]]:
        """A stream's slot in the bundle, and what people must know of this pair beyond the streams' doubts.

        The partner is taken out of the stream's queue. Without one, an earlier partner may be used again.
        """
        age_s = stream.age_s(now_ns)
        if stream is own:
            return BundleSlot(Presence.PRESENT, lead.image, 0.0, age_s), []
        partner, skew = self.partner(lead, own, stream)
        reused = partner is None and self._config.reuse_partner
        if reused:
            partner, skew = self._nearest(lead, own, stream, stream.used)
        if partner is None:
            presence, reason = self._absence(lead, own, stream, now_ns)
            return BundleSlot(presence, age_s=age_s, reason=reason), []
        if not reused:
            stream.take(partner)
        sides = ((stream, partner), (own, lead))
        doubts = [side.pair_doubt(arrival, skew) for side, arrival in sides if not side.doubts()]
        slot = BundleSlot(Presence.PRESENT, partner.image, skew / NS_PER_S, age_s, reused=reused)
        return slot, [doubt for doubt in doubts if doubt]

    def reach_ns(self, one: ImageStream, other: ImageStream) -> int:
        """Skew up to which no better partner can be hoped for: half the shorter period, and some jitter."""
        periods = [stream.clock.period_ns for stream in (one, other) if stream.clock.period_ns is not None]
        return min(periods) * 9 // 16 if periods else self._max_skew // 8

    def _newer_ns(self, own: ImageStream) -> int:
        # Five eighths of a period: half, and some jitter. Beyond that the next leading image is nearer.
        period = own.clock.period_ns
        return self._max_skew if period is None else min(self._max_skew, period * 5 // 8)

    def _worthwhile_ns(self, lead: Arrival, own: ImageStream, stream: ImageStream) -> int:
        own_lag = lead.received_ns - own.true_stamp_ns(lead)
        newest = stream.clock.newest_lag_ns
        if newest is not None and newest - stream.correction_ns - own_lag > max(self._max_wait, self._max_delay):
            return 0  # it comes too late anyway
        slowest = stream.slowest_lag_ns(self._max_delay)
        if slowest is None or stream.clock.period_ns is None:
            return self._max_wait
        half = self.reach_ns(own, stream)
        delay = slowest - own_lag + half
        return max(round(self._config.wait_factor * delay), half // 2)

    def _is_expected(self, stream: ImageStream, now_ns: int, started_ns: int) -> bool:
        clock = stream.clock
        if clock.last_received_ns is None:
            return now_ns < started_ns + STARTUP_NS
        return not clock.is_dead(now_ns) and (clock.streak >= self._config.revive_images or not clock.has_failed)

    def _has_passed(self, lead: Arrival, own: ImageStream, stream: ImageStream) -> bool:
        """Whether a stream in order can bring no more image near this stamp."""
        clock = stream.clock
        if not clock.in_order or clock.newest_stamp_ns is None or clock.period_ns is None:
            return False
        slack = self.reach_ns(own, stream) // 2
        newest = clock.newest_stamp_ns + stream.correction_ns
        return newest + clock.period_ns - slack > own.true_stamp_ns(lead) + self._newer_ns(own)

    def _absence(self, lead: Arrival, own: ImageStream, stream: ImageStream, now_ns: int) -> tuple[Presence, str]:
        silence = stream.clock.silence_ns(now_ns)
        if silence is None:
            return Presence.MISSING, 'never received'
        if stream.clock.is_dead(now_ns):
            return Presence.MISSING, f'stopped {silence / NS_PER_S:.2f} s ago'
        fault = stream.fault or own.refusal(lead)
        if fault:
            return Presence.STALE, f'stamps cannot be compared: {fault.replace("_", " ")}'
        if self._has_passed(lead, own, stream):
            return Presence.MISSING, f'has no unused image within {self._config.max_skew_s:g} s'
        waited = (now_ns - lead.received_ns) / NS_PER_S
        return Presence.LATE, f'had not come {waited:.2f} s after the leading image'
