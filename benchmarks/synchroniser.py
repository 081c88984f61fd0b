"""The synchroniser against message_filters.ApproximateTimeSynchronizer, under failing sensors and clocks.

Each row replays simulated arrivals (RGB and depth at 30 Hz for 12 s, seeded) into both. Where message_filters
cannot be imported, its columns are those measured over DDS with ROS 2 Jazzy (queue 10, slop 0.05 s), marked
"quoted". Run: python benchmarks/synchroniser.py [--json] [--seed N] [--max-wait-s S]
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
import json
import random
import statistics
from typing import Any, NamedTuple

import numpy as np

from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser, SynchroniserConfig
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality, StampedImage

NS_PER_S = 1_000_000_000
START_NS = 1_700_000_000 * NS_PER_S
PERIOD_NS = NS_PER_S // 30
SECONDS = 12
IMAGES = 30 * SECONDS
SLOP_S = 0.05
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
    """What happens to one stream. Times in seconds since the start; the defaults are a good sensor.

    Attributes:
        lost: whether the image captured at a time never comes.
        delay_s: delivery delay beyond the usual 5 ms +- 2 ms.
        offset_s: error of the stamp.
        stamp: replaces the whole stamp, in nanoseconds, given the time and the honest stamp.
        every: of the 30 images a second, each how manyth is captured.
        phase: start of the first capture, in periods.
        in_order: whether an image waits for those before it, as in the queue of a stalled process.
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
class Row:
    """One row: its name, the faults, and the figures measured for message_filters over DDS where there are any."""

    name: str
    depth: Fault = Fault()
    rgb: Fault = Fault()
    quoted: Quoted | None = None


def stalled(seconds: float) -> Fault:
    """A stream whose images of some seconds from 4 s on come together, at the end of the stall."""
    return Fault(delay_s=lambda t, rng: max(0, 4 + seconds - t) if t >= 4 else 0, in_order=True)


def poisson(mean_s: float) -> Fault:
    """A stream whose delivery takes an exponentially distributed time."""
    return Fault(delay_s=lambda t, rng: rng.expovariate(1 / mean_s))


#: A process that gets too little CPU from 3 to 9 s: honest stamps, images 0.15 to 0.3 s late, 180 images on time.
STARVED = Fault(delay_s=lambda t, rng: rng.uniform(0.15, 0.3) if 3 <= t < 9 else 0, in_order=True)

