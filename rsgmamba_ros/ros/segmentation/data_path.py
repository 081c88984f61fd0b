"""The path of the data in a configured node: topics -> synchroniser -> segmenter -> topics."""
from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from rclpy.lifecycle import LifecycleNode

from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.ops.cpu.sharing import CpuSharing
from rsgmamba_ros.ops.cpu.threads import use_threads
from rsgmamba_ros.pipeline.node_settings import NodeSettings
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.pipeline.synchronisation.synchroniser import Synchroniser
from rsgmamba_ros.ros.segmentation.diagnostics import Diagnostics
from rsgmamba_ros.ros.segmentation.inference_thread import InferenceThread
from rsgmamba_ros.ros.segmentation.intake import Intake
from rsgmamba_ros.ros.segmentation.publishers import ResultPublishers
from rsgmamba_ros.ros.segmentation.sensor_learning import LearnedProfile, LearnSensorService
from rsgmamba_ros.vocabulary.errors import ConfigError, RSGMambaError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality


class DataPath:
    """Holds the network; between `start` and `stop` it takes images from topics and publishes segmentations.

    Attributes:
        settings: change them with `change`.

    Raises:
        RSGMambaError: the checkpoint or a parameter cannot be used.
    """

    def __init__(self, node: LifecycleNode, settings: NodeSettings):
        self._node = node
        self.settings = settings
        self._synchroniser = Synchroniser(settings.synchroniser((Modality.RGB, settings.auxiliary)))
        use_threads(settings.threads)
        self._segmenter = _segmenter(settings)
        self._segmenter.warm_up()
        is_on_cpu = self._segmenter.engine.device.type == 'cpu'
        self._sharing = CpuSharing() if is_on_cpu and not settings.threads else None
        self._diagnostics = Diagnostics(node, self._segmenter.modalities, self._synchroniser.counters,
                                        period_s=settings.diagnostics_period_s)
        self._results = ResultPublishers(node, self._segmenter.labels)
        self._learning = LearnSensorService(node, self._segmenter, path=settings.sensor_profile,
                                            seconds=lambda: self.settings.learn_sensor_s, on_learned=self._use_profile)
        self._learned: LearnedProfile | None = None
        self._report_profile()
        self._active = ExitStack()

    def __str__(self) -> str:
        engine = self._segmenter.engine
        return (f'rgb and {self._segmenter.auxiliary}, {len(self._segmenter.labels)} classes, {engine.device}, '
                f'{engine.dtype}')

    def start(self) -> None:
        """Subscribe, and publish from now on."""
        self._results.publish_labels()
        thread = InferenceThread(self._segment, forget=self._segmenter.reset, queue_size=self.settings.queue_size)
        self._active.callback(self._end_thread, thread)
        transports = {Modality.RGB: self.settings.rgb_transport,
                      self._segmenter.auxiliary: self.settings.auxiliary_transport}
        intake = Intake(self._node, self._synchroniser, transports=transports, input_qos=self.settings.input_qos,
                        decoding=self.settings.decoding(), diagnostics=self._diagnostics,
                        on_bundle=partial(self._hand_over, thread),
                        on_time_jump=partial(self._start_afresh, thread))
        self._active.callback(intake.destroy)
        self._diagnostics.activate(intake.inputs)
        self._active.callback(self._diagnostics.deactivate)
        self._learning.start()
        self._active.callback(self._learning.stop, 'the node was deactivated')

    def stop(self) -> None:
        """Take no more images and finish the bundle in work; the network stays loaded."""
        self._active.close()

    def close(self) -> None:
        """Stop and take the topics back."""
        self.stop()
        self._learning.destroy()
        self._results.destroy()
        self._diagnostics.destroy()

    def change(self, settings: NodeSettings) -> None:
        """Use other values of the parameters that may change at run time."""
        self.settings = settings
        self._segmenter.config = settings.segmenter()

    def _hand_over(self, thread: InferenceThread, bundle: ImageBundle) -> None:
        self._diagnostics.bundled(bundle)
        self._diagnostics.dropped('bundle.drop.superseded', thread.put(bundle))

    def _start_afresh(self, thread: InferenceThread) -> None:
        self._diagnostics.dropped('bundle.drop.time_jump', thread.clear())
        self._diagnostics.reset()

    def _end_thread(self, thread: InferenceThread) -> None:
        self._diagnostics.dropped('bundle.drop.deactivated', thread.stop())

    def _report_profile(self) -> None:
        """Put the sensor profile, or how to get one, into the diagnostics, and its lack into the log."""
        if self._segmenter.sensor_profile or not self._segmenter.takes_profile:
            self._diagnostics.sensor_profile = self._segmenter.sensor_profile
            return
        missing = f'{self.settings.sensor_profile} does not exist; ' if self.settings.sensor_profile else ''
        advice = f'{missing}reliability is by the general prior; learn this sensor with: {self._learning.command}'
        self._diagnostics.sensor_profile = advice
        self._node.get_logger().warning(advice)

    def _use_profile(self, learned: LearnedProfile) -> None:
        """Hand a profile to the inference thread, which is the only one that may change the network."""
        self._learned = learned
        self._diagnostics.sensor_profile = learned.path

    def _segment(self, bundle: ImageBundle) -> None:
        """Run the network and publish, on the inference thread."""
        try:
            self._share_cores()
            learned, self._learned = self._learned, None
            if learned is not None:
                self._segmenter.set_profile(learned.profile, name=learned.path)
            segmentation = self._segmenter.segment(bundle)
            settings = self.settings
            self._results.publish(segmentation, bundle, now_ns=self._node.get_clock().now().nanoseconds,
                                  min_confidence=settings.min_confidence, unlabelled_value=settings.unlabelled_value,
                                  overlay_alpha=settings.overlay_alpha)
            self._diagnostics.segmented(segmentation)
            self._learning.offer(bundle)
        except RSGMambaError as error:
            self._diagnostics.failed('bundle.drop.unusable', str(error))
        except Exception as error:  # one bundle is lost; the next one may be good
            if not self._node.context.ok():
                return  # the process ends: nobody is left to publish to
            self._diagnostics.failed('bundle.drop.internal_error', f'inference: unexpected {error!r}')

    def _share_cores(self) -> None:
        if self._sharing is not None and self._sharing.update():
            self._node.get_logger().info(
                f'the network computes with {self._sharing.threads} of {self._sharing.wanted} threads, the cores that '
                'other programs leave free', throttle_duration_sec=10.0)


def _segmenter(settings: NodeSettings) -> Segmenter:
    path = checkpoint_path(settings.checkpoint, settings.auxiliary)
    config = settings.segmenter()
    if not Path(config.sensor_profile).is_file():
        config = replace(config, sensor_profile='')  # it may be the one that is to be learned
    segmenter = Segmenter(path, device=settings.device, precision=settings.precision, config=config)
    if segmenter.auxiliary is not settings.auxiliary:
        raise ConfigError(f"the parameter modality is '{settings.modality}', but {path} was trained for "
                          f"'{segmenter.auxiliary}'; change one of them")
    return segmenter
