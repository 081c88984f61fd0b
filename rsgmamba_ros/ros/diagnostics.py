"""Counts, rates and faults of the node, on /diagnostics for people and in the log once each."""
from __future__ import annotations

from collections import Counter
from threading import Lock

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from rsgmamba_ros.ros.throttled_log import ThrottledLog
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality, StampedImage
from rsgmamba_ros.vocabulary.segmentation import Segmentation


class Diagnostics:
    def __init__(self, node: Node, modalities: tuple[Modality, ...], *, period_s: float):
        self._node = node
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._log = ThrottledLog(node.get_logger().error)
        self._lock = Lock()
        self._drops = Counter()

    def failed(self, cause, message, details=''):
        self._log.report(cause, message, now_ns=self._steady.now().nanoseconds)
        if details: self._node.get_logger().debug(details)
        self.dropped(cause, 1)

    def dropped(self, cause, count):
        with self._lock:
            self._drops[cause] += count

    def arrived(self, image): pass
    def bundled(self, bundle): pass
    def segmented(self, s, now_ns): pass
    def qos_mismatch(self, modality, message):
        self._log.report(f'{modality}_qos', message, now_ns=self._steady.now().nanoseconds)
    def lost_in_transport(self, modality, count): self.dropped(f'{modality}_lost', count)
    def reset(self): pass
    def destroy(self): pass