ROWS = (
    Row('nominal', quoted=Quoted(360, 0.04, 0)),
    Row('depth stops for 3 s', Fault(lost=lambda t, rng: 4 <= t < 7), quoted=Quoted(270, 3.03, 0)),
    Row('depth stops for good at 4 s', Fault(lost=lambda t, rng: t >= 4), quoted=Quoted(120, 8.03, 0)),
    Row('depth never comes', Fault(lost=lambda t, rng: True), quoted=Quoted(0, 12.0, 0)),
    Row('RGB stops for 3 s', rgb=Fault(lost=lambda t, rng: 4 <= t < 7), quoted=Quoted(270, 3.03, 0)),
    Row('every 2nd depth missing', Fault(every=2), quoted=Quoted(180, 0.07, 0)),
    Row('30 % of depth missing', Fault(lost=lambda t, rng: rng.random() < 0.3), quoted=Quoted(242, 0.17, 0)),
    Row('depth delivered 80 ms late', Fault(delay_s=lambda t, rng: 0.08), quoted=Quoted(360, 0.08, 0)),
    Row('depth delivery jitter 0..120 ms', Fault(delay_s=lambda t, rng: rng.uniform(0, 0.12)),
        quoted=Quoted(360, 0.13, 0)),
    Row('depth clock 0.2 s ahead', Fault(offset_s=lambda t: 0.2), quoted=Quoted(355, 0.17, 355)),
    Row('depth clock 0.2 s behind', Fault(offset_s=lambda t: -0.2), quoted=Quoted(355, 0.17, 355)),
    Row('depth clock steps ahead 0.2 s at 4 s', Fault(offset_s=lambda t: 0.2 * (t >= 4)),
        quoted=Quoted(355, 0.20, 235)),
    Row('depth clock steps back 0.2 s at 4 s', Fault(offset_s=lambda t: -0.2 * (t >= 4))),
    Row('depth clock drifts ahead 10 ms/s', Fault(offset_s=lambda t: 0.01 * t), quoted=Quoted(357, 0.07, 107)),
    Row('depth clock drifts behind 10 ms/s', Fault(offset_s=lambda t: -0.01 * t)),
    Row('depth at 10 Hz', Fault(every=3), quoted=Quoted(120, 0.10, 0)),
    Row('depth stamps frozen from 4 s on', Fault(stamp=lambda t, stamp: min(stamp, START_NS + 4 * NS_PER_S)),
        quoted=Quoted(122, 7.96, 0)),
    Row('depth stamps all zero', Fault(stamp=lambda t, stamp: 0), quoted=Quoted(0, 12.0, 0)),
    Row('free-running, half a period apart', Fault(phase=0.5)),
    Row('depth 80 ms late from 4 s on', Fault(delay_s=lambda t, rng: 0.08 * (t >= 4))),
    Row('depth clock steps ahead 0.1 s at 4 s', Fault(offset_s=lambda t: 0.1 * (t >= 4))),
    Row('depth clock steps back 0.1 s at 4 s', Fault(offset_s=lambda t: -0.1 * (t >= 4))),
    Row('RGB clock steps ahead 0.2 s at 4 s', rgb=Fault(offset_s=lambda t: 0.2 * (t >= 4))),
    Row('RGB clock steps back 0.2 s at 4 s', rgb=Fault(offset_s=lambda t: -0.2 * (t >= 4))),
    Row('RGB clock steps back 0.1 s at 4 s', rgb=Fault(offset_s=lambda t: -0.1 * (t >= 4))),
    Row('both stop for 3 s', Fault(lost=lambda t, rng: 4 <= t < 7), Fault(lost=lambda t, rng: 4 <= t < 7)),
    Row('depth delivery Poisson, mean 20 ms', poisson(0.02)),
    Row('depth delivery Poisson, mean 50 ms', poisson(0.05)),
    Row('both deliveries Poisson, mean 20 ms', poisson(0.02), poisson(0.02)),
    Row('depth stalls for 0.2 s', stalled(0.2)),
    Row('depth stalls for 0.5 s', stalled(0.5)),
    Row('depth stalls for 1 s', stalled(1)),
    Row('RGB stalls for 0.2 s', rgb=stalled(0.2)),
    Row('RGB stalls for 0.5 s', rgb=stalled(0.5)),
    Row('RGB stalls for 1 s', rgb=stalled(1)),
    Row('both stall for 0.2 s', stalled(0.2), stalled(0.2)),
    Row('both stall for 0.5 s', stalled(0.5), stalled(0.5)),
    Row('both stall for 1 s', stalled(1), stalled(1)),
    Row('depth starved for 6 s', STARVED),
    Row('RGB starved for 6 s', rgb=STARVED),
    Row('both starved for 6 s', STARVED, STARVED),
    Row('depth at 15 Hz', Fault(every=2, phase=0.25)),
    Row('depth at 6 Hz', Fault(every=5)),
    Row('RGB at 15 Hz', rgb=Fault(every=2)),
)


@dataclass(frozen=True)
class Figures:
    """What one synchroniser did with one row.

    Attributes:
        source: `run here`, or `quoted` from the measurement over DDS.
        bundles: bundles given, of `expected`; for message_filters, pairs.
        expected: images that have to lead: RGB's, and depth's while RGB is away.
        paired: bundles with both images.
        reused: of these, those whose partner had been one before.
        longest_silence_s: longest time between two bundles, from the first image to the last.
        latency_p50_ms: arrival of the leading image to the bundle.
        wrong: pairs whose true capture times lie further apart than the tolerance.
        wrong_unreported: of these, those whose bundle carries no report.
        reported: bundles with a report.
        reports: the different reports (figures in them left out), with how many bundles carried them.
    """

    source: str
    bundles: int
    expected: int
    paired: int | None
    longest_silence_s: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    wrong: int
    wrong_unreported: int
    reported: int = 0
    reports: dict[str, int] | None = None
    reused: int = 0


