"""The demo: synthetic sensors that fail one after another, the segmentation node, and a recorder, over DDS.

    python -m rsgmamba_ros.ros.tools.demo --out out/demo

Each runs in a process of its own, with a DDS domain of its own on this machine only. Afterwards the recorder's bag is
read: a table goes to stdout, and `summary.json`, `demo.png` and the bag itself lie in the output folder.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import shutil
import signal
import sys
import time
from typing import Any, NoReturn

from tqdm import tqdm

from rsgmamba_ros.data.synthetic import SYNTHETIC_LABELS
from rsgmamba_ros.demo.phases import demo_phases, fault_script, Phase, phase_at
from rsgmamba_ros.demo.recording import read_recording
from rsgmamba_ros.demo.summary import as_json, summarise, table
from rsgmamba_ros.network.shipped import checkpoint_path, SYNTHETIC
from rsgmamba_ros.ros.processes import ProcessError, ProcessGroup
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import BagError, RSGMambaError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality

#: Results in the folder; those of an earlier run are removed.
BAG, SUMMARY, PICTURE, LOGS = 'bag', 'summary.json', 'demo.png', 'log'

#: Loading torch and the network on a slow machine takes this long at most, seconds.
_START_TIMEOUT_S = 180.0
#: For the last results to arrive, seconds.
_DRAIN_S = 1.0
_POLL_S = 0.1
_STARTED = re.compile(r'first image at (\d+) ns')
_ERROR = re.compile(r'^\[(?:ERROR|FATAL)\] \[[\d.]+\] \[[^]]*\]: (.*)$', re.MULTILINE)


@dataclass(frozen=True)
class DemoOptions:
    """What to show, and where the results go.

    Attributes:
        checkpoint: file of the network.
        seed: which room.
        rate_hz: images of each camera per second.
        phase_s: length of each phase, seconds.
        height: of the images, pixels.
        width: likewise.
        domain_id: ROS_DOMAIN_ID of the processes.
    """

    out: Path
    modality: Modality
    checkpoint: Path
    seed: int
    rate_hz: float
    phase_s: float
    height: int
    width: int
    domain_id: int


@dataclass
class Outcome:
    """How far the demo came.

    Attributes:
        start_ns: stamp of the first image; None if there was none.
        problem: for people, why it is not complete; empty if it is.
        status: exit status.
    """

    start_ns: int | None = None
    problem: str = ''
    status: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status: 0, 1 after an error (one line on stderr), 130 after Ctrl-C."""
    parsed = _parser().parse_args(arguments)
    # Ended by `kill` or by a CI's time limit, it cleans up as after Ctrl-C. A process that a shell starts in the
    # background would ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        modality = Modality(parsed.modality)
        checkpoint = checkpoint_path(parsed.checkpoint or SYNTHETIC[modality], modality)
        options = DemoOptions(**{**vars(parsed), 'modality': modality, 'checkpoint': checkpoint})
        phases = demo_phases(modality, options.phase_s)
        _clear(options.out)
        outcome = _run(options, phases)
        if outcome.start_ns is not None:
            _report(options, phases, outcome, outcome.start_ns)
    except (RSGMambaError, OSError) as error:
        outcome = Outcome(problem=str(error), status=1)
    if outcome.problem:
        print(f'demo: {outcome.problem}', file=sys.stderr)
    return outcome.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser('demo', description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder for bag, summary and picture')
    parser.add_argument('--modality', choices=list(map(str, AUXILIARY_MODALITIES)), default='depth')
    parser.add_argument('--checkpoint', default='',
                        help='file or name of a network; else the shipped one for rendered rooms')
    # A room in which all classes are in view nearly all the time; neither trained nor validated on.
    parser.add_argument('--seed', type=int, default=2_000_003, help='which room')
    parser.add_argument('--rate-hz', type=float, default=8.0, help='images of each camera per second')
    parser.add_argument('--phase-s', type=float, default=8.0, help='length of each phase, seconds')
    parser.add_argument('--height', type=int, default=240)
    parser.add_argument('--width', type=int, default=320)
    parser.add_argument('--domain-id', type=int, default=1 + os.getpid() % 100, help='ROS_DOMAIN_ID of the processes')
    return parser


def _clear(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in (BAG, LOGS):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (SUMMARY, PICTURE):
        (out / name).unlink(missing_ok=True)


def _environment(out: Path, domain_id: int) -> dict[str, str]:
    """That of the child processes: nobody else hears them, and large images get through."""
    environment = dict(os.environ, ROS_DOMAIN_ID=str(domain_id), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
                       ROS_LOG_DIR=str((out / LOGS / 'ros').resolve()))
    if environment.get('ROS_DISTRO') == 'humble':
        environment['ROS_LOCALHOST_ONLY'] = '1'  # the older name of the discovery range
    environment.setdefault('AMENT_PREFIX_PATH', sys.prefix)  # the wheels'
    use_shipped_profile(environment)
    return environment


def _run(options: DemoOptions, phases: Sequence[Phase]) -> Outcome:
    outcome = Outcome()
    with ProcessGroup(options.out / LOGS, _environment(options.out, options.domain_id)) as processes:
        try:
            _start(processes, options, phases)
            outcome.start_ns = _wait_for_start(processes)
            _watch(processes, phases)
            time.sleep(_DRAIN_S)
            processes.check(may_end='sensors')
        except KeyboardInterrupt:
            outcome.problem, outcome.status = 'interrupted; the recording so far is evaluated', 130
        except ProcessError as error:
            outcome.problem, outcome.status = str(error), 1
    return outcome


def _start(processes: ProcessGroup, options: DemoOptions, phases: Sequence[Phase]) -> None:
    common = {'modality': str(options.modality)}
    # When RGB dies, the auxiliary images that came since are segmented at once: room for them, so that none is dropped.
    processes.start('node', 'segmentation.node', {**common, 'autostart': True, 'checkpoint': str(options.checkpoint),
                                                  'queue_size': 8, 'threads': _threads()})
    processes.start('recorder', 'tools.recorder', {**common, 'bag': str((options.out / BAG).resolve())})
    processes.start('sensors', 'tools.sensors', {
        **common, 'seed': options.seed, 'rate_hz': options.rate_hz, 'height': options.height, 'width': options.width,
        'duration_s': phases[-1].end_s, 'faults': fault_script(phases), 'wait_for_subscribers': 2})


def _threads() -> int:
    """All cores but one: sensors and recorder keep that busy, and the network's threads would wait for one another."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _wait_for_start(processes: ProcessGroup) -> int:
    """Wait until the sensors have seen node and recorder; the stamp of the first image, nanoseconds."""
    begin_s = time.monotonic()
    with _progress(None, '{desc} {elapsed}', desc='starting sensors, node and recorder') as progress:
        while time.monotonic() - begin_s < _START_TIMEOUT_S:
            processes.check()
            started = _STARTED.search(processes.log('sensors'))
            if started:
                return int(started[1])
            error = _ERROR.search(processes.log('node'))
            if error:
                raise ProcessError(f'the node cannot start: {error[1]}')
            time.sleep(_POLL_S)
            progress.update()
    raise ProcessError(f'node and recorder have not subscribed after {_START_TIMEOUT_S:.0f} s; see '
                       f'{processes.log_file("node")}')


def _watch(processes: ProcessGroup, phases: Sequence[Phase]) -> None:
    """Show progress until the sensors' script is over.

    Raises:
        ProcessError: a process ended too early, or the sensors do not end.
    """
    begin_s, end_s = time.monotonic(), phases[-1].end_s
    with _progress(end_s, '{desc:<20} {bar} {n:.0f}/{total:.0f} s') as progress:
        while processes.is_running('sensors'):
            processes.check(may_end='sensors')
            passed_s = time.monotonic() - begin_s
            if passed_s > end_s + 20:
                raise ProcessError('the sensors do not come to an end; is the machine overloaded?')
            index = phase_at(phases, min(passed_s, end_s - 0.001))
            progress.set_description_str('' if index is None else phases[index].name, refresh=False)
            progress.update(min(passed_s, end_s) - progress.n)
            time.sleep(_POLL_S)
        progress.update(end_s - progress.n)
    processes.check(may_end='sensors')


def _progress(total: float | None, bar_format: str, *, desc: str = '') -> tqdm[NoReturn]:
    # In a log file every refresh is a line of its own.
    period_s = 0.2 if sys.stderr.isatty() else 20.0
    return tqdm(total=total, bar_format=bar_format, mininterval=period_s, maxinterval=period_s, desc=desc)


def _report(options: DemoOptions, phases: Sequence[Phase], outcome: Outcome, start_ns: int) -> None:
    """Evaluate the bag: table, summary and picture."""
    auxiliary = options.modality
    tracebacks = sum((options.out / LOGS / f'{name}.log').read_text(errors='replace').count('Traceback')
                     for name in ('node', 'recorder', 'sensors'))
    if tracebacks and not outcome.problem:
        outcome.problem, outcome.status = f'{tracebacks} exceptions in {options.out / LOGS}', 1
    try:
        recording = read_recording(options.out / BAG, phases, start_ns=start_ns, auxiliary=auxiliary,
                                   labels=SYNTHETIC_LABELS)
    except BagError as error:
        outcome.problem, outcome.status = outcome.problem or str(error), outcome.status or 1
        return
    summaries = summarise(recording, phases, auxiliary=auxiliary)
    facts: dict[str, Any] = {
        'complete': not outcome.problem, 'problem': outcome.problem, 'command': ' '.join(map(str, sys.argv)),
        'modality': str(options.modality), 'checkpoint': str(options.checkpoint), 'seed': options.seed,
        'rate_hz': options.rate_hz, 'height': options.height, 'width': options.width}
    (options.out / SUMMARY).write_text(json.dumps(as_json(summaries, facts), indent=2) + '\n', encoding='utf-8')
    print(table(summaries, (Modality.RGB, auxiliary)))
    # Imported late: matplotlib and torch take seconds that the start and the summary need not wait for.
    from rsgmamba_ros.demo.picture import draw
    draw(options.out / PICTURE, recording, phases, auxiliary=auxiliary, labels=SYNTHETIC_LABELS)
    print(f'\n{options.out}: {BAG} (MCAP, opens in Foxglove), {SUMMARY}, {PICTURE}')


if __name__ == '__main__':
    sys.exit(main())
