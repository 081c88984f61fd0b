"""A segmentation node in the test's own process, and a peer that talks to it."""
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from rsgmamba_ros.ros.segmentation.node import SegmentationNode


class Bench:
    """A node and its peer on one executor."""

    def __init__(self, namespace, **parameters):
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = SegmentationNode(namespace=namespace, parameter_overrides=overrides)
        self.peer = rclpy.create_node('peer', namespace=namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.peer)

    def wait_until(self, condition, timeout_s=60.0):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end
            self.executor.spin_once(timeout_sec=0.05)

    def start(self):
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def matched(self, publisher):
        self.wait_until(publisher.get_subscription_count)
        return publisher

    def close(self):
        self.node.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.peer.destroy_node()
