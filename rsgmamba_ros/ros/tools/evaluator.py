"""Judges a running segmentation node while a bag is played to it: every missed image is counted.

    ros2 launch rsgmamba_ros replay.launch.py bag:=recording out:=results

Subscribes to segmentation, segmentation/reliability and /diagnostics, reads the ground truth from the bag, and writes
the same results as `rsgmamba replay` when the bag's time is over or when it is told to stop.
"""
from __future__ import annotations

import os
from pathlib import Path
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
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
from rsgmamba_ros.ros.transport import use_shipped_profile
from rsgmamba_ros.vocabulary.errors import ConfigError, RSGMambaError
from rsgmamba_ros.vocabulary.images import Modality

#: Parameters with their defaults and descriptions.
PARAMETERS = {
    'bag': ('', 'folder or file of the bag that is played'),
    'out': ('', 'folder for the results'),
    'overwrite': (False, 'replace results that are there'),
    'checkpoint': ('', "the node's network: a file, or the name of a shipped one; it has the class names"),
    'modality': ('depth', 'what is segmented together with RGB, where no checkpoint is named'),
    'rgb_topic': ('', 'colour images of the bag; found by type if empty'),
    'auxiliary_topic': ('', 'depth or thermal images of the bag; found by type if empty'),
    'labels_topic': ('', 'ground truth of the bag; found by name if empty, "none" to go without'),
    'label_tolerance_s': (0.02, 'largest distance of a label stamp from the leading image, seconds'),
    'settle_s': (5.0, 'wait so long after the end of the bag for the answers that are missing, seconds'),
    'patience_s': (60.0, 'give up when the clock has stood still so long, seconds; 0 for never'),
}

#: Reliable and deep: an answer must not be lost here and counted as missed.
_ANSWERS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.RELIABLE)


class Evaluator(Node):
    """Hands what it hears to an `OnlineEvaluation`.

    Raises:
        RSGMambaError: bag, checkpoint, topics or the folder of results cannot be used.
    """

    def __init__(self, **options: Any):
        super().__init__('evaluator', **options)
        for name, (default, description) in PARAMETERS.items():
            self.declare_parameter(name, default, ParameterDescriptor(description=description))
        self._values = {name: self.get_parameter(name).value for name in PARAMETERS}
        self._bag = BagReader(Path(self._values['bag']))
        self._evaluation = _evaluation(self._values, self._bag)
        self._started_s = time.monotonic()
        self.create_subscription(Image, 'segmentation', self._on_label_map, _ANSWERS)
        self.create_subscription(Reliability, 'segmentation/reliability', self._on_reliability, _ANSWERS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, _ANSWERS)
        # Last: a player that waits for subscribers of /clock must find this node ready.
        self.set_parameters([Parameter('use_sim_time', value=True)])

    def run(self, executor: SingleThreadedExecutor) -> str:
        """Listen until every image is answered or the bag's time is over; why it ended."""
        patience_s = self._values['patience_s']
        last_ns, moved_s = 0, time.monotonic()
        self.get_logger().info('waiting for the bag')
        while (now_ns := self.get_clock().now().nanoseconds) < self._bag.end_ns:
            if now_ns != last_ns:
                last_ns, moved_s = now_ns, time.monotonic()
            elif patience_s and time.monotonic() - moved_s > patience_s:
                return f'the clock stood still for {patience_s:g} s'
            executor.spin_once(timeout_sec=0.1)
        settled_s = time.monotonic() + self._values['settle_s']
        while not self._evaluation.is_answered and time.monotonic() < settled_s:
            executor.spin_once(timeout_sec=0.1)
        return END_OF_BAG

    def finish(self, ended_by: str) -> None:
        """Write the results and say what is in them.

        Raises:
            BagError: the disk is full.
        """
        summary = self._evaluation.finish(ended_by=ended_by, wall_s=time.monotonic() - self._started_s)
        score = '' if summary['miou'] is None else f', mIoU {summary["miou"]:.3f}'
        self.get_logger().info(f'{self._values["out"]}: {summary["segmented"]} segmented, {summary["missed"]} of '
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


def _evaluation(values: dict[str, Any], bag: BagReader) -> OnlineEvaluation:
    if not values['out']:
        raise ConfigError('the parameter out is empty; name a folder for the results')
    path = checkpoint_path(values['checkpoint'], Modality(values['modality']))
    checkpoint = load_checkpoint(path)
    named: dict[ImageContent, str | None] = {
        Modality.RGB: values['rgb_topic'], checkpoint.auxiliary: values['auxiliary_topic'],
        LABELS: values['labels_topic']}
    topics = find_topics(bag, auxiliary=checkpoint.auxiliary, named=named)
    prepare_folder(Path(values['out']), overwrite=values['overwrite'])
    modalities = tuple(m for m in (Modality.RGB, checkpoint.auxiliary) if m in topics.values())
    config = {'topics': {name: str(shows) for name, shows in topics.items()}}
    sources = Sources(mode='online', bag=bag, topics=topics, modalities=modalities, checkpoint=path,
                      labels=checkpoint.labels, config=config, command=tuple(sys.argv))
    return OnlineEvaluation(sources, Path(values['out']), label_tolerance_s=values['label_tolerance_s'])


def main(arguments: list[str] | None = None) -> int:
    """Evaluate until the bag is over; the exit status."""
    use_shipped_profile(os.environ)
    rclpy.init(args=arguments)
    executor, node = SingleThreadedExecutor(), None
    ended_by = 'interrupted'
    try:
        node = Evaluator()
        executor.add_node(node)
        ended_by = node.run(executor)
    except RSGMambaError as error:
        print(f'evaluator_node: {error}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        executor.shutdown()
        status = _end(node, ended_by) if node is not None else 1
        rclpy.try_shutdown()
    return status


def _end(node: Evaluator, ended_by: str) -> int:
    try:
        node.finish(ended_by)
        return 0
    except RSGMambaError as error:
        print(f'evaluator_node: {error}', file=sys.stderr)
        return 1
    finally:
        node.close()
        node.destroy_node()


if __name__ == '__main__':
    sys.exit(main())
