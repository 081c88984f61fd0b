"""The node: topics -> synchroniser -> segmenter -> topics. It wires, and decides nothing."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
import sys
import traceback
from typing import Any

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.ops.cpu.sharing import CpuSharing
from rsgmamba_ros.ops.cpu.threads import use_threads
from rsgmamba_ros.pipeline.node_settings import NodeSettings, parse_settings
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.ros.segmentation import parameters
from rsgmamba_ros.ros.segmentation.diagnostics import Diagnostics
from rsgmamba_ros.ros.segmentation.inference_thread import InferenceThread
from rsgmamba_ros.ros.segmentation.intake import Intake
from rsgmamba_ros.ros.segmentation.publishers import ResultPublishers
from rsgmamba_ros.vocabulary.errors import ConfigError, RSGMambaError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality

Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition) -> Transition:
    """Write the reason when a transition fails: rclpy itself swallows every exception of a transition."""
    @wraps(transition)
    def wrapped(node: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except RSGMambaError as error:
            node.get_logger().error(f'{transition.__name__} failed: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception:
            node.get_logger().error(f'{transition.__name__} failed: {traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
    return wrapped


class SegmentationNode(LifecycleNode):
    """Segments synchronised images of RGB and one other modality.

    Configuring loads the network; activating subscribes. Topics and parameters are listed in the README.
    """

    def __init__(self, **options: Any):
        super().__init__('segmentation', **options)
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.diagnostics: Diagnostics | None = None
        self._segmenter: Segmenter | None = None
        self._synchroniser: Synchroniser | None = None
        self._results: ResultPublishers | None = None
        self._intake: Intake | None = None
        self._thread: InferenceThread | None = None
        self._sharing: CpuSharing | None = None
        self._settings = NodeSettings()

    def start(self) -> None:
        """Configure and activate if the parameter `autostart` says so."""
        if not self.get_parameter('autostart').value:
            self.get_logger().info('waiting to be configured and activated; set autostart to do it without a manager')
        elif self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # Lifecycle

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and make it ready; a file or a parameter that cannot be used is a FAILURE."""
        settings = parameters.settings(self)
        self._synchroniser = Synchroniser(settings.synchroniser((Modality.RGB, settings.auxiliary)))
        use_threads(settings.threads)
        segmenter = _segmenter(settings)
        segmenter.warm_up()
        self._segmenter = segmenter
        self._settings = settings
        self.diagnostics = Diagnostics(self, self._segmenter.modalities, self._synchroniser.counters,
                                       period_s=settings.diagnostics_period_s)
        self._results = ResultPublishers(self, self._segmenter.labels)
        engine = self._segmenter.engine
        self._sharing = CpuSharing() if engine.device.type == 'cpu' and not settings.threads else None
        self.get_logger().info(f'configured: rgb and {self._segmenter.auxiliary}, {len(self._segmenter.labels)} '
                               f'classes, {engine.device}, {engine.dtype}')
        return super().on_configure(state)

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and publish from now on."""
        result = super().on_activate(state)
        settings = self._settings
        self._results.publish_labels()
        self._thread = InferenceThread(self._segment, forget=self._segmenter.reset, queue_size=settings.queue_size)
        transports = {Modality.RGB: settings.rgb_transport, self._segmenter.auxiliary: settings.auxiliary_transport}
        self._intake = Intake(self, self._synchroniser, transports=transports,
                              input_qos=settings.input_qos, diagnostics=self.diagnostics, on_bundle=self._on_bundle,
                              on_time_jump=self._on_time_jump)
        self.get_logger().info('active')
        return result

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop taking images; the network stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        self.close()
        return super().on_cleanup(state)

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, whatever the state."""
        self.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, so that it can be tried again."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """End the thread and give back whatever configuring and activating made."""
        self._stop()
        if self._results is not None:
            self._results.destroy()
            self._results = None
        if self.diagnostics is not None:
            self.diagnostics.destroy()
            self.diagnostics = None
        self._segmenter = None

    def _stop(self) -> None:
        if self._intake is not None:
            self._intake.destroy()
            self._intake = None
        if self._thread is not None:
            self.diagnostics.dropped('bundle.drop.deactivated', self._thread.stop())
            self._thread = None

    # The path of the data

    def _on_bundle(self, bundle: ImageBundle) -> None:
        self.diagnostics.bundled(bundle)
        self.diagnostics.dropped('bundle.drop.superseded', self._thread.put(bundle))

    def _on_time_jump(self) -> None:
        self.diagnostics.dropped('bundle.drop.time_jump', self._thread.clear())
        self.diagnostics.reset()

    def _segment(self, bundle: ImageBundle) -> None:
        """Run the network and publish, on the inference thread."""
        try:
            if self._sharing is not None and self._sharing.update():
                self.get_logger().info(f'the network computes with {self._sharing.threads} of {self._sharing.wanted} '
                                       'threads, the cores that other programs leave free', throttle_duration_sec=10.0)
            segmentation = self._segmenter.segment(bundle)
            now_ns = self.get_clock().now().nanoseconds
            settings = self._settings
            self._results.publish(segmentation, bundle, now_ns=now_ns, min_confidence=settings.min_confidence,
                                  unlabelled_value=settings.unlabelled_value, overlay_alpha=settings.overlay_alpha)
            self.diagnostics.segmented(segmentation)
        except RSGMambaError as error:
            self.diagnostics.failed('bundle.drop.unusable', str(error))
        except Exception as error:  # one bundle is lost; the next may be well
            if not self.context.ok():
                return  # interrupted in the middle: there is nobody left to publish to
            self.diagnostics.failed('bundle.drop.internal_error', f'inference: unexpected {error!r}')

    def _on_parameters(self, changes: list[Parameter]) -> Any:
        result = parameters.check(changes, is_configured=self._segmenter is not None)
        if result.successful and self._segmenter is not None:
            changed = {change.name: change.value for change in changes if change.name in parameters.PARAMETERS}
            self._settings = parse_settings(self._settings.as_parameters() | changed, where='parameters')
            self._segmenter.config = self._settings.segmenter()
        return result


def _segmenter(settings: NodeSettings) -> Segmenter:
    path = checkpoint_path(settings.checkpoint, settings.auxiliary)
    segmenter = Segmenter(path, device=settings.device, precision=settings.precision, config=settings.segmenter())
    if segmenter.auxiliary is not settings.auxiliary:
        raise ConfigError(f"the parameter modality is '{settings.modality}', but {path} was trained for "
                          f"'{segmenter.auxiliary}'; change one of them")
    return segmenter


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop; the exit status."""
    rclpy.init(args=arguments)
    try:
        node = SegmentationNode()
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f'segmentation_node: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.start()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # In this order, or the process may abort at exit: our thread, the executor, the node, the context.
        node.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
