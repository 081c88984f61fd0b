"""The segmentation node: a lifecycle and parameters around the path of the data."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
import sys
import traceback
from typing import TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from rsgmamba_ros.pipeline.node_settings import parse_settings
from rsgmamba_ros.ros.running import run_node, spin, StopFlag
from rsgmamba_ros.ros.segmentation import parameters
from rsgmamba_ros.ros.segmentation.data_path import DataPath
from rsgmamba_ros.ros.segmentation.diagnostics import FailureDiagnostics
from rsgmamba_ros.vocabulary.errors import RSGMambaError

NodeT = TypeVar('NodeT', bound='SegmentationNode')


class StartError(RSGMambaError, RuntimeError):
    """The node cannot start on its own."""


def logged(transition: Callable[[NodeT, LifecycleState], TransitionCallbackReturn],
           ) -> Callable[[NodeT, LifecycleState], TransitionCallbackReturn]:
    """Write the reason when a transition fails: rclpy itself swallows every exception of a transition."""
    @wraps(transition)
    def wrapped(node: NodeT, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except RSGMambaError as error:
            node.report_failure(f'{transition.__name__} failed: {error}', details='')
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            node.report_failure(f'{transition.__name__} failed: {error!r}', details=traceback.format_exc())
            return TransitionCallbackReturn.ERROR
    return wrapped


class SegmentationNode(LifecycleNode):
    """Segments synchronised images of RGB and one other modality.

    Configuring loads the network; activating subscribes. Topics and parameters are listed in the documentation.

    Args:
        namespace: of the node and its topics.
        parameter_overrides: values in place of the defaults.
    """

    def __init__(self, *, namespace: str | None = None, parameter_overrides: list[Parameter] | None = None):
        super().__init__('segmentation', namespace=namespace, parameter_overrides=parameter_overrides)
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._data_path: DataPath | None = None
        self._failure: FailureDiagnostics | None = None
        for line in parameters.unknown(self):
            self.get_logger().warning(line)

    def run(self, executor: SingleThreadedExecutor) -> None:
        """Configure and activate if the parameter `autostart` is set, then work until the process is told to stop.

        Raises:
            StartError: that failed, and the parameter `exit_on_failure` is set.
        """
        stop = StopFlag()  # first: rclpy would swallow an interrupt of a transition
        if not self.get_parameter('autostart').value:
            self.get_logger().info('waiting to be configured and activated; set autostart to do it without a manager')
        elif self.trigger_configure() == TransitionCallbackReturn.SUCCESS and not stop:
            self.trigger_activate()
        if self._failure is not None and self.get_parameter('exit_on_failure').value:
            raise StartError(f'autostart: {self._failure.text}')
        spin(executor, stop)

    def report_failure(self, text: str, *, details: str) -> None:
        """Log that a transition failed, and publish it until the next one.

        Args:
            details: for the log only.
        """
        self.get_logger().error(f'{text}\n{details}'.rstrip())
        self._forget_failure()
        self._failure = FailureDiagnostics(self, text)

    def _forget_failure(self) -> None:
        if self._failure is not None:
            self._failure.destroy()
            self._failure = None

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network; a file or a parameter that cannot be used is a FAILURE."""
        self._forget_failure()
        self._data_path = DataPath(self, parameters.settings(self))
        self.get_logger().info(f'configured: {self._data_path}')
        return super().on_configure(state)

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and publish from now on."""
        self._forget_failure()
        result = super().on_activate(state)
        assert self._data_path is not None  # a node must be configured before it can be activated
        self._data_path.start()
        self.get_logger().info('active')
        return result

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more images; the network stays loaded."""
        if self._data_path is not None:
            self._data_path.stop()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and take the topics back."""
        self.close()
        return super().on_cleanup(state)

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and take the topics back, whatever the state."""
        self.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, so that it can be tried again."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Undo what configuring and activating did."""
        if self._data_path is not None:
            self._data_path.close()
            self._data_path = None

    def destroy_node(self) -> None:
        """Destroy everything that belongs to the node."""
        self._forget_failure()
        super().destroy_node()

    def _on_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        result = parameters.check(changes, is_configured=self._data_path is not None)
        if result.successful and self._data_path is not None:
            changed = {change.name: change.value for change in changes if change.name in parameters.PARAMETERS}
            values = self._data_path.settings.as_parameters() | changed
            self._data_path.change(parse_settings(values, where='parameters'))
        return result


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; the exit status."""
    return run_node('segmentation_node', SegmentationNode, SegmentationNode.run, close=SegmentationNode.close,
                    arguments=arguments)


if __name__ == '__main__':
    sys.exit(main())