def simulate(row: Row, *, seed: int) -> list[SimulatedImage]:
    """Both streams of one row in order of arrival."""
    images = []
    for modality, fault in ((Modality.RGB, row.rgb), (Modality.DEPTH, row.depth)):
        rng = random.Random(f'{seed} {row.name} {modality}')
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


def replay(images: list[SimulatedImage], config: SynchroniserConfig) -> tuple[list[ImageBundle], Synchroniser]:
    """Feed arrivals to our synchroniser, polling exactly when it asks for it."""
    synchroniser = Synchroniser(config)
    bundles: list[ImageBundle] = []
    end_ns = images[-1].received_ns + 10 * NS_PER_S
    for image in [*images, None]:
        until = end_ns if image is None else image.received_ns
        while (deadline := synchroniser.next_deadline_ns()) is not None and deadline < until:
            bundles += synchroniser.poll(deadline)
        if image is not None:
            bundles += synchroniser.push(image, now_ns=until)
    return bundles, synchroniser


def evaluate(row: Row, images: list[SimulatedImage], config: SynchroniserConfig) -> Figures:
    """Replay one row and count."""
    bundles, _ = replay(images, config)
    tolerance_ns = round(config.max_skew_s * NS_PER_S)
    latencies = [(bundle.released_ns - bundle.leading_image.received_ns) / 1e6 for bundle in bundles]
    wrong = [bundle for bundle in bundles if _misalignment_ns(bundle) > tolerance_ns]
    reports: dict[str, int] = {}
    for bundle in bundles:
        for text in {_without_figures(report) for report in bundle.reports}:
            reports[text] = reports.get(text, 0) + 1
    return Figures(
        'run here', len(bundles), _expected(row, images), sum(len(_images(bundle)) > 1 for bundle in bundles),
        _longest_silence_s([bundle.released_ns for bundle in bundles], images), statistics.median(latencies),
        statistics.quantiles(latencies, n=20)[-1], len(wrong), sum(not bundle.reports for bundle in wrong),
        sum(bool(bundle.reports) for bundle in bundles), reports,
        sum(any(slot.reused for slot in bundle.slots.values()) for bundle in bundles))


def evaluate_message_filters(row: Row, images: list[SimulatedImage]) -> Figures | None:
    """The same row through the real message_filters; quoted figures where it is missing, None where there are none."""
    pairs = _message_filters_pairs(images)
    if pairs is None:
        if row.quoted is None:
            return None
        fired, silence_s, wrong = row.quoted
        return Figures('quoted', fired, _expected(row, images), fired, silence_s, None, None, wrong, wrong)
    wrong = sum(abs(rgb.true_ns - depth.true_ns) > SLOP_S * NS_PER_S for _, rgb, depth in pairs)
    latencies = [(time_ns - rgb.received_ns) / 1e6 for time_ns, rgb, _ in pairs]
    return Figures('run here', len(pairs), _expected(row, images), len(pairs),
                   _longest_silence_s([time_ns for time_ns, *_ in pairs], images),
                   statistics.median(latencies) if latencies else None,
                   statistics.quantiles(latencies, n=20)[-1] if len(latencies) > 1 else None, wrong, wrong)


def _message_filters_pairs(images: list[SimulatedImage]) -> list[tuple[int, Any, Any]] | None:
    try:
        from message_filters import ApproximateTimeSynchronizer, SimpleFilter
        from std_msgs.msg import Header
    except ImportError:
        return None
    filters = {Modality.RGB: SimpleFilter(), Modality.DEPTH: SimpleFilter()}
    synchroniser = ApproximateTimeSynchronizer(list(filters.values()), queue_size=10, slop=SLOP_S)
    pairs: list[tuple[int, Any, Any]] = []
    now_ns = 0
    synchroniser.registerCallback(lambda rgb, depth: pairs.append((now_ns, rgb.image, depth.image)))
    for image in images:
        now_ns = image.received_ns
        header = Header()
        header.stamp.sec, header.stamp.nanosec = divmod(image.stamp_ns, NS_PER_S)
        filters[image.modality].signalMessage(_Message(header, image))
    return pairs


