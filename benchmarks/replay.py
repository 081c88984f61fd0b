"""The cost of a replay: its speed compared with rosbags alone and with real time, its memory, its overhead.

What is compared is measured in turns, on bags that are written first (VGA RGB-D at 30 Hz, 46 MB a second).
Run: python benchmarks/replay.py [--seconds 20] [--folder SCRATCH] [--json]
     python benchmarks/replay.py --checkpoint FILE_OR_NAME --seconds 6
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
import json
import os
from pathlib import Path
import shutil
import statistics
import subprocess
import sys
import tempfile
from time import perf_counter
from typing import Any

from rosbags.rosbag2 import Reader

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.sources import Shot, synthetic_shots, write_shots
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.replay.report.schema import PerformanceSummary
from rsgmamba_ros.replay.session import ReplayOptions, ReplaySession
from rsgmamba_ros.vocabulary.images import Modality

RATE_HZ, HEIGHT, WIDTH = 30, 480, 640
ROUNDS, NETWORK_ROUNDS = 5, 2
#: Peak memory and duration of a replay in a process of its own; the start of Python does not count.
_MEASURED = """
import json, sys
from pathlib import Path
from time import perf_counter
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.replay.session import ReplayOptions, ReplaySession
path, out, checkpoint = (Path(text) if text else None for text in sys.argv[1:4])
with BagReader(path) as bag:
    session = ReplaySession(ReplayOptions(path, out, checkpoint=checkpoint, overwrite=True), bag)
    start = perf_counter()
    summary = session.run()
    with_report_s = perf_counter() - start
peak_mib = int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) / 1024
print(json.dumps({'peak_mib': peak_mib, 'with_report_s': with_report_s, **summary['performance']}))
"""
#: The network alone, on bundles in memory: no replay can be faster.
_ALONE = """
import json, sys
from time import perf_counter
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_topics
from rsgmamba_ros.replay.offline import OfflineReplay
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser, SynchroniserConfig
from rsgmamba_ros.vocabulary.errors import ImageError
bundles = []
class Keep:
    def segment(self, bundle):
        bundles.append(bundle)
        raise ImageError('kept for later')
segmenter = Segmenter(sys.argv[3])
with BagReader(sys.argv[1]) as bag:
    topics = find_topics(bag, auxiliary=segmenter.auxiliary, named={})
    synchroniser = Synchroniser(SynchroniserConfig(modalities=segmenter.modalities))
    OfflineReplay(bag, topics, synchroniser=synchroniser, segmenter=Keep()).run()
segmenter.warm_up()
start = perf_counter()
for bundle in bundles:
    segmenter.segment(bundle)
