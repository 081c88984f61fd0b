"""A segmentation node over real DDS under random faults: python benchmarks/soak.py [--seconds 1800] [--seed 1] [--json]

Cameras and node are processes of their own. Checked in the end: every lifecycle transition and every return of a sensor
happened, no pair of images from different moments went unreported, every bundle was answered or is counted by its
cause, the memory of the node is flat, and it ends with status 0.
"""
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import psutil
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.utilities import try_shutdown

from rsgmamba_ros.msg import ModalityReliability, Reliability
from rsgmamba_ros.ros.conversions import nanoseconds
from rsgmamba_ros.ros.qos import RESULT

#: Largest difference of two true capture times in a pair, nanoseconds: the node's max_skew_s.
TOLERANCE_NS = 50_000_000
MODALITIES = ('rgb', 'depth')

#: A process that only starts needs this long on a busy machine.
PATIENCE_S = 120.0

#: Memory that the node may gain after its first minute, of what it has then.
MOST_GROWTH = 0.15


@dataclass
class Counts:
    """What was seen.

    Attributes:
        faults: how often each was injected.
        problems: what should not have happened, for people.
        wrong: pairs of different moments, by whether they were reported.
    """

    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    results: int = 0
    pairs: int = 0
    bundles: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    transitions: int = 0
    memory_mib: list[int] = field(default_factory=list)
    status: int | None = None


