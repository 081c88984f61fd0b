"""StampedImages -> ImageBundles by deadline, whatever the sensors and their clocks do.

Every leading image becomes exactly one bundle, in stamp order, with its partners or without, at latest
`max_wait_s` after it arrived. Pure Python over timestamps; time is an argument; nothing here looks at pixels.

How it decides:

- *Who leads.* The configured leader, until it is silent for longer than its rhythm and `max_wait_s` explain.
  Then, if allowed, an auxiliary that still arrives takes over, with its images since the leader's last. The
  leader takes over again with its third image in a row; those before it are partners of the auxiliary's, so
  that no image is used twice. An image of the returning leader that is no partner and lies behind the newest
  bundle is dropped and counted (`drop.unused`).
- *When a bundle leaves.* At once if each partner is there, dead, unusable, or past that stamp; else after
  `wait_factor` times what the partner's slowest recent delivery and half a period explain, at most `max_wait_s`.
- *Which image is the partner.* The nearest within `max_skew_s` (inclusive). A newer image that a coming
  leading image is nearer to is left for that one; an older one that nobody took may be used at the deadline.
  If there is none, an earlier partner is used again (`reuse_partner`), and its slot says so.
- *Which stamps are used.* See `clock_comparison.py`.

A stamp of the leading stream further back than `max_delay_s`, or a clock that goes back as much, is a bag that
loops: what waits is released and everything learned is forgotten. Two of its images in a row that go back less, to
where none was missing, are a clock that was set back: what waits is released, and the order starts again.
"""
from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from collections.abc import Sequence

from rsgmamba_ros.pipeline.synchronisation.clock_comparison import ClockComparison
from rsgmamba_ros.pipeline.synchronisation.config import SynchroniserConfig
from rsgmamba_ros.pipeline.synchronisation.image_stream import Arrival, ImageStream
from rsgmamba_ros.pipeline.synchronisation.pairing import Pairing, STARTUP_NS
from rsgmamba_ros.pipeline.synchronisation.stream_clock import NS_PER_S
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality, StampedImage

__all__ = ['Synchroniser', 'SynchroniserConfig']

#: Errors of a clock below this cannot be told from delivery, however small `max_skew_s` is.
RESOLUTION_NS = 30_000_000

#: How long an event (a jump back, a dropped image) stays among the reports.
EVENT_NS = NS_PER_S

#: Earlier and later than any time.
PAST_NS, FUTURE_NS = -1 << 62, 1 << 62


