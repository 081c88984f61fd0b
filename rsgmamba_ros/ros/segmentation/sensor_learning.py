"""The service ~/learn_sensor: some seconds of healthy images become the sensor profile."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from std_srvs.srv import Trigger

from rsgmamba_ros.data.signature_failures import inflict_signatures
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.sensor_learning import SensorLearner
from rsgmamba_ros.vocabulary.errors import ProfileError
from rsgmamba_ros.vocabulary.images import ImageBundle
from rsgmamba_ros.vocabulary.sensor_profile import save_profile, SensorProfile

SERVICE = '~/learn_sensor'


@dataclass(frozen=True, eq=False)
class LearnedProfile:
    """A profile and the file that it was saved to."""

    profile: SensorProfile
    path: str


class LearnSensorService:
    """Answers a request when the time is over. `offer` is for the inference thread, all else for the executor's.

    Args:
        path: file for the profile; empty for one of this node below ~/.ros (or ROS_HOME).
        seconds: how long to collect, asked at each request.
        on_learned: takes the profile, on the executor's thread.

    Note (deferred response): rclpy answers a service when its callback returns. A callback that waits would block the
    executor, and a coroutine that waits is polled without a pause. So the response to a request that starts the
    learning is held back, and sent by the timer that ends it.
    """

    def __init__(self, node: Node, segmenter: Segmenter, *, path: str, seconds: Callable[[], float],
                 on_learned: Callable[[LearnedProfile], None]):
        self._node = node
        self._segmenter = segmenter
        self._path = Path(path) if path else default_path(node)
        self._seconds = seconds
        self._on_learned = on_learned
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._learner: SensorLearner | None = None
        self._timer: Any = None
        self._deferred: Trigger.Response | None = None
        self._header: Any = None
        self._is_active = False
        self._service = node.create_service(Trigger, SERVICE, self._on_request)
        self._send = self._service.send_response
        # rclpy has no deferred responses.
        self._service.send_response = self._send_or_hold_back  # type: ignore[method-assign]

    @property
    def command(self) -> str:
        """The command that calls the service."""
        return f'ros2 service call {self._node.resolve_service_name(SERVICE)} std_srvs/srv/Trigger'

    def offer(self, bundle: ImageBundle) -> None:
        """Look at a bundle if the sensor is being learned."""
        learner = self._learner
        if learner is not None:
            learner.offer(bundle, now_ns=self._steady.now().nanoseconds)

    def start(self) -> None:
        """Accept requests: images arrive."""
        self._is_active = True

    def stop(self, reason: str) -> None:
        """End the learning without a profile, and accept no more requests."""
        self._is_active = False
        if self._learner is not None:
            self._answer(success=False, message=reason)

    def destroy(self) -> None:
        """Take the service back."""
        self.stop('the node was cleaned up')
        self._node.destroy_service(self._service)

    def _on_request(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self._refusal()
        if refusal:
            return Trigger.Response(success=False, message=refusal)
        seconds = self._seconds()
        self._learner = SensorLearner(self._segmenter, inflict_signatures, seconds=seconds,
                                      now_ns=self._steady.now().nanoseconds)
        self._timer = self._node.create_timer(seconds, self._on_end, clock=self._steady)
        self._deferred = response
        self._node.get_logger().info(f'learning this sensor for {seconds:g} s; both cameras should show usual scenes')
        return response

    def _refusal(self) -> str:
        if not self._is_active:
            return 'the node is not active: no images arrive'
        if self._learner is not None:
            return 'the sensor is being learned already'
        return '' if self._segmenter.takes_profile else "this network's reliability head takes no sensor profile"

    def _send_or_hold_back(self, response: Trigger.Response, header: Any) -> None:
        if response is self._deferred:
            self._header = header
        else:
            self._send(response, header)

    def _on_end(self) -> None:
        assert self._learner is not None
        try:
            profile = self._learner.finish(self._node.get_fully_qualified_name())
            save_profile(self._path, profile)
        except ProfileError as error:
            self._answer(success=False, message=str(error))
            return
        self._on_learned(LearnedProfile(profile, str(self._path)))
        self._answer(success=True, message=f'learned from {profile.images} image pairs, in use from now on, and saved '
                     f'to {self._path}; set the parameter sensor_profile to it for the next start')

    def _answer(self, *, success: bool, message: str) -> None:
        self._node.destroy_timer(self._timer)
        self._timer = self._learner = self._deferred = None
        if success:  # a line each, because rclpy allows a line of code one severity
            self._node.get_logger().info(f'learn_sensor: {message}')
        else:
            self._node.get_logger().warning(f'learn_sensor: {message}')
        self._send(Trigger.Response(success=success, message=message), self._header)


def default_path(node: Node) -> Path:
    """Where the profile of a node is saved that names no file."""
    home = Path(os.environ.get('ROS_HOME') or '~/.ros').expanduser()
    return home / 'rsgmamba_ros' / (node.get_fully_qualified_name().strip('/').replace('/', '.') + '.yaml')