class Soak:
    """Node, cameras, and the listener that checks them."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder = folder
        self._rng = random.Random(seed)
        self.counts = Counts()
        self._cameras: dict[str, subprocess.Popen[bytes]] = {}
        self._results: list[Reliability] = []
        self._diagnostics: dict[str, str] = {}
        rclpy.init()
        self._node = rclpy.create_node('soak')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(Reliability, 'segmentation/reliability', self._results.append, RESULT)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._change = self._node.create_client(ChangeState, 'segmentation/change_state')
        self._set = self._node.create_client(SetParameters, 'segmentation/set_parameters')
        self._log = (folder / 'node.log').open('wb')
        command = [sys.executable, '-m', 'rsgmamba_ros.ros.segmentation.node', '--ros-args', '-p', 'autostart:=true',
                   '-p', 'checkpoint:=nano_synthetic_depth', '-p', 'device:=cpu', '-p', 'diagnostics_period_s:=0.5']
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self._usage = psutil.Process(self._process.pid)

    def run(self, seconds: float) -> Counts:
        """Inject faults for some seconds, then end everything and check."""
        for modality in MODALITIES:
            self._start(modality)
        self._wait('the first pair', self._is_paired)
        end = time.monotonic() + seconds
        faults = self.faults()
        names = sorted(faults)
        while time.monotonic() < end and self._process.poll() is None:
            if not names:
                names = sorted(faults)
            name = names.pop(self._rng.randrange(len(names)))
            self.counts.faults[name] += 1
            faults[name]()
            self._wait(f'a pair after "{name}"', self._is_paired)
            self._check_books(name)
            self.counts.memory_mib.append(self._usage.memory_info().rss >> 20)
        self._finish()
        return self.counts

    def faults(self) -> dict[str, Callable[[], None]]:
        """Each by its name; it leaves both cameras running as they should."""
        found: dict[str, Callable[[], None]] = {
            'node stalled': lambda: self._stall([self._process], self._rng.uniform(0.5, 2)),
            'both stalled': lambda: self._stall(list(self._cameras.values()), self._rng.uniform(0.3, 1.5)),
            'parameters changed': self._change_parameters, 'lifecycle cycled': self._cycle}
        for modality in MODALITIES:
            def add(name: str, action: Callable[[str], None], modality: str = modality) -> None:
                found[f'{modality} {name}'] = lambda: action(modality)
            add('killed', self._kill)
            add('stalled', lambda one: self._stall([self._cameras[one]], self._rng.uniform(0.3, 1.5)))
            add('starved', self._starve)
            add('published twice', self._double)
            add('best effort', lambda one: self._restart(one, '--best-effort'))
            add('other size', lambda one: self._restart(one, '--height', '120', '--width', '160'))
            add('4K', lambda one: self._restart(one, '--height', '2160', '--width', '3840', '--hz', '2'))
            add('60 Hz', lambda one: self._restart(one, '--hz', '60'))
            add('clock steps', self._step)
        return found

    def _start(self, modality: str, *options: str) -> None:
        script = Path(__file__).with_name('soak_camera.py')
        self._cameras[modality] = subprocess.Popen(
            [sys.executable, str(script), modality, str(self._folder / f'{modality}.log'), *options])

    def _end(self, modality: str) -> None:
        self._cameras[modality].kill()
        self._cameras[modality].wait()

    def _kill(self, modality: str) -> None:
        """The sensor must be missed, and taken again."""
        self._end(modality)
        self._wait(f'{modality} to be missed', lambda: self._is_missed(modality))
        self._start(modality)

    def _restart(self, modality: str, *options: str) -> None:
        self._end(modality)
        self._start(modality, *options)
        self._spin(self._rng.uniform(2, 4))
        self._end(modality)
        self._start(modality)

    def _stall(self, processes: list[subprocess.Popen[bytes]], seconds: float) -> None:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        self._spin(seconds)
        for process in processes:
            process.send_signal(signal.SIGCONT)

    def _starve(self, modality: str) -> None:
        for _ in range(10):
            self._stall([self._cameras[modality]], self._rng.uniform(0.05, 0.25))
            self._spin(0.05)

    def _double(self, modality: str) -> None:
        first = self._cameras[modality]
        self._start(modality)
        self._spin(self._rng.uniform(1, 3))
        first.kill()
        first.wait()

    def _step(self, modality: str) -> None:
        self._cameras[modality].send_signal(signal.SIGUSR1)
        self._spin(self._rng.uniform(1, 3))
        self._cameras[modality].send_signal(signal.SIGUSR2)

    def _change_parameters(self) -> None:
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=self._rng.uniform(0, 0.9))
        request = SetParameters.Request(parameters=[Parameter(name='min_confidence', value=value)])
        answer = self._call(self._set, request)
        if answer is None or not answer.results[0].successful:
            self.counts.problems.append('a parameter was not changed')

    def _cycle(self) -> None:
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                           Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            if transition == Transition.TRANSITION_CLEANUP:
                self._spin(1.2)  # the last books of this life
                self._close_books()
            answer = self._call(self._change, ChangeState.Request(transition=Transition(id=transition)))
            if answer is None or not answer.success:
                self.counts.problems.append(f'transition {transition} failed')
            self.counts.transitions += 1

    def _call(self, client: Any, request: Any) -> Any:
        future = client.call_async(request)
        self._wait('a service', future.done)
        return future.result() if future.done() else None

    def _spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        self._since, end = len(self._results), time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end or self._process.poll() is not None:
                self.counts.problems.append(f'waited in vain for {what}')
                return
            self._executor.spin_once(timeout_sec=0.1)

    def _is_paired(self) -> bool:
        return any(all(entry.used for entry in message.modalities) for message in self._results[self._since:][-5:])

    def _is_missed(self, modality: str) -> bool:
        return any(entry.modality == modality and entry.presence == ModalityReliability.MISSING
                   for message in self._results[self._since:][-1:] for entry in message.modalities)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            part = status.name.rpartition(': ')[2]
            for value in status.values:
                self._diagnostics[f'{part}.{value.key}'] = value.value

    def _check_books(self, name: str) -> None:
        """Bundles are answered, counted, or on their way."""
        bundles = int(self._diagnostics.get('synchroniser.bundles', 0))
        answered = int(self._diagnostics.get('output.results', 0))
        dropped = sum(int(value) for key, value in self._diagnostics.items() if key.startswith('synchroniser.bundle.'))
        if not 0 <= bundles - answered - dropped <= 2:
            self.counts.problems.append(f'after "{name}": {bundles} bundles, {answered} results, {dropped} dropped')

    def _close_books(self) -> None:
        """Add what this life of the node counted; the next one counts from zero."""
        self.counts.bundles += int(self._diagnostics.get('synchroniser.bundles', 0))
        for key, value in self._diagnostics.items():
            if '.drop.' in key:
                self.counts.drops[key.removeprefix('synchroniser.')] += int(value)
        self._diagnostics.clear()

    def _finish(self) -> None:
        self._spin(1.2)
        self._close_books()
        for modality in MODALITIES:
            self._end(modality)
        self._process.send_signal(signal.SIGINT)
        try:
            self.counts.status = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.counts.problems.append('the node did not end')
        self._log.close()
        self._judge()
        self._executor.shutdown()
        self._node.destroy_node()
        try_shutdown()

    def _judge(self) -> None:
        counts = self.counts
        counts.results = len(self._results)
        true_ns = {modality: self._true_times(modality) for modality in MODALITIES}
        for message in self._results:
            moments = [self._moment(message, entry, true_ns[entry.modality]) for entry in message.modalities
                       if entry.presence == ModalityReliability.PRESENT]
            if len(moments) == len(MODALITIES):
                counts.pairs += 1
                if min(abs(one - other) for one in moments[0] for other in moments[1]) > TOLERANCE_NS:
                    counts.wrong['reported' if message.reports else 'unreported'] += 1
        log = (self._folder / 'node.log').read_text(encoding='utf-8', errors='replace')
        counts.problems += [f'the log has {word!r}' for word in ('Traceback', 'unexpected', 'terminate called')
                            if word in log]
        if counts.status != 0:
            counts.problems.append(f'the node ended with status {counts.status}')
        if counts.wrong['unreported']:
            counts.problems.append(f'{counts.wrong["unreported"]} wrong pairs were not reported')
        settled = counts.memory_mib[len(self.faults()):]  # every kind of fault has come once: 4K images take memory
        if len(settled) > 8 and settled[-1] > (1 + MOST_GROWTH) * settled[0]:
            counts.problems.append(f'memory grew from {settled[0]} to {settled[-1]} MiB')

    def _true_times(self, modality: str) -> dict[int, list[int]]:
        """When the images with a stamp were captured, by the stamp in steps of 10 microseconds: a skew is a float."""
        found: dict[int, list[int]] = {}
        for line in (self._folder / f'{modality}.log').read_text(encoding='utf-8').splitlines():
            true_ns, stamp_ns = map(int, line.split())
            found.setdefault(stamp_ns // 10_000, []).append(true_ns)
        return found

    @staticmethod
    def _moment(message: Reliability, entry: ModalityReliability, true_ns: dict[int, list[int]]) -> list[int]:
        """The capture times that an image may have; its own stamp where the camera wrote none down."""
        stamp_ns = nanoseconds(message.header.stamp)
        if entry.modality != message.leader:
            stamp_ns += round(entry.skew_s * 1e9)
        near = [moment for step in (-1, 0, 1) for moment in true_ns.get(stamp_ns // 10_000 + step, ())]
        return near or [stamp_ns]


def main() -> int:
    """Run it and print the counts; 1 if something happened that should not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=1800.0)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--json', action='store_true')
    arguments = parser.parse_args()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    with tempfile.TemporaryDirectory(prefix='soak_') as folder:
        counts = Soak(Path(folder), seed=arguments.seed).run(arguments.seconds)
    found = {**vars(counts), 'memory_mib': [min(counts.memory_mib, default=0), max(counts.memory_mib, default=0)]}
    print(json.dumps(found, indent=1) if arguments.json else
          '\n'.join(f'{key}: {dict(value) if isinstance(value, Counter) else value}' for key, value in found.items()))
    return int(bool(counts.problems))


if __name__ == '__main__':
    sys.exit(main())