class Synchroniser:
    """See the module.

    Attributes:
        counters: decisions (`depth.present`, `depth.late`, ...), leading images (`rgb.led`), drops by cause
            (`depth.drop.too_late`, ...) and `handover.<modality>`, `reset`; never cleared.
        active: the modality that leads now.
    """

    def __init__(self, config: SynchroniserConfig) -> None:
        self.config = config
        self.counters: Counter[str] = Counter()
        self._max_skew = round(config.max_skew_s * NS_PER_S)
        self._max_wait = round(config.max_wait_s * NS_PER_S)
        self._max_delay = round(config.max_delay_s * NS_PER_S)
        self._offset_ns = {modality: round(offset_s * NS_PER_S) for modality, offset_s in config.clock_offset_s.items()}
        self._pairing = Pairing(config)
        self._events: deque[tuple[int, str]] = deque(maxlen=8)
        self._forget()

    def _forget(self) -> None:
        self.active = self.config.leader
        self._streams: dict[Modality, ImageStream] = {}
        order = sorted(self.config.modalities, key=lambda modality: modality is not self.config.leader)
        for modality in order:
            comparison = ClockComparison(tolerance_ns=max(self._max_skew, RESOLUTION_NS), limit_ns=self._max_delay,
                                         estimate=self.config.estimate_clock_offset)
            self._streams[modality] = ImageStream(modality, self._streams.get(self.config.leader), comparison)
        self._pending: list[Arrival] = []
        self._last_lead_ns: int | None = None
        self._now = PAST_NS
        self._started_ns = FUTURE_NS

    def push(self, image: StampedImage, *, now_ns: int) -> list[ImageBundle]:
        """Take in one image.

        Args:
            image: anything with `modality`, `stamp_ns` and `received_ns`.
            now_ns: time, on the clock of `received_ns`.

        Returns:
            The bundles that are ready now, in stamp order.

        Raises:
            ValueError: the modality is not a configured one.
        """
        stream = self._streams.get(image.modality)
        if stream is None:
            raise ValueError(f'image of {image.modality}, but the synchroniser is configured for '
                             f'{[str(modality) for modality in self._streams]}')
        bundles = self.poll(now_ns)
        self._started_ns = min(self._started_ns, self._now)
        bundles += self._jump_back(image)
        arrival = self._observe(image)
        self._lead_from(arrival)
        if arrival.modality is self.active:
            self._lead(arrival)
        elif arrival.fault:
            self._drop(arrival, arrival.fault)
        else:
            self._streams[image.modality].enqueue(arrival)
        return bundles + self._release()

    def poll(self, now_ns: int) -> list[ImageBundle]:
        """Give the bundles whose deadline has passed, in stamp order."""
        bundles = []
        if now_ns < self._now - self._max_delay:
            bundles = self._flush(f'the clock went back {(self._now - now_ns) / NS_PER_S:.2f} s', now_ns)
        self._now = max(self._now, now_ns)
        return bundles + self._release()

    def next_deadline_ns(self) -> int | None:
        """When `poll` must be called next; None while nothing waits."""
        times = [self._due_ns()] if self._pending else []
        hand_over = self._hand_over_ns()
        if hand_over is not None:
            times.append(hand_over)
        return min(times, default=None)

    @property
    def held(self) -> int:
        """Images that are kept at present, at most `queue_size + 1` of each modality."""
        return len(self._pending) + sum(len(stream.queue) for stream in self._streams.values())

    def reset(self) -> None:
        """Forget images and everything learned; what waits is dropped and counted. The counters stay."""
        for arrival in self._pending:
            self._drop(arrival, 'reset')
        for stream in self._streams.values():
            for arrival in stream.queue:
                self._drop(arrival, 'reset')
        self.counters['reset'] += 1
        self._events.clear()
        self._forget()

    def _observe(self, image: StampedImage) -> Arrival:
        stream = self._streams[image.modality]
        stamp, received = self._stamp_ns(image), min(image.received_ns, self._now)
        fault = stream.observe(stamp, received)
        late = self._last_lead_ns is not None and stamp <= self._last_lead_ns
        arrival = Arrival(image, stamp, received, fault, late)
        if not fault:
            stream.compare(arrival)
        return arrival

    def _stamp_ns(self, image: StampedImage) -> int:
        # Zero means that nobody set it: it stays zero.
        return image.stamp_ns and image.stamp_ns - self._offset_ns.get(image.modality, 0)

    def _jump_back(self, image: StampedImage) -> list[ImageBundle]:
        clock = self._streams[image.modality].clock
        if image.modality is not self.active or not image.stamp_ns or clock.newest_stamp_ns is None:
            return []
        back = clock.newest_stamp_ns - (stamp := self._stamp_ns(image))
        event = f'{image.modality}: stamps went back {back / NS_PER_S:.2f} s'
        if back > self._max_delay:
            return self._flush(event, self._now)
        # One image where none was missing may be sent twice; two are a clock that was set back.
        if clock.collisions and clock.set_back_ns(stamp):
            bundles = self._release_all()
            clock.forget_stamps()
            for stream in self._streams.values():
                stream.used.clear()
            self._last_lead_ns = None
            self._note(event)
            return bundles
        return []

    def _release_all(self) -> list[ImageBundle]:
        return [self._emit(self._pending.pop(0)) for _ in range(len(self._pending))]

    def _flush(self, event: str, now_ns: int) -> list[ImageBundle]:
        """Give what waits, forget everything, and start again at a time that may lie before the last."""
        bundles = self._release_all()
        self.reset()
        self._now = self._started_ns = now_ns
        self._note(f'{event}: started afresh')
        return bundles

    def _lead(self, arrival: Arrival) -> None:
        last = self._last_lead_ns
        if arrival.fault != 'zero_stamp' and last is not None and arrival.stamp_ns < last:
            self._drop(arrival, 'out_of_order')
            self._note(f'{arrival.modality}: an image came {(last - arrival.stamp_ns) / NS_PER_S:.2f} s behind one '
                       'that had left')
            return
        insort(self._pending, arrival, key=lambda lead: lead.stamp_ns)

    def _drop(self, arrival: Arrival, cause: str) -> None:
        self.counters[f'{arrival.modality}.drop.{cause}'] += 1

    def _note(self, text: str) -> None:
        self._events.append((self._now + EVENT_NS, text))

    def _lead_from(self, arrival: Arrival) -> None:
        """Let an auxiliary's image lead that finds the leading stream silent."""
        if arrival.modality is not self.active and arrival.fault and self._is_silent():
            self._hand_over(arrival.modality)

    def _is_silent(self) -> bool:
        return self.config.lead_with_auxiliary and self._now >= self._silent_from_ns()

    def _silent_from_ns(self) -> int:
        clock = self._streams[self.active].clock
        if clock.last_received_ns is None:
            return self._started_ns + self._max_wait
        # Until its period is known, a slow leader looks like a silent one.
        rhythm = clock.longest_gap_ns * 3 // 2 if clock.period_ns else STARTUP_NS
        return clock.last_received_ns + max(self._max_wait + (clock.period_ns or 0) // 2, rhythm)

    def _heirs(self, modality: Modality) -> list[Arrival]:
        """The images with which a modality would take over from a silent stream."""
        last = self._streams[self.active].clock.last_received_ns
        return [arrival for arrival in self._leadable(modality) if last is None or arrival.received_ns >= last]

    def _leadable(self, modality: Modality) -> list[Arrival]:
        stream, active = self._streams[modality], self._streams[self.active]
        half = self._pairing.reach_ns(stream, active)
        if stream.fault or active.fault:
            last = active.clock.last_received_ns
            return [arrival for arrival in stream.queue if last is None or arrival.received_ns > last + half]
        last = self._pending[-1].stamp_ns if self._pending else self._last_lead_ns
        return [arrival for arrival in stream.queue if last is None or arrival.stamp_ns > last + half]

    def _hand_over_ns(self) -> int | None:
        if not self.config.lead_with_auxiliary:
            return None
        heirs = (self._heirs(modality) for modality in self._streams if modality is not self.active)
        return min((self._take_over_ns(images) for images in heirs if images), default=None)

    def _take_over_ns(self, heirs: Sequence[Arrival]) -> int:
        # Not at once: after a stall of all streams the auxiliary's first image may come just before the leader's.
        first = min(arrival.received_ns for arrival in heirs)
        return max(self._silent_from_ns(), first + self._max_wait * 3 // 4)

    def _choose_leader(self) -> None:
        leader = self._streams[self.config.leader].clock
        if self.active is not self.config.leader and leader.streak >= self.config.revive_images \
                and not leader.is_dead(self._now):
            self._hand_over(self.config.leader, self._leadable(self.config.leader))
        elif self._is_silent():
            for modality in self._streams:
                heirs = self._heirs(modality) if modality is not self.active else []
                if heirs and self._now >= self._take_over_ns(heirs):
                    self._hand_over(modality, heirs)
                    break

    def _hand_over(self, modality: Modality, heirs: Sequence[Arrival] = ()) -> None:
        if self._streams[modality].fault or self._streams[self.active].fault:
            self._last_lead_ns = None  # the two clocks have no common order
        self._streams[self.active].clock.mark_failed()
        self.active = modality
        self.counters[f'handover.{modality}'] += 1
        for arrival in heirs:
            self._streams[modality].queue.remove(arrival)
            insort(self._pending, arrival, key=lambda lead: lead.stamp_ns)

    def _release(self) -> list[ImageBundle]:
        bundles = []
        self._choose_leader()
        while self._pending and (self._now >= self._due_ns() or len(self._pending) > self.config.queue_size):
            bundles.append(self._emit(self._pending.pop(0)))
        self._expire()
        return bundles

    def _due_ns(self) -> int:
        hard = min(lead.received_ns for lead in self._pending) + self._max_wait
        head = self._pending[0]
        if head.fault:
            return head.received_ns
        own = self._streams[head.modality]
        if self._awaits_older(head, own):
            return hard
        partners = [stream for stream in self._streams.values() if stream is not own]
        ready = [self._pairing.ready_ns(head, own, stream, now_ns=self._now, started_ns=self._started_ns)
                 for stream in partners]
        return min(hard, max(ready, default=head.received_ns))

    def _awaits_older(self, lead: Arrival, own: ImageStream) -> bool:
        # A stream that delivers out of order may still fill the gap before this image.
        if own.clock.in_order or self._last_lead_ns is None or own.clock.period_ns is None:
            return False
        return 2 * (lead.stamp_ns - self._last_lead_ns) > 3 * own.clock.period_ns

    def _emit(self, lead: Arrival) -> ImageBundle:
        slots, reports = {}, self._reports()
        own = self._streams[lead.modality]
        for modality in self.config.modalities:
            slot, doubts = self._pairing.fill_slot(lead, own, self._streams[modality], now_ns=self._now)
            slots[modality], reports = slot, reports + doubts
            self.counters.update([f'{modality}.{slot.presence}', *([f'{modality}.reused'] if slot.reused else [])])
        self.counters[f'{lead.modality}.led'] += 1
        if lead.fault != 'zero_stamp':
            self._last_lead_ns = lead.stamp_ns
        return ImageBundle(lead.modality, slots, self._now, tuple(reports))

    def _reports(self) -> list[str]:
        reports = [text for until, text in self._events if self._now <= until]
        if self.active is not self.config.leader:
            reports.append(f'{self.config.leader} is silent: {self.active} leads')
        for stream in self._streams.values():
            if not stream.clock.is_dead(self._now):
                reports += stream.doubts()
        return reports

    def _expire(self) -> None:
        """Drop the images that no bundle can use any more."""
        life = 2 * (self._max_wait + self._max_delay)
        behind_ns = None if self._last_lead_ns is None else self._last_lead_ns - self._max_skew
        for stream in self._streams.values():
            for arrival, cause in stream.expire(behind_ns, self._now - life, size=self.config.queue_size):
                self._drop(arrival, cause)
