"""What happens to the two streams in the benchmark of the synchroniser: each situation, and the arrivals it gives.

RGB and depth are captured at 30 Hz for 12 s. A situation says what is wrong with each stream: lost images, late
delivery, a wrong clock. From it and a seed come the arrivals of both.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import random
from typing import NamedTuple

import numpy as np

from rsgmamba_ros.vocabulary.images import Modality, StampedImage

NS_PER_S = 1_000_000_000
START_NS = 1_700_000_000 * NS_PER_S
PERIOD_NS = NS_PER_S // 30
SECONDS = 12
IMAGES = 30 * SECONDS
QUEUED_NS = 1_000_000  # between two images that come out of a queue
_NO_PIXELS = np.empty((0, 0), np.uint8)


@dataclass(frozen=True, eq=False)
class SimulatedImage(StampedImage):
    """An image without pixels.

    Attributes:
        true_ns: when it was captured, nanoseconds; its stamp may be wrong.
    """

    true_ns: int = 0


@dataclass(frozen=True)
class Fault:
    """What is wrong with one stream. Times are in seconds since the start; the defaults are a sound sensor.

    Attributes:
        lost: whether the image captured at this time never arrives.
        delay_s: delivery delay beyond the usual 5 ms +- 2 ms.
        offset_s: error of the stamp.
        stamp: gives the stamp that is sent, in nanoseconds, from the time and the stamp with its offset.
        every: 2 captures each second image of the 30 per second, 3 each third.
        phase: time of the first capture, in periods.
        in_order: whether an image arrives only after those before it, as from the queue of a stalled process.
    """

    lost: Callable[[float, random.Random], bool] = lambda time_s, rng: False
    delay_s: Callable[[float, random.Random], float] = lambda time_s, rng: 0
    offset_s: Callable[[float], float] = lambda time_s: 0
    stamp: Callable[[float, int], int] = lambda time_s, stamp_ns: stamp_ns
    every: int = 1
    phase: float = 0
    in_order: bool = False


class Quoted(NamedTuple):
    """Figures of message_filters over DDS: pairs, longest silence in seconds, wrong pairs."""

    fired: int
    silence_s: float
    wrong: int


@dataclass(frozen=True)
class Situation:
    """The name of a situation, the faults of both streams, and the figures of message_filters if they were measured."""

    name: str
    depth: Fault = Fault()
    rgb: Fault = Fault()
    quoted: Quoted | None = None


def stalled(seconds: float) -> Fault:
    """A stream that stalls at 4 s: the images of the stall arrive together at its end."""
    return Fault(delay_s=lambda t, rng: max(0, 4 + seconds - t) if t >= 4 else 0, in_order=True)


def poisson(mean_s: float) -> Fault:
    """A stream whose delivery takes an exponentially distributed time in addition."""
    return Fault(delay_s=lambda t, rng: rng.expovariate(1 / mean_s))


#: A process that gets too little CPU from 3 to 9 s: stamps are right, but 180 images arrive 0.15 to 0.3 s late.
STARVED = Fault(delay_s=lambda t, rng: rng.uniform(0.15, 0.3) if 3 <= t < 9 else 0, in_order=True)

SITUATIONS = (
    Situation('nominal', quoted=Quoted(360, 0.04, 0)),
    Situation('depth stops for 3 s', Fault(lost=lambda t, rng: 4 <= t < 7), quoted=Quoted(270, 3.03, 0)),
    Situation('depth stops for good at 4 s', Fault(lost=lambda t, rng: t >= 4), quoted=Quoted(120, 8.03, 0)),
    Situation('depth never comes', Fault(lost=lambda t, rng: True), quoted=Quoted(0, 12.0, 0)),
    Situation('RGB stops for 3 s', rgb=Fault(lost=lambda t, rng: 4 <= t < 7), quoted=Quoted(270, 3.03, 0)),
    Situation('every 2nd depth missing', Fault(every=2), quoted=Quoted(180, 0.07, 0)),
    Situation('30 % of depth missing', Fault(lost=lambda t, rng: rng.random() < 0.3), quoted=Quoted(242, 0.17, 0)),
    Situation('depth delivered 80 ms late', Fault(delay_s=lambda t, rng: 0.08), quoted=Quoted(360, 0.08, 0)),
    Situation('depth delivery jitter 0..120 ms', Fault(delay_s=lambda t, rng: rng.uniform(0, 0.12)),
        quoted=Quoted(360, 0.13, 0)),
    Situation('depth clock 0.2 s ahead', Fault(offset_s=lambda t: 0.2), quoted=Quoted(355, 0.17, 355)),
    Situation('depth clock 0.2 s behind', Fault(offset_s=lambda t: -0.2), quoted=Quoted(355, 0.17, 355)),
    Situation('depth clock steps ahead 0.2 s at 4 s', Fault(offset_s=lambda t: 0.2 * (t >= 4)),
        quoted=Quoted(355, 0.20, 235)),
    Situation('depth clock steps back 0.2 s at 4 s', Fault(offset_s=lambda t: -0.2 * (t >= 4))),
    Situation('depth clock drifts ahead 10 ms/s', Fault(offset_s=lambda t: 0.01 * t), quoted=Quoted(357, 0.07, 107)),
    Situation('depth clock drifts behind 10 ms/s', Fault(offset_s=lambda t: -0.01 * t)),
    Situation('depth at 10 Hz', Fault(every=3), quoted=Quoted(120, 0.10, 0)),
    Situation('depth stamps frozen from 4 s on', Fault(stamp=lambda t, stamp: min(stamp, START_NS + 4 * NS_PER_S)),
        quoted=Quoted(122, 7.96, 0)),
    Situation('depth stamps all zero', Fault(stamp=lambda t, stamp: 0), quoted=Quoted(0, 12.0, 0)),
    Situation('free-running, half a period apart', Fault(phase=0.5)),
    Situation('depth 80 ms late from 4 s on', Fault(delay_s=lambda t, rng: 0.08 * (t >= 4))),
    Situation('depth clock steps ahead 0.1 s at 4 s', Fault(offset_s=lambda t: 0.1 * (t >= 4))),
    Situation('depth clock steps back 0.1 s at 4 s', Fault(offset_s=lambda t: -0.1 * (t >= 4))),
    Situation('RGB clock steps ahead 0.2 s at 4 s', rgb=Fault(offset_s=lambda t: 0.2 * (t >= 4))),
    Situation('RGB clock steps back 0.2 s at 4 s', rgb=Fault(offset_s=lambda t: -0.2 * (t >= 4))),
    Situation('RGB clock steps back 0.1 s at 4 s', rgb=Fault(offset_s=lambda t: -0.1 * (t >= 4))),
    Situation('both stop for 3 s', Fault(lost=lambda t, rng: 4 <= t < 7), Fault(lost=lambda t, rng: 4 <= t < 7)),
    Situation('depth delivery Poisson, mean 20 ms', poisson(0.02)),
    Situation('depth delivery Poisson, mean 50 ms', poisson(0.05)),
    Situation('both deliveries Poisson, mean 20 ms', poisson(0.02), poisson(0.02)),
    Situation('depth stalls for 0.2 s', stalled(0.2)),
    Situation('depth stalls for 0.5 s', stalled(0.5)),
    Situation('depth stalls for 1 s', stalled(1)),
    Situation('RGB stalls for 0.2 s', rgb=stalled(0.2)),
    Situation('RGB stalls for 0.5 s', rgb=stalled(0.5)),
    Situation('RGB stalls for 1 s', rgb=stalled(1)),
    Situation('both stall for 0.2 s', stalled(0.2), stalled(0.2)),
    Situation('both stall for 0.5 s', stalled(0.5), stalled(0.5)),
    Situation('both stall for 1 s', stalled(1), stalled(1)),
    Situation('depth starved for 6 s', STARVED),
    Situation('RGB starved for 6 s', rgb=STARVED),
    Situation('both starved for 6 s', STARVED, STARVED),
    Situation('depth at 15 Hz', Fault(every=2, phase=0.25)),
    Situation('depth at 6 Hz', Fault(every=5)),
    Situation('RGB at 15 Hz', rgb=Fault(every=2)),
)


def simulate(situation: Situation, *, seed: int) -> list[SimulatedImage]:
    """The images of both streams in order of arrival."""
    images = []
    for modality, fault in ((Modality.RGB, situation.rgb), (Modality.DEPTH, situation.depth)):
        rng = random.Random(f'{seed} {situation.name} {modality}')
        previous_ns = 0
        for index in range(0, IMAGES, fault.every):
            true_ns = START_NS + round((index + fault.phase) * PERIOD_NS)
            time_s = (true_ns - START_NS) / NS_PER_S
            lag_s = 0.005 + rng.uniform(-0.002, 0.002) + fault.delay_s(time_s, rng)
            stamp_ns = fault.stamp(time_s, true_ns + round(fault.offset_s(time_s) * NS_PER_S))
            received_ns = true_ns + round(lag_s * NS_PER_S)
            if fault.in_order:
                received_ns = previous_ns = max(received_ns, previous_ns + QUEUED_NS)
            if not fault.lost(time_s, rng):
                images.append(SimulatedImage(modality, stamp_ns, received_ns, _NO_PIXELS, 'mono8', true_ns=true_ns))
    return sorted(images, key=lambda image: image.received_ns)
