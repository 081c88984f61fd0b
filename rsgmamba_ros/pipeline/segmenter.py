"""The whole path as one call: image bundle -> segmentation. Node, tools and evaluation share it."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rsgmamba_ros.network.checkpoint import Checkpoint, load_checkpoint
from rsgmamba_ros.pipeline import restoration
from rsgmamba_ros.pipeline.execution.engine import Engine
from rsgmamba_ros.pipeline.execution.network_path import Decided, HostPath, PATHS
from rsgmamba_ros.pipeline.monitoring.signal_quality import SignalQuality, SignalQualityMonitor
from rsgmamba_ros.pipeline.postprocessing import resize_decision
from rsgmamba_ros.pipeline.preprocessing import sensor_units
from rsgmamba_ros.pipeline.resampling import resize
from rsgmamba_ros.vocabulary.config_file import parse_config
from rsgmamba_ros.vocabulary.errors import ConfigError, ImageError
from rsgmamba_ros.vocabulary.images import BundleSlot, ImageBundle, Modality, Presence
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig
from rsgmamba_ros.vocabulary.segmentation import ModalityReliability, Segmentation


@dataclass(frozen=True)
class SegmenterConfig:
    """What the user of a checkpoint may choose.

    Attributes:
        min_signal_quality: an image below it is not given to the network while another modality is usable, 0..1.
        restore: whether images of low learned reliability are mended before their labels are decided, see
            `restoration`; the network then runs up to seven times for a bundle. The reliability stays that of the image
            as it came.
        late_fusion: whether what each image of a pair shows alone counts as well, where the network was made for that,
            see `network.fusion.late_fusion`; without it the network is faster.
        output_height: of label map and confidence, pixels; 0 for the leading image's height.
        output_width: likewise; both or none are 0.
        thermal_scale: the thermal camera's scale, where it is not the checkpoint's; see `ThermalScaling`.
        thermal_offset: likewise.
    """

    min_signal_quality: float = 0.1
    restore: bool = False
    late_fusion: bool = True
    output_height: int = 0
    output_width: int = 0
    thermal_scale: float | None = None
    thermal_offset: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_signal_quality <= 1:
            raise ConfigError(f'min_signal_quality is {self.min_signal_quality}; it must lie in 0..1')
        if (self.output_height > 0) != (self.output_width > 0) or min(self.output_height, self.output_width) < 0:
            raise ConfigError(f'output size is {self.output_height}x{self.output_width}; give both sides or neither')


@dataclass(frozen=True, eq=False)
class _Candidate:
    """What is known of one modality's image before the network runs."""

    values: np.ndarray | None
    quality: SignalQuality | None
    error: ImageError | None = None


