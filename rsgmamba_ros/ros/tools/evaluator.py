"""Evaluates a running segmentation node while a bag is played to it; every missed image is counted.

    ros2 launch rsgmamba_ros replay.launch.py bag:=recording out:=results

Subscribes to segmentation, segmentation/reliability and /diagnostics, reads the ground truth from the bag, and writes
the same results as `rsgmamba replay` when the bag's time is over or when it is told to stop.
"""
from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_topics
from rsgmamba_ros.data.messages.images import decode_image, ImageContent, LABELS
from rsgmamba_ros.data.messages.reliability import read_reliability_message
from rsgmamba_ros.msg import Reliability
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.replay.online import OnlineEvaluation
from rsgmamba_ros.replay.report.results import END_OF_BAG, Sources
from rsgmamba_ros.replay.session import prepare_folder
from rsgmamba_ros.ros.conversions import nanoseconds
from rsgmamba_ros.ros.running import run_node, StopFlag
from rsgmamba_ros.ros.tools.parameters import parameter, read_parameters
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality

#: `ended_by` of an evaluation that was told to stop.
INTERRUPTED = 'interrupted'

#: Reliable and deep: a result that is lost here would be counted as missed.
_ANSWERS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class EvaluatorParameters:
    """The evaluator's parameters.

    Raises:
        ConfigError: no folder for the results is named.
    """

    bag: str = parameter('', 'folder or file of the bag that is played')
    out: str = parameter('', 'folder for the results')
    overwrite: bool = parameter(False, 'replace results that are there')
    checkpoint: str = parameter('', "the node's network: a file, or the name of a shipped one; it has the class names")
    modality: str = parameter('depth', 'auxiliary modality beside RGB, where no checkpoint is named')
    rgb_topic: str = parameter('', 'colour images of the bag; found by type if empty')
    auxiliary_topic: str = parameter('', 'depth or thermal images of the bag; found by type if empty')
    labels_topic: str = parameter('', 'ground truth of the bag; found by name if empty, "none" to go without')
    label_tolerance_s: float = parameter(0.02, 'largest distance of a label stamp from the leading image, seconds')
    settle_s: float = parameter(5.0, 'longest wait for missing results after the end of the bag, seconds')
    patience_s: float = parameter(60.0, 'give up when the clock stands still for this time, seconds; 0 for never')

    def __post_init__(self) -> None:
        if not self.out:
            raise ConfigError('the parameter out is empty; name a folder for the results')


class Evaluator(Node):
    """Passes the node's results to an `OnlineEvaluation`.

    Raises:
        RSGMambaError: bag, checkpoint, topics or the folder of results cannot be used.
    """

    def __init__(self) -> None:
        super().__init__('evaluator')
        self._settings = read_parameters(self, EvaluatorParameters)
        self._bag = BagReader(Path(self._settings.bag))
        self._evaluation = _evaluation(self._settings, self._bag)
        self._started_s = time.monotonic()
        self.create_subscription(Image, 'segmentation', self._on_label_map, _ANSWERS)
        self.create_subscription(Reliability, 'segmentation/reliability', self._on_reliability, _ANSWERS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, _ANSWERS)
        # Last: a player that waits for subscribers of /clock must find this node ready.
        self.set_parameters([Parameter('use_sim_time', value=True)])

    def run(self, executor: SingleThreadedExecutor) -> None:
        """Listen until the bag is over or the process is told to stop; the results are written in any case.

        Raises:
            BagError: the disk is full.
        """
        ended_by = INTERRUPTED
        try:
            ended_by = self._listen(executor, StopFlag())
        finally:
            self._finish(ended_by)

    def _listen(self, executor: SingleThreadedExecutor, stop: StopFlag) -> str:
        """Listen until every image is answered or the bag's time is over; why it ended."""
        patience_s = self._settings.patience_s
        last_ns, moved_s = 0, time.monotonic()
        self.get_logger().info('waiting for the bag')
        while (now_ns := self.get_clock().now().nanoseconds) < self._bag.end_ns:
            if now_ns != last_ns:
                last_ns, moved_s = now_ns, time.monotonic()
            elif patience_s and time.monotonic() - moved_s > patience_s:
                return f'the clock stood still for {patience_s:g} s'
            if stop:
                return INTERRUPTED
            executor.spin_once(timeout_sec=0.1)
        settled_s = time.monotonic() + self._settings.settle_s
        while not stop and not self._evaluation.is_answered and time.monotonic() < settled_s:
            executor.spin_once(timeout_sec=0.1)
        return INTERRUPTED if stop else END_OF_BAG

    def _finish(self, ended_by: str) -> None:
        """Write the results, and a line about them into the log."""
        summary = self._evaluation.finish(ended_by=ended_by, wall_s=time.monotonic() - self._started_s)
        score = '' if summary['miou'] is None else f', mIoU {summary["miou"]:.3f}'
        self.get_logger().info(f'{self._settings.out}: {summary["segmented"]} segmented, {summary["missed"]} of '
                               f'{summary["expected"]} leading images missed{score}')

    def close(self) -> None:
        """Close the bag."""
        self._bag.__exit__()

    def _on_label_map(self, message: Image) -> None:
        pixels, _ = decode_image(LABELS, encoding=message.encoding, height=message.height, width=message.width,
                                 step=message.step, is_bigendian=bool(message.is_bigendian), data=message.data)
        self._evaluation.add_label_map(nanoseconds(message.header.stamp), pixels)

    def _on_reliability(self, message: Reliability) -> None:
        segmentation = read_reliability_message(message)
        published_ns = segmentation.stamp_ns + round(message.latency_s * 1e9)
        self._evaluation.add_reliability(segmentation, published_ns=published_ns)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(': synchroniser'):
                self._evaluation.add_counts({item.key: int(item.value) for item in status.values
                                             if item.value.isdecimal()})


def _evaluation(settings: EvaluatorParameters, bag: BagReader) -> OnlineEvaluation:
    path = checkpoint_path(settings.checkpoint, Modality(settings.modality))
    checkpoint = load_checkpoint(path)
    named: dict[ImageContent, str | None] = {
        Modality.RGB: settings.rgb_topic, checkpoint.auxiliary: settings.auxiliary_topic,
        LABELS: settings.labels_topic}
    topics = find_topics(bag, auxiliary=checkpoint.auxiliary, named=named)
    prepare_folder(Path(settings.out), overwrite=settings.overwrite)
    modalities = tuple(m for m in (Modality.RGB, checkpoint.auxiliary) if m in topics.values())
    config = {'topics': {name: str(shows) for name, shows in topics.items()}}
    sources = Sources(mode='online', bag=bag, topics=topics, modalities=modalities, checkpoint=path,
                      labels=checkpoint.labels, config=config, command=tuple(sys.argv))
    return OnlineEvaluation(sources, Path(settings.out), label_tolerance_s=settings.label_tolerance_s)


def main(arguments: list[str] | None = None) -> int:
    """Evaluate until the bag is over; the exit status."""
    use_shipped_profile(os.environ)
    return run_node('evaluator_node', Evaluator, Evaluator.run, close=Evaluator.close, arguments=arguments)


if __name__ == '__main__':
    sys.exit(main())
