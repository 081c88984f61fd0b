"""Injection of sensor faults into a replayed bag: seeded, repeatable, in the order of arrival.

    depth:missing@10-13 rgb:gaussian:3@20-25 depth:delay:0.08@30- depth:clock:+0.2@40-

Each fault is `modality:kind[:value]@start-[end]`, in seconds after the start of the bag; without an end it lasts to the
end of the bag. Times are times of arrival, so that a fault shows in the results then. Kinds are those of `KINDS`, and
the corruption families of the evaluation with their severity.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
import heapq
import math
import re
from typing import cast, Protocol, TypedDict, TypeVar
from zlib import crc32

import numpy as np

from rsgmamba_ros.data.corruptions import corrupt, FAMILIES, families_of, IMAGES_AGO
from rsgmamba_ros.data.messages.recorded_images import RecordedImage
from rsgmamba_ros.vocabulary.depth import depth_in_metres, depth_in_millimetres
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality, StampedImage

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Kind:
    """A fault of the stream, as opposed to one of the image's content.

    Attributes:
        value: what the number after the kind is, for people; empty if it takes none.
        limits: smallest and largest value.
    """

    value: str = ''
    limits: tuple[float, float] = (-math.inf, math.inf)


KINDS = {
    'missing': Kind(),
    'drop': Kind('share of images lost at random', (0, 1)),
    'delay': Kind('seconds by which images arrive later', (0, 60)),
    'jitter': Kind('largest extra delay, seconds', (0, 60)),
    'clock': Kind('seconds by which stamps are wrong', (-3600, 3600)),
    'frozen': Kind(),
    'stuck_stamps': Kind(),
}

_FORM = re.compile(r'(?P<modality>\w+):(?P<kind>\w+)(?::(?P<value>[-+\d.e]+))?@(?P<start>[\d.]+)-(?P<end>[\d.]*)')


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: one of `KINDS`, or a corruption family.
        value: see `KINDS`; the severity (1..5) of a family; 0 where there is none.
        start_s: seconds after the start of the bag.
        end_s: seconds after the start of the bag; infinite for a fault without an end.
    """

    modality: Modality
    kind: str
    value: float
    start_s: float
    end_s: float

    def __str__(self) -> str:
        value = f':{self.value:g}' if self.value else ''
        end = '' if math.isinf(self.end_s) else f'{self.end_s:g}'
        return f'{self.modality}:{self.kind}{value}@{self.start_s:g}-{end}'

    @property
    def changes_pixels(self) -> bool:
        """Whether it changes pixels, so that a replay without pixels cannot show it."""
        return self.kind == 'frozen' or self.kind not in KINDS


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read faults in the form of this module's first lines, separated by blanks.

    Raises:
        ConfigError: a fault is in another form, or names a modality, kind or value that does not exist.
    """
    return tuple(_parse_fault(item) for item in text.split())


def _parse_fault(text: str) -> Fault:
    match = _FORM.fullmatch(text)
    if not match:
        raise ConfigError(f'fault {text!r} is not modality:kind[:value]@start-[end], as in depth:missing@10-13')
    modality, kind = match['modality'], match['kind']
    if modality not in [str(item) for item in Modality]:
        raise ConfigError(f'fault {text!r}: {modality!r} is no modality; known: {[str(item) for item in Modality]}')
    try:
        value = float(match['value'] or 0)
        start_s, end_s = float(match['start']), float(match['end'] or math.inf)
    except ValueError as error:
        raise ConfigError(f'fault {text!r}: {error}') from error
    _check_value(text, Modality(modality), kind, value, has_value=match['value'] is not None)
    if not start_s < end_s:
        raise ConfigError(f'fault {text!r} ends before it starts')
    return Fault(Modality(modality), kind, value, start_s, end_s)


def _check_value(text: str, modality: Modality, kind: str, value: float, *, has_value: bool) -> None:
    families = families_of(modality)
    if kind not in KINDS and kind not in families:
        raise ConfigError(f'fault {text!r}: {kind!r} is no fault of {modality}; known: {[*KINDS, *families]}')
    expected = KINDS.get(kind, Kind('severity', (1, 5)))
    if has_value != bool(expected.value):
        wanted = f'a value, {expected.value}' if expected.value else 'no value'
        raise ConfigError(f'fault {text!r}: {kind} takes {wanted}')
    if has_value and not expected.limits[0] <= value <= expected.limits[1]:
        raise ConfigError(f'fault {text!r}: {expected.value} is {value:g}; it must lie in {list(expected.limits)}')
    if kind not in KINDS and value != int(value):
        raise ConfigError(f'fault {text!r}: the severity is one of 1, 2, 3, 4, 5')


Image = StampedImage | RecordedImage


class Arrival(Protocol):
    """Anything that arrives at some time."""

    @property
    def received_ns(self) -> int:
        """Arrival time, nanoseconds."""


ArrivalT = TypeVar('ArrivalT', bound=Arrival)


class FaultObservation(TypedDict):
    """What a fault did; times in seconds, None for a fault without an end or that hit no image.

    Attributes:
        fault: its text.
        images: how many it hit.
        first_s: arrival of the first image that it hit.
        last_s: arrival of the last one.
    """

    fault: str
    modality: str
    kind: str
    value: float
    start_s: float
    end_s: float | None
    images: int
    first_s: float | None
    last_s: float | None


@dataclass
class _State:
    """State of one fault: its random numbers, the image or stamp that it repeats, and what it hit."""

    fault: Fault
    rng: np.random.Generator
    pixels: np.ndarray | None = None
    stamp_ns: int | None = None
    count: int = 0
    first_s: float = math.nan
    last_s: float = math.nan


@dataclass
class FaultInjector:
    """Applies faults to a stream of images.

    Attributes:
        faults: all of them; several may act on one image, in this order.
        seed: of everything random; each fault has numbers of its own.
        start_ns: receive time that the faults' seconds count from.
    """

    faults: tuple[Fault, ...]
    seed: int
    start_ns: int
    _states: list[_State] = field(init=False)
    _earlier: dict[Modality, deque[np.ndarray]] = field(init=False, default_factory=dict)
    _original: deque[tuple[int, int]] = field(init=False, default_factory=lambda: deque(maxlen=1000))

    def __post_init__(self) -> None:
        self._states = [_State(fault, self._rng(fault)) for fault in self.faults]

    def apply(self, arrivals: Iterable[ArrivalT]) -> Iterator[ArrivalT]:
        """Inject the faults into a stream in receive order; the result is in receive order too.

        Args:
            arrivals: images, and perhaps ground truth among them: what is no image passes unchanged.
        """
        delayed: list[tuple[int, int, ArrivalT]] = []
        received_ns = 0
        for number, arrival in enumerate(arrivals):
            while delayed and arrival.received_ns < received_ns:  # the bag's clock went back: nothing can wait for it
                yield heapq.heappop(delayed)[2]
            received_ns = arrival.received_ns
            faulty: ArrivalT | None = arrival
            if isinstance(arrival, StampedImage | RecordedImage):
                self._remember(arrival)
                faulty = cast('ArrivalT | None', self._inject(arrival))  # a fault changes no types
            if faulty is not None:
                heapq.heappush(delayed, (faulty.received_ns, number, faulty))
            while delayed and delayed[0][0] <= received_ns:
                yield heapq.heappop(delayed)[2]
        while delayed:
            yield heapq.heappop(delayed)[2]

    def original_stamp_ns(self, stamp_ns: int) -> int:
        """The stamp that an image had before a fault of the clock, for the images of the last seconds."""
        return next((original for faulty, original in reversed(self._original) if faulty == stamp_ns), stamp_ns)

    def observations(self) -> list[FaultObservation]:
        """What each fault did, in the order of `faults`."""
        return [{'fault': str(state.fault), 'modality': str(state.fault.modality), 'kind': state.fault.kind,
                 'value': state.fault.value, 'start_s': state.fault.start_s,
                 'end_s': None if math.isinf(state.fault.end_s) else state.fault.end_s, 'images': state.count,
                 'first_s': None if math.isnan(state.first_s) else state.first_s,
                 'last_s': None if math.isnan(state.last_s) else state.last_s} for state in self._states]

    def _remember(self, image: Image) -> None:
        needed = max((_images_ago(fault) for fault in self.faults if fault.modality is image.modality), default=0)
        if needed and isinstance(image, StampedImage):
            self._earlier.setdefault(image.modality, deque(maxlen=needed + 1)).append(image.pixels)

    def _inject(self, image: Image) -> Image | None:
        """Apply every fault that acts now; None if one of them loses the image."""
        time_s = (image.received_ns - self.start_ns) / NS_PER_S
        original_ns = image.stamp_ns
        for state in self._states:
            fault = state.fault
            if fault.modality is not image.modality or not fault.start_s <= time_s < fault.end_s:
                continue
            state.count, state.last_s = state.count + 1, time_s
            if state.count == 1:
                state.first_s = time_s
            faulty = self._act(state, image)
            if faulty is None:
                return None
            image = faulty
        if image.stamp_ns != original_ns:
            self._original.append((image.stamp_ns, original_ns))
        return image

    def _act(self, state: _State, image: Image) -> Image | None:
        kind, value = state.fault.kind, state.fault.value
        if kind == 'missing':
            return None
        if kind == 'drop':
            return None if state.rng.random() < value else image
        if kind in ('delay', 'jitter'):
            delay_s = value if kind == 'delay' else state.rng.uniform(0, value)
            return replace(image, received_ns=image.received_ns + round(delay_s * NS_PER_S))
        if kind == 'clock':
            return _restamped(image, image.stamp_ns + round(value * NS_PER_S))
        if kind == 'stuck_stamps':
            state.stamp_ns = image.stamp_ns if state.stamp_ns is None else state.stamp_ns
            return _restamped(image, state.stamp_ns)
        if not isinstance(image, StampedImage):
            return image
        if kind == 'frozen':
            state.pixels = image.pixels if state.pixels is None else state.pixels
            return replace(image, pixels=state.pixels)
        # A camera that was knocked stays where it is: the same random offset for each image.
        rng = self._rng(state.fault) if kind == 'misalignment' else state.rng
        return self._corrupt(image, kind, int(value), rng)

    def _rng(self, fault: Fault) -> np.random.Generator:
        return np.random.default_rng([self.seed, crc32(str(fault).encode())])

    def _corrupt(self, image: StampedImage, family: str, severity: int, rng: np.random.Generator) -> StampedImage:
        values = _measured(image.pixels, image)
        previous = None
        if FAMILIES[family].needs_previous:
            earlier = self._earlier[image.modality]
            previous = _measured(earlier[max(0, len(earlier) - 1 - IMAGES_AGO[severity - 1])], image)
            if previous.shape != values.shape:
                return image
        faulty, _ = corrupt(values, family, severity, rng=rng, previous=previous)
        return replace(image, pixels=_encoded(faulty, image))


def _images_ago(fault: Fault) -> int:
    needed = fault.kind not in KINDS and FAMILIES[fault.kind].needs_previous
    return IMAGES_AGO[int(fault.value) - 1] if needed else 0


def _restamped(image: Image, stamp_ns: int) -> Image:
    if isinstance(image, RecordedImage):
        return replace(image, message=replace(image.message, stamp_ns=stamp_ns))
    return replace(image, stamp_ns=stamp_ns)


def _measured(pixels: np.ndarray, image: StampedImage) -> np.ndarray:
    """Pixels in the corruptions' units: colours as they are, depth in metres with NaN, thermal in raw counts."""
    if image.modality is Modality.RGB:
        return pixels
    return depth_in_metres(pixels) if image.modality is Modality.DEPTH else pixels.astype(np.float32)


def _encoded(values: np.ndarray, image: StampedImage) -> np.ndarray:
    """The inverse of `_measured`, in the encoding of the image."""
    dtype = image.pixels.dtype
    if dtype == values.dtype:
        return values
    if image.modality is Modality.DEPTH:
        return depth_in_millimetres(values)
    limits = np.iinfo(dtype)
    encoded: np.ndarray = np.clip(np.nan_to_num(np.round(values)), limits.min, limits.max).astype(dtype)
    return encoded
