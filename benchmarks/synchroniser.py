"""The synchroniser against message_filters.ApproximateTimeSynchronizer, under failing sensors and clocks.

Both get the same simulated arrivals, for each of `synchroniser_situations.SITUATIONS`. If message_filters cannot be
imported, its figures are those measured over DDS with ROS 2 Jazzy (queue 10, slop 0.05 s), marked "quoted".
Run: python benchmarks/synchroniser.py [--json] [--seed N] [--max-wait-s S]
"""
from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
import json
import statistics
from typing import Any

from synchroniser_situations import Fault, NS_PER_S, simulate, SimulatedImage, Situation, SITUATIONS

from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser, SynchroniserConfig
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality

#: Greatest difference of two stamps in a pair, seconds, for both synchronisers.
SLOP_S = 0.05


@dataclass(frozen=True)
class Figures:
    """What one synchroniser did in one situation.

    Attributes:
        source: 'run here', or 'quoted' from the measurement over DDS.
        bundles: bundles released, of `expected`; for message_filters, pairs.
        expected: number of images that lead: those of RGB, and those of depth while RGB is lost.
        paired: bundles with both images.
        reused: of these, those whose partner was in an earlier bundle, too.
        longest_silence_s: longest time without a bundle, between the first image and the last.
        latency_p50_ms: from the arrival of the leading image to the release of the bundle; the median.
        latency_p95_ms: likewise, the 95th percentile.
        wrong: pairs whose true capture times lie further apart than the tolerance.
        wrong_unreported: of these, those whose bundle carries no report.
        reported: bundles with a report.
        reports: each report, without the figures in it, and how many bundles carried it.
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


def replay(images: list[SimulatedImage], config: SynchroniserConfig) -> tuple[list[ImageBundle], Synchroniser]:
    """Push arrivals to our synchroniser, and poll it exactly at its deadlines."""
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


def evaluate(situation: Situation, images: list[SimulatedImage], config: SynchroniserConfig) -> Figures:
    """Replay one situation and count."""
    bundles, _ = replay(images, config)
    tolerance_ns = round(config.max_skew_s * NS_PER_S)
    latencies = [(bundle.released_ns - bundle.leading_image.received_ns) / 1e6 for bundle in bundles]
    wrong = [bundle for bundle in bundles if _misalignment_ns(bundle) > tolerance_ns]
    reports: dict[str, int] = {}
    for bundle in bundles:
        for text in {_without_figures(report) for report in bundle.reports}:
            reports[text] = reports.get(text, 0) + 1
    return Figures(
        'run here', len(bundles), _expected(situation, images), sum(len(_images(bundle)) > 1 for bundle in bundles),
        _longest_silence_s([bundle.released_ns for bundle in bundles], images), statistics.median(latencies),
        statistics.quantiles(latencies, n=20)[-1], len(wrong), sum(not bundle.reports for bundle in wrong),
        sum(bool(bundle.reports) for bundle in bundles), reports,
        sum(any(slot.reused for slot in bundle.slots.values()) for bundle in bundles))


def evaluate_message_filters(situation: Situation, images: list[SimulatedImage]) -> Figures | None:
    """The same arrivals through the real message_filters; without it the quoted figures, or None if there are none."""
    pairs = _message_filters_pairs(images)
    if pairs is None:
        if situation.quoted is None:
            return None
        fired, silence_s, wrong = situation.quoted
        return Figures('quoted', fired, _expected(situation, images), fired, silence_s, None, None, wrong, wrong)
    wrong = sum(abs(rgb.true_ns - depth.true_ns) > SLOP_S * NS_PER_S for _, rgb, depth in pairs)
    latencies = [(time_ns - rgb.received_ns) / 1e6 for time_ns, rgb, _ in pairs]
    return Figures('run here', len(pairs), _expected(situation, images), len(pairs),
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
    times: list[int] = [image.true_ns for image in _images(bundle)]
    return max(times) - min(times)


def _expected(situation: Situation, images: list[SimulatedImage]) -> int:
    """RGB images, and the depth images captured while RGB was lost and depth was not."""
    rgb = {image.true_ns for image in images if image.modality is Modality.RGB}
    depth = {image.true_ns for image in images if image.modality is Modality.DEPTH}
    return len(rgb if situation.rgb.lost is Fault.lost else rgb | depth)


def _longest_silence_s(times_ns: list[int], images: list[SimulatedImage]) -> float:
    times = [images[0].received_ns, *times_ns, images[-1].received_ns]
    return max(later - earlier for earlier, later in zip(times, times[1:])) / NS_PER_S


def _without_figures(report: str) -> str:
    return ' '.join('#' if any(letter.isdigit() for letter in word) else word for word in report.split())


def measure(config: SynchroniserConfig, *, seed: int) -> list[dict[str, Any]]:
    """For each situation its name, our figures, and those of message_filters (None if there are none)."""
    results = []
    for situation in SITUATIONS:
        images = simulate(situation, seed=seed)
        baseline = evaluate_message_filters(situation, images)
        results.append({'situation': situation.name, 'ours': asdict(evaluate(situation, images, config)),
                        'message_filters': baseline and asdict(baseline)})
    return results


def print_table(results: list[dict[str, Any]]) -> None:
    """Print one line for each situation: our figures, then those of message_filters."""
    print(f'{"":38} | {"rsgmamba_ros":^75} | message_filters')
    print(f'{"situation":38} | {"bundles":>10} {"paired":>6} {"reused":>6} {"silence":>8} {"p50":>6} {"p95":>6} '
          f'{"wrong":>6} {"unreported":>10} {"reported":>8} | {"fired":>6} {"silence":>8} {"wrong":>6}')
    for result in results:
        ours, baseline = result['ours'], result['message_filters']
        line = (f'{result["situation"]:38} | {ours["bundles"]:>3} of {ours["expected"]:>3} {ours["paired"]:>6} '
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
    """Run every situation and print the table."""
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
                          'seed': arguments.seed, 'situations': results}, indent=1))
    else:
        print_table(results)


if __name__ == '__main__':
    main()
