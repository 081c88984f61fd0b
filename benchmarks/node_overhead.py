"""What the node adds to the network: from the arrival of a pair's later image to its published labels.

A camera process publishes pairs over DDS to a node in this process, whose stages are timed. `network` is the forward
pass alone. The CPU time is that of the whole process, and says more on a busy machine.
Run: python benchmarks/node_overhead.py [--seconds 20] [--hz 5] [--size 480x640] [--checkpoint NAME] [--json]
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import wraps
import json
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.utilities import try_shutdown

from rsgmamba_ros.pipeline.execution.engine import Engine
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.ros.conversions import nanoseconds
from rsgmamba_ros.ros.segmentation.intake import Intake
from rsgmamba_ros.ros.segmentation.node import SegmentationNode
from rsgmamba_ros.ros.segmentation.publishers import ResultPublishers


class Stages:
    """Times of each pair by the stamp of its leading image, milliseconds."""

    def __init__(self) -> None:
        self._arrived: dict[int, tuple[float, float]] = {}
        self._network_s = self._network_cpu_s = self._segmenter_s = 0.0
        self.total_ms: list[float] = []
        self.around_network_ms: list[float] = []
        self.around_segmenter_ms: list[float] = []
        self.cpu_around_network_ms: list[float] = []

    def install(self) -> None:
        """Time the stages of every node in this process from now on."""
        self._around(Intake, '_on_message', lambda call, one, modality, message: self._message(call, modality, message))
        self._around(Engine, 'run', self._network)
        self._around(Segmenter, 'segment', self._segmenter)
        self._around(ResultPublishers, 'publish', self._published)

    @staticmethod
    def _around(owner: type, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def timed(one: Any, *arguments: Any, **options: Any) -> Any:
            return around(lambda: original(one, *arguments, **options), one, *arguments, **options)
        setattr(owner, name, timed)

    def _message(self, call: Callable[[], Any], modality: Any, message: Any) -> Any:
        # The later of the two images of a pair, which have one stamp.
        self._arrived[nanoseconds(message.header.stamp)] = time.perf_counter(), time.process_time()
        return call()

    def _network(self, call: Callable[[], Any], *_: Any, **__: Any) -> Any:
        start, cpu = time.perf_counter(), time.process_time()
        result = call()
        self._network_s += time.perf_counter() - start
        self._network_cpu_s += time.process_time() - cpu
        return result

    def _segmenter(self, call: Callable[[], Any], *_: Any, **__: Any) -> Any:
        self._network_s = self._network_cpu_s = 0.0
        start = time.perf_counter()
        result = call()
        self._segmenter_s = time.perf_counter() - start
        return result

    def _published(self, call: Callable[[], Any], one: Any, segmentation: Any, *_: Any, **__: Any) -> Any:
        result = call()
        arrived = self._arrived.pop(segmentation.stamp_ns, None)
        if arrived is not None and all(entry.used for entry in segmentation.reliability.values()):
            total, cpu = time.perf_counter() - arrived[0], time.process_time() - arrived[1]
            self.cpu_around_network_ms.append(1e3 * (cpu - self._network_cpu_s))
            self.total_ms.append(1e3 * total)
            self.around_network_ms.append(1e3 * (total - self._network_s))
            self.around_segmenter_ms.append(1e3 * (total - self._segmenter_s))
        return result

    def summary(self) -> dict[str, dict[str, float]]:
        """p50 and p95 of each figure; the first pairs are left out."""
        figures = {'total': self.total_ms, 'less the network': self.around_network_ms,
                   'less the segmenter': self.around_segmenter_ms,
                   'CPU less the network': self.cpu_around_network_ms}
        return {name: {'p50_ms': statistics.median(values[3:]), 'p95_ms': statistics.quantiles(values[3:], n=20)[-1],
                       'pairs': len(values) - 3} for name, values in figures.items()}


def measure(*, seconds: float, hz: float, height: int, width: int, checkpoint: str) -> dict[str, dict[str, float]]:
    """Run camera and node; the summary of the stages."""
    stages = Stages()
    stages.install()
    rclpy.init()
    node = SegmentationNode(parameter_overrides=[Parameter('checkpoint', value=checkpoint),
                                                 Parameter('device', value='cpu')])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    script = Path(__file__).with_name('soak_camera.py')
    with tempfile.TemporaryDirectory() as folder:
        cameras = [subprocess.Popen([sys.executable, str(script), modality, f'{folder}/{modality}', '--hz', str(hz),
                                     '--height', str(height), '--width', str(width)]) for modality in ('rgb', 'depth')]
        try:
            node.trigger_configure()
            node.trigger_activate()
            end = time.monotonic() + seconds
            while time.monotonic() < end or len(stages.total_ms) < 10:
                executor.spin_once(timeout_sec=0.1)
        finally:
            for camera in cameras:
                camera.kill()
                camera.wait()
            node.close()
            executor.shutdown()
            node.destroy_node()
            try_shutdown()
    return stages.summary()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=20.0)
    parser.add_argument('--hz', type=float, default=5.0)
    parser.add_argument('--size', default='480x640')
    parser.add_argument('--checkpoint', default='nano_synthetic_depth')
    parser.add_argument('--json', action='store_true')
    arguments = parser.parse_args()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    height, width = map(int, arguments.size.split('x'))
    figures = measure(seconds=arguments.seconds, hz=arguments.hz, height=height, width=width,
                      checkpoint=arguments.checkpoint)
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    for name, values in figures.items():
        print(f'{name:20} p50 {values["p50_ms"]:7.1f} ms  p95 {values["p95_ms"]:7.1f} ms  ({values["pairs"]} pairs)')


if __name__ == '__main__':
    main()
