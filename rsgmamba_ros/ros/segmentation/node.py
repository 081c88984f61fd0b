"""The node: topics -> synchroniser -> segmenter -> topics. It wires, and decides nothing."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
import math
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
from rsgmamba_ros.pipeline.segmenter import Segmenter, SegmenterConfig
from rsgmamba_ros.pipeline.synchronisation.config import SynchroniserConfig
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
        self._live: dict[str, Any] = {}

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
        values = parameters.values(self)
        self._synchroniser = Synchroniser(_synchroniser_config(values))
        use_threads(values['threads'])
        segmenter = _segmenter(values)
        segmenter.warm_up()
        self._segmenter = segmenter
        self._live = {name: value for name, value in values.items() if parameters.PARAMETERS[name].at_run_time}
        self.diagnostics = Diagnostics(self, self._segmenter.modalities, self._synchroniser.counters,
                                       period_s=values['diagnostics_period_s'])
        self._results = ResultPublishers(self, self._segmenter.labels)
        engine = self._segmenter.engine
        self._sharing = CpuSharing() if engine.device.type == 'cpu' and not values['threads'] else None
        self.get_logger().info(f'configured: rgb and {self._segmenter.auxiliary}, {len(self._segmenter.labels)} '
                               f'classes, {engine.device}, {engine.dtype}')
        return super().on_configure(state)

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and publish from now on."""
        result = super().on_activate(state)
        values = parameters.values(self)
        self._results.publish_labels()
        self._thread = InferenceThread(self._segment, forget=self._segmenter.reset, queue_size=values['queue_size'])
        transports = {Modality.RGB: values['rgb.transport'],
                      self._segmenter.auxiliary: values['auxiliary.transport']}
        self._intake = Intake(self, self._synchroniser, transports=transports,
                              input_qos=values['input_qos'], diagnostics=self.diagnostics, on_bundle=self._on_bundle,
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
            self._results.publish(segmentation, bundle, now_ns=now_ns,
                                     min_confidence=self._live['min_confidence'],
                                     unlabelled_value=self._live['unlabelled_value'],
                                     overlay_alpha=self._live['overlay_alpha'])
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
            self._live.update({change.name: change.value for change in changes if change.name in self._live})
            self._segmenter.config = replace(self._segmenter.config, restore=self._live['restore'],
                                             min_signal_quality=self._live['min_signal_quality'])
        return result


def _segmenter(values: dict[str, Any]) -> Segmenter:
    own = {name: None if math.isnan(values[name]) else values[name] for name in ('thermal_scale', 'thermal_offset')}
    config = SegmenterConfig(min_signal_quality=values['min_signal_quality'], restore=values['restore'],
                             late_fusion=values['late_fusion'], output_height=values['output_height'],
                             output_width=values['output_width'], **own)
    path = checkpoint_path(values['checkpoint'], Modality(values['modality']))
    segmenter = Segmenter(path, device=values['device'], precision=values['precision'], config=config)
    if segmenter.auxiliary != values['modality']:
        raise ConfigError(f"the parameter modality is '{values['modality']}', but {path} was trained for "
                          f"'{segmenter.auxiliary}'; change one of them")
    return segmenter


def _synchroniser_config(values: dict[str, Any]) -> SynchroniserConfig:
    auxiliary = Modality(values['modality'])
    return SynchroniserConfig(
        modalities=(Modality.RGB, auxiliary), max_skew_s=values['max_skew_s'], max_wait_s=values['max_wait_s'],
        max_delay_s=values['max_delay_s'], lead_with_auxiliary=values['lead_with_auxiliary'],
        clock_offset_s={auxiliary: values['auxiliary_clock_offset_s']},
        estimate_clock_offset=values['estimate_clock_offset'])


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