print(json.dumps({'bundles': len(bundles), 'alone_s': perf_counter() - start}))
"""


def write_bag(path: Path, seconds: float, *, compressed: bool = False) -> Path:
    """Write a bag that repeats half a second of synthetic scenes: only its size matters."""
    few = list(synthetic_shots(RATE_HZ // 2, seed=0, rate_hz=RATE_HZ, height=HEIGHT, width=WIDTH,
                               auxiliary=Modality.DEPTH))

    def shots() -> Iterator[Shot]:
        for index in range(round(seconds * RATE_HZ)):
            yield few[index % len(few)]

    write_shots(path, shots(), auxiliary=Modality.DEPTH, rate_hz=RATE_HZ, compressed=compressed)
    return path


def seconds_of(action: Callable[[], object]) -> float:
    """The time that an action takes, seconds."""
    start = perf_counter()
    action()
    return perf_counter() - start


def iterate(path: Path) -> None:
    """Read with rosbags alone the images that a sync-only replay reads."""
    with Reader(path) as reader:
        connections = [c for c in reader.connections if not c.topic.startswith('/labels')]
        for _ in reader.messages(connections):
            pass


def sync_only(path: Path, out: Path) -> PerformanceSummary:
    """Run a sync-only replay and return the figures of speed in its summary."""
    with BagReader(path) as bag:
        return ReplaySession(ReplayOptions(path, out, overwrite=True), bag).run()['performance']


def compare_with_rosbags(path: Path, out: Path) -> dict[str, float]:
    """Speed of the sync-only replay as a share of the speed of rosbags; both in turns, the best of `ROUNDS` rounds."""
    iterate(path)  # once, so that both find the file in memory
    alone, replayed, whole = [], [], []
    for _ in range(ROUNDS):
        alone.append(seconds_of(lambda: iterate(path)))
        whole.append(seconds_of(lambda: replayed.append(sync_only(path, out)['wall_s'])))
    return {'rosbags_s': min(alone), 'sync_only_s': min(replayed), 'share': min(alone) / min(replayed),
            'share_median': statistics.median(a / r for a, r in zip(alone, replayed)),
            'with_summary_and_report_s': min(whole)}


def measure(path: Path, out: Path, checkpoint: Path | None = None, *, script: str = _MEASURED,
            threads: int = 0) -> dict[str, float]:
    """Run a replay in a process of its own and return its peak memory and times."""
    environment = dict(os.environ, **({'OMP_NUM_THREADS': str(threads)} if threads else {}))
    done = subprocess.run([sys.executable, '-c', script, str(path), str(out), str(checkpoint or '')], check=True,
                          text=True, capture_output=True, env=environment)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare_with_network(path: Path, out: Path, checkpoint: Path, *, threads: int = 0) -> dict[str, float]:
    """Time of full replays and of the network alone; both in turns, the best of all rounds."""
    alone = [measure(path, out, checkpoint, script=_ALONE, threads=threads)['alone_s']]
    full = []
    for _ in range(NETWORK_ROUNDS):
        full.append(measure(path, out, checkpoint, threads=threads))
        alone.append(measure(path, out, checkpoint, script=_ALONE, threads=threads)['alone_s'])
    best = min(full, key=lambda result: result['wall_s'])
    return {**best, 'alone_s': min(alone), 'over_alone': best['wall_s'] / min(alone) - 1}


def run(folder: Path, seconds: float, checkpoint: Path | None) -> dict[str, Any]:
    """Measure full replays if a checkpoint is given, else sync-only replays; the figures by name."""
    out = folder / 'out'
    if checkpoint is not None:
        bag = write_bag(folder / 'bag', seconds)
        return {'full': compare_with_network(bag, out, checkpoint),
                'full_one_thread': compare_with_network(bag, out, checkpoint, threads=1)}
    raw = write_bag(folder / 'raw', seconds)
    results: dict[str, Any] = {'rosbags': compare_with_rosbags(raw, out), 'memory': measure(raw, out)}
    shutil.rmtree(raw)
    longer = write_bag(folder / 'longer', 5 * seconds)
    results['memory_of_five_times'] = measure(longer, out)
    shutil.rmtree(longer)
    compressed = write_bag(folder / 'compressed', seconds, compressed=True)
    results['compressed'] = measure(compressed, out)
    return results


def table(results: dict[str, Any]) -> str:
    """The figures as a table, each with its requirement."""
    rows = _sync_only_rows(results) if 'rosbags' in results else _network_rows(results)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _sync_only_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    alone, memory, longer = results['rosbags'], results['memory'], results['memory_of_five_times']
    return [
        ('sync-only speed, share of rosbags alone',
         f'{alone["share"]:.2f} (median of pairs {alone["share_median"]:.2f})', 'at least 0.70'),
        ('... rosbags alone / sync-only / with report',
         f'{alone["rosbags_s"]:.2f} / {alone["sync_only_s"]:.2f} / {alone["with_summary_and_report_s"]:.2f} s', ''),
        ('sync-only on a compressed bag, times real time', f'{results["compressed"]["realtime_factor"]:.0f}',
         'at least 20'),
        ('peak memory, bag / bag five times as long', f'{memory["peak_mib"]:.0f} / {longer["peak_mib"]:.0f} MiB',
         'below 400, the same')]


def _network_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for name, full in results.items():
        name = {'full': 'full replay', 'full_one_thread': 'full replay, one thread'}[name]
        rows += [(f"{name}: over the network's time in it", f'{100 * full["overhead"]:.1f} %', 'at most 10 %'),
                 ('... over the network alone, in turns', f'{100 * full["over_alone"]:.1f} %', ''),
                 ('... network alone / replay / with report',
                  f'{full["alone_s"]:.2f} / {full["wall_s"]:.2f} / {full["with_report_s"]:.2f} s', ''),
                 ('... peak memory', f'{full["peak_mib"]:.0f} MiB', '')]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=20, help='length of the bag (default: %(default)s)')
    parser.add_argument('--checkpoint', help='measure full replays with it: a file, or the name of a shipped network')
    parser.add_argument('--folder', type=Path, help='where to write the bags (default: a temporary folder)')
    parser.add_argument('--json', action='store_true', help='print the raw figures')
    arguments = parser.parse_args()
    checkpoint = checkpoint_path(arguments.checkpoint, Modality.DEPTH) if arguments.checkpoint else None
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        results = run(Path(folder), arguments.seconds, checkpoint)
    print(json.dumps(results, indent=1) if arguments.json else table(results))


if __name__ == '__main__':
    main()