@dataclass(frozen=True, eq=False)
class _Message:
    header: Any
    image: SimulatedImage


def _images(bundle: ImageBundle) -> list[Any]:
    return [slot.image for slot in bundle.slots.values() if slot.image is not None]


def _misalignment_ns(bundle: ImageBundle) -> int:
    times = [image.true_ns for image in _images(bundle)]
    return max(times) - min(times)


def _expected(row: Row, images: list[SimulatedImage]) -> int:
    """RGB images, and the depth images captured while RGB was lost and depth was not."""
    rgb = {image.true_ns for image in images if image.modality is Modality.RGB}
    depth = {image.true_ns for image in images if image.modality is Modality.DEPTH}
    return len(rgb if row.rgb.lost is Fault.lost else rgb | depth)


def _longest_silence_s(times_ns: list[int], images: list[SimulatedImage]) -> float:
    times = [images[0].received_ns, *times_ns, images[-1].received_ns]
    return max(later - earlier for earlier, later in zip(times, times[1:])) / NS_PER_S


def _without_figures(report: str) -> str:
    return ' '.join('#' if any(letter.isdigit() for letter in word) else word for word in report.split())


def measure(config: SynchroniserConfig, *, seed: int) -> list[dict[str, Any]]:
    """Every row: its name, our figures and message_filters' (None where there are none)."""
    results = []
    for row in ROWS:
        images = simulate(row, seed=seed)
        baseline = evaluate_message_filters(row, images)
        results.append({'row': row.name, 'ours': asdict(evaluate(row, images, config)),
                        'message_filters': baseline and asdict(baseline)})
    return results


def print_table(results: list[dict[str, Any]]) -> None:
    """One line a row: ours, then message_filters'."""
    print(f'{"":38} | {"rsgmamba_ros":^75} | message_filters')
    print(f'{"row":38} | {"bundles":>10} {"paired":>6} {"reused":>6} {"silence":>8} {"p50":>6} {"p95":>6} {"wrong":>6} '
          f'{"unreported":>10} {"reported":>8} | {"fired":>6} {"silence":>8} {"wrong":>6}')
    for result in results:
        ours, baseline = result['ours'], result['message_filters']
        line = (f'{result["row"]:38} | {ours["bundles"]:>3} of {ours["expected"]:>3} {ours["paired"]:>6} '
                f'{ours["reused"]:>6} '
                f'{ours["longest_silence_s"]:>6.2f} s {ours["latency_p50_ms"]:>6.0f} {ours["latency_p95_ms"]:>6.0f} '
                f'{ours["wrong"]:>6} {ours["wrong_unreported"]:>10} {ours["reported"]:>8} | ')
        if baseline:
            line += (f'{baseline["bundles"]:>6} {baseline["longest_silence_s"]:>6.2f} s {baseline["wrong"]:>6}  '
                     f'{baseline["source"]}')
        else:
            line += '   not measured'
        print(line)
    print('latency p50/p95 in ms; wrong: true capture times further apart than the tolerance; '
          'reported: bundles with a report')


def main() -> None:
    """Run every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--max-wait-s', type=float, default=SynchroniserConfig.max_wait_s)
    parser.add_argument('--estimate-clock-offset', action='store_true')
    parser.add_argument('--no-reuse-partner', action='store_true')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON, with the texts of the reports')
    arguments = parser.parse_args()
    config = SynchroniserConfig(max_wait_s=arguments.max_wait_s, max_skew_s=SLOP_S,
                                estimate_clock_offset=arguments.estimate_clock_offset,
                                reuse_partner=not arguments.no_reuse_partner)
    results = measure(config, seed=arguments.seed)
    if arguments.json:
        print(json.dumps({'config': {'max_wait_s': config.max_wait_s, 'max_skew_s': config.max_skew_s},
                          'seed': arguments.seed, 'rows': results}, indent=1))
    else:
        print_table(results)


if __name__ == '__main__':
    main()