class Segmenter:
    """A checkpoint ready to segment bundles. Not thread-safe: signal quality remembers earlier images.

    Args:
        checkpoint: loaded, or the path of a checkpoint file.
        device: see `Engine`.
        precision: see `Engine`.

    Raises:
        CheckpointError: the file cannot be used.
        BackendUnavailableError: device or precision is not available here.
    """

    def __init__(self, checkpoint: Checkpoint | str | Path, *, device: str = 'auto', precision: str = 'auto',
                 config: SegmenterConfig | None = None):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        self.config = config or SegmenterConfig()
        self.labels = checkpoint.labels
        self.auxiliary = checkpoint.auxiliary
        self.modalities = (Modality.RGB, checkpoint.auxiliary)
        #: Those that the network looks at: a single-modality network leaves the other one aside.
        self.seen = tuple(self.modalities[index] for index in checkpoint.network.modalities)
        self.preprocessing = _preprocessing_of(checkpoint, self.config)
        self.engine = Engine(checkpoint, device, precision)
        self.engine.network.late_fusion &= self.config.late_fusion
        self._path = PATHS.get(self.engine.device.type, HostPath)(self.engine, self.preprocessing)
        self._host_path = HostPath(self.engine, self.preprocessing)
        self._signal_quality = SignalQualityMonitor()

    def warm_up(self) -> None:
        """Run the network on blank input, so that the first bundle is not the slow one."""
        self._path.warm_up()

    def reset(self) -> None:
        """Forget earlier images, as after a jump back in time."""
        self._signal_quality.reset()

    def segment(self, bundle: ImageBundle) -> Segmentation:
        """Segment one bundle.

        A modality whose image cannot be used is left out, with the cause in its reliability.

        Raises:
            ImageError: no modality of the bundle has a usable image.
        """
        candidates = {modality: self._examine(bundle.slots.get(modality)) for modality in self.seen}
        used = self._choose(bundle, candidates)
        values = {modality: candidates[modality].values for modality in used}
        decided = self._path.run(values)
        reliability = decided.reliability
        mended: dict[Modality, str] = {}
        if self.config.restore:
            decided, mended = self._restore(values, reliability) or (decided, mended)
        size = (self.config.output_height, self.config.output_width)
        label_map, confidence = resize_decision(decided.label_map, decided.confidence,
                                                size if all(size) else bundle.leading_image.size)
        learned = dict(zip(self.modalities, reliability))
        errors = tuple(str(candidate.error) for candidate in candidates.values() if candidate.error)
        return Segmentation(
            stamp_ns=bundle.stamp_ns, frame_id=bundle.leading_image.frame_id, leader=bundle.leader,
            label_map=label_map, confidence=confidence, reports=bundle.reports + errors,
            reliability={modality: _reliability(slot, candidates.get(modality), learned.get(modality), modality in used,
                                                mended=mended.get(modality, ''))
                         for modality, slot in self._slots(bundle).items()})

    def _restore(self, values: dict[Modality, np.ndarray], reliability: np.ndarray,
                 ) -> tuple[Decided, dict[Modality, str]] | None:
        """Decide again with what is mended, and which means are trusted most; None where nothing is distrusted."""
        places = {modality: self.modalities.index(modality) for modality in values}
        distrusted = {modality: place for modality, place in places.items()
                      if reliability[place] < restoration.DISTRUSTED and restoration.MEANS[modality]}
        if not distrusted:
            return None
        height, width = self.preprocessing.height, self.preprocessing.width
        images = {modality: resize(image, height, width, nearest=modality is Modality.DEPTH)
                  for modality, image in values.items()}
        answer, mended = restoration.restore(images, distrusted, self._host_path.ask)
        return self._host_path.decide(answer), mended

    def _slots(self, bundle: ImageBundle) -> dict[Modality, BundleSlot]:
        missing = BundleSlot(Presence.MISSING, reason='not subscribed')
        return {**{modality: missing for modality in self.modalities}, **bundle.slots}

    def _examine(self, slot: BundleSlot | None) -> _Candidate:
        if slot is None or slot.image is None:
            return _Candidate(None, None)
        try:
            values = sensor_units(slot.image, self.preprocessing)
            return _Candidate(values, self._signal_quality.assess(slot.image))
        except ImageError as error:
            return _Candidate(None, None, error)

    def _choose(self, bundle: ImageBundle, candidates: Mapping[Modality, _Candidate]) -> tuple[Modality, ...]:
        readable = tuple(modality for modality, candidate in candidates.items() if candidate.values is not None)
        if not readable:
            errors = [str(candidate.error) for candidate in candidates.values() if candidate.error]
            raise ImageError('; '.join(errors) or f'the bundle has no image of {[str(m) for m in self.seen]}')
        good = tuple(modality for modality in readable
                     if candidates[modality].quality.value >= self.config.min_signal_quality)
        return good or readable


def _reliability(slot: BundleSlot, candidate: _Candidate | None, learned: float | None, used: bool, *,
                 mended: str) -> ModalityReliability:
    quality = candidate.quality if candidate else None
    causes = quality.causes if quality else ()
    if slot.image is None:
        causes = (str(slot.presence),)
    elif candidate is None:
        causes = ('not_in_checkpoint',)
    elif candidate.error:
        causes = ('unreadable',)
    elif mended:
        causes = (*causes, f'restored_{mended}')
    signal_quality = float(quality.value) if quality else 0.0
    learned = float(learned) if used and learned is not None else 0.0
    return ModalityReliability(reliability=learned * signal_quality, learned=learned, signal_quality=signal_quality,
                               presence=slot.presence, used=used, causes=tuple(causes),
                               skew_s=slot.skew_s, age_s=slot.age_s)


def _preprocessing_of(checkpoint: Checkpoint, config: SegmenterConfig) -> PreprocessingConfig:
    preprocessing = parse_config(checkpoint.preprocessing, PreprocessingConfig, where='checkpoint preprocessing')
    own = {'scale': config.thermal_scale, 'offset': config.thermal_offset}
    own = {key: value for key, value in own.items() if value is not None}
    return replace(preprocessing, thermal=replace(preprocessing.thermal, **own))
