"""The whole path as one call: image bundle -> segmentation. Node, tools and evaluation share it."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rsgmamba_ros.network.checkpoint import Checkpoint, load_checkpoint
from rsgmamba_ros.pipeline import restoration
from rsgmamba_ros.pipeline.execution.engine import Engine
from rsgmamba_ros.pipeline.execution.network_path import Decision, HostPath, NetworkPath, PATHS
from rsgmamba_ros.pipeline.monitoring.advice import advice
from rsgmamba_ros.pipeline.monitoring.registration import RegistrationMonitor
from rsgmamba_ros.pipeline.monitoring.signal_quality import SignalQuality, SignalQualityConfig, SignalQualityMonitor
from rsgmamba_ros.pipeline.postprocessing import resize_decision
from rsgmamba_ros.pipeline.preprocessing import sensor_units, stack_inputs
from rsgmamba_ros.pipeline.resampling import resize
from rsgmamba_ros.pipeline.segmenter_config import SegmenterConfig
from rsgmamba_ros.vocabulary.errors import ImageError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, ThermalStretch
from rsgmamba_ros.vocabulary.segmentation import ModalityReliability, Segmentation
from rsgmamba_ros.vocabulary.sensor_profile import load_profile, SensorProfile

#: Paths that are kept, each for one size of the network's input; on CUDA each holds graphs and buffers.
MOST_PATHS = 4


@dataclass(frozen=True, eq=False)
class _Examined:
    """What a bundle holds of the modalities that the network uses, before the network runs.

    Attributes:
        values: the readable images, as `sensor_units` gives them: (H, W, 3) uint8 or (H, W) float32.
        quality: of each readable image.
        errors: why an image that came cannot be read.
        advice: which parameter to set, where an image makes no sense; see `monitoring.advice`.
    """

    values: dict[Modality, np.ndarray]
    quality: dict[Modality, SignalQuality]
    errors: dict[Modality, ImageError]
    advice: dict[Modality, str]


class Segmenter:
    """A checkpoint ready to segment bundles. Not thread-safe: signal quality remembers earlier images.

    Args:
        checkpoint: loaded, or the path of a checkpoint file.
        device: see `Engine`.
        precision: see `Engine`.

    Attributes:
        sensor_profile: file or name of the profile in use; empty for the general prior.

    Raises:
        CheckpointError: the file cannot be used.
        ProfileError: the sensor profile of the configuration cannot be used.
        BackendUnavailableError: device or precision is not available here.
    """

    def __init__(self, checkpoint: Checkpoint | str | Path, *, device: str = 'auto', precision: str = 'auto',
                 config: SegmenterConfig | None = None):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        self.config = config or SegmenterConfig()
        self.labels = checkpoint.labels
        self.auxiliary = checkpoint.auxiliary
        self.modalities = checkpoint.network.axis
        #: Those that the network looks at: a single-modality network leaves the other one aside.
        self.seen = checkpoint.network.modalities
        self.preprocessing = _preprocessing_of(checkpoint, self.config)
        self._own_stretch = self.preprocessing.thermal.stretch
        self.engine = Engine(checkpoint, device, precision)
        self.engine.network.late_fusion &= self.config.late_fusion
        self._paths: dict[tuple[int, int], NetworkPath] = {}
        quality = SignalQualityConfig() if self.config.expect_noise else SignalQualityConfig(history_images=0)
        self._signal_quality = SignalQualityMonitor(quality)
        self._registration = RegistrationMonitor()
        self.sensor_profile = ''
        if self.config.sensor_profile:
            self.set_profile(load_profile(self.config.sensor_profile), name=self.config.sensor_profile)

    def warm_up(self) -> None:
        """Run the network on blank input, so that the first bundle is not the slow one."""
        self._path_for(self.preprocessing.height, self.preprocessing.width).warm_up()

    @property
    def takes_profile(self) -> bool:
        """Whether the network's reliability can be based on a sensor profile."""
        return self.engine.network.reliability_head.takes_profile

    def set_profile(self, profile: SensorProfile | None, *, name: str = '') -> None:
        """Base the reliability on a sensor profile from now on; with None, on the general prior.

        Args:
            name: what results call the profile: its file, as a rule.

        Raises:
            ProfileError: the network takes no profile, or the profile is of other cameras or another network.
        """
        self.engine.set_profile(profile)
        self.sensor_profile = '' if profile is None else name or profile.source or 'unnamed'

    def stretch_thermal(self, stretch: ThermalStretch | None) -> None:
        """Scale thermal images in this way from now on; with None, as the configuration or else the checkpoint does."""
        thermal = self.preprocessing.thermal
        stretch = stretch or self._own_stretch
        if stretch is not thermal.stretch:
            self.preprocessing = replace(self.preprocessing, thermal=replace(thermal, stretch=stretch))
            self._paths.clear()

    def figures(self, values: Mapping[Modality, np.ndarray]) -> np.ndarray:
        """Give the evidence of one pair, from which a sensor profile is made, (F,) float32.

        Args:
            values: both images as `sensor_units` gives them: (H, W, 3) uint8 and (H, W) float32.

        Raises:
            ProfileError: the network takes no profile.
        """
        images, _ = stack_inputs(values, self.preprocessing, modalities=self.modalities)
        figures: np.ndarray = self.engine.figures(images)[0]
        return figures

    def reset(self) -> None:
        """Forget earlier images, as after a jump back in time."""
        self._signal_quality.reset()
        self._registration.reset()

    def segment(self, bundle: ImageBundle) -> Segmentation:
        """Segment one bundle.

        A modality whose image cannot be used is left out, with the cause in its reliability.

        Raises:
            ImageError: no modality of the bundle has a usable image.
        """
        examined = self._examine(bundle)
        self._watch_registration(examined)
        used = self._choose(bundle, examined)
        decision, repaired = self._decide({modality: examined.values[modality] for modality in used})
        size = (self.config.output_height, self.config.output_width)
        label_map, confidence = resize_decision(decision.label_map, decision.confidence,
                                                size if all(size) else bundle.leading_image.size)
        return Segmentation(
            stamp_ns=bundle.stamp_ns, frame_id=bundle.leading_image.frame_id, leader=bundle.leader,
            label_map=label_map, confidence=confidence,
            reports=(*bundle.reports, *map(str, examined.errors.values()),
                     *(f'{modality}: {text}' for modality, text in examined.advice.items())),
            sensor_profile=self.sensor_profile,
            reliability={modality: _reliability(
                slot, examined.quality.get(modality), decision.reliability[modality] if modality in used else None,
                self._causes(modality, slot, examined, repair=repaired.get(modality)),
                examined.advice.get(modality, ''))
                for modality, slot in self._slots(bundle).items()})

    def _decide(self, values: dict[Modality, np.ndarray]) -> tuple[Decision, dict[Modality, str]]:
        """Label one bundle's images, repaired where that is wanted and they are unreliable.

        Args:
            values: as `sensor_units` gives them: (H, W, 3) uint8 or (H, W) float32.

        Returns:
            The decision, with the reliability of the images as they came; and for each repaired modality the name of
            its most reliable repair.
        """
        path = self._path_for(*next(iter(values.values())).shape[:2])
        if not self.config.restore:
            return path.run(values), {}
        original = path.predict(values)
        if not restoration.unreliable(original, values):
            return path.decide(original), {}
        height, width = path.input_size
        images = {modality: resize(image, height, width, nearest=modality is Modality.DEPTH)
                  for modality, image in values.items()}
        mean, repaired = restoration.restore(images, original, path.predict)
        return replace(path.decide(mean), reliability=original.reliability), repaired

    def _path_for(self, height: int, width: int) -> NetworkPath:
        """The path for images of a size; one is kept for each size of the network's input."""
        preprocessing = self.preprocessing.for_image(height, width)
        size = preprocessing.padded_size
        if size not in self._paths:
            if len(self._paths) >= MOST_PATHS:
                self._paths.clear()
            self._paths[size] = PATHS.get(self.engine.device.type, HostPath)(self.engine, preprocessing)
        return self._paths[size]

    def _slots(self, bundle: ImageBundle) -> dict[Modality, BundleSlot]:
        missing = BundleSlot(Presence.MISSING, reason='not subscribed')
        return {**{modality: missing for modality in self.modalities}, **bundle.slots}

    def _examine(self, bundle: ImageBundle) -> _Examined:
        examined = _Examined({}, {}, {}, {})
        for modality in self.seen:
            image = bundle.image(modality)
            if image is not None:
                try:
                    examined.values[modality] = sensor_units(image, self.preprocessing)
                    examined.quality[modality] = self._signal_quality.assess(image)
                except ImageError as error:
                    examined.errors[modality] = error
                    continue
                text = advice(modality, examined.values[modality], self.preprocessing,
                              causes=examined.quality[modality].causes)
                if text:
                    examined.advice[modality] = text
        return examined

    def _choose(self, bundle: ImageBundle, examined: _Examined) -> tuple[Modality, ...]:
        """The modalities to give to the network: those of sufficient signal quality, or all if none has it."""
        if not examined.values:
            errors = [str(error) for error in examined.errors.values()]
            raise ImageError('; '.join(errors) or f'the bundle has no image of {[str(m) for m in self.seen]}')
        good = tuple(modality for modality, quality in examined.quality.items()
                     if quality.value >= self.config.min_signal_quality)
        return good or tuple(examined.values)

    def _watch_registration(self, examined: _Examined) -> None:
        """Look where edges of depth and colour meet, in pairs of which nothing else is known to be wrong."""
        quality = examined.quality
        if set(quality) == {Modality.RGB, Modality.DEPTH} and not any(one.causes for one in quality.values()):
            self._registration.offer(examined.values[Modality.RGB], examined.values[Modality.DEPTH])

    def _causes(self, modality: Modality, slot: BundleSlot, examined: _Examined, *,
                repair: str | None) -> tuple[str, ...]:
        """The names of what lowers a modality's reliability."""
        if slot.image is None:
            return (str(slot.presence),)
        if modality not in self.seen:
            return ('not_in_checkpoint',)
        if modality in examined.errors:
            return ('unreadable',)
        causes = examined.quality[modality].causes
        if slot.reused:
            causes = (*causes, 'reused')
        if modality is Modality.DEPTH and self._registration.problem:
            causes = (*causes, 'not_registered')
        return (*causes, f'restored_{repair}') if repair else causes


def _reliability(slot: BundleSlot, quality: SignalQuality | None, learned: float | None,
                 causes: tuple[str, ...], advice: str) -> ModalityReliability:
    """What is published of one modality; `learned` is None if the network did not use it."""
    signal_quality = quality.value if quality else 0.0
    return ModalityReliability(reliability=(learned or 0.0) * signal_quality, learned=learned or 0.0,
                               signal_quality=signal_quality, presence=slot.presence, used=learned is not None,
                               causes=causes, skew_s=slot.skew_s, age_s=slot.age_s, advice=advice)


def _preprocessing_of(checkpoint: Checkpoint, config: SegmenterConfig) -> PreprocessingConfig:
    preprocessing = checkpoint.preprocessing
    thermal = preprocessing.thermal
    stretch = thermal.stretch if config.thermal_stretch == 'checkpoint' else ThermalStretch(config.thermal_stretch)
    return replace(preprocessing, thermal=replace(
        thermal, stretch=stretch, scale=thermal.scale if config.thermal_scale is None else config.thermal_scale,
        offset=thermal.offset if config.thermal_offset is None else config.thermal_offset))
