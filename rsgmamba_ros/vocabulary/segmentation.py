"""The result of the pipeline for one image bundle."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rsgmamba_ros.vocabulary.images import Modality, Presence


@dataclass(frozen=True)
class ModalityReliability:
    """The reliability of one modality in one bundle, and what lowers it.

    Attributes:
        reliability: the figure to use, in [0, 1]: `learned * signal_quality`, exactly 0 if not `used`.
        learned: the network's calibrated estimate from the image content, in [0, 1]; 0 if not `used`.
        signal_quality: estimated from pixels and stamps alone, in [0, 1]: 0 for a frozen or empty image.
        presence: as the synchroniser found it.
        used: whether the image reached the network (present, and its signal quality above the threshold).
        causes: names of what lowers the figure, `frozen`, `saturated`, `missing`, ..., `not_registered` if depth is
            consistently displaced against RGB, and `restored_NAME` if the image was repaired before it was labelled,
            see `pipeline.restoration`; empty when all is well.
        skew_s: stamp minus the leading image's, seconds; None without an image.
        age_s: time since the newest image of this modality arrived, seconds; None if none ever came.
        advice: a sentence that names the parameter to set, see `pipeline.monitoring.advice`; empty as a rule.
    """

    reliability: float
    learned: float
    signal_quality: float
    presence: Presence
    used: bool
    causes: tuple[str, ...] = ()
    skew_s: float | None = None
    age_s: float | None = None
    advice: str = ''


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels of one bundle.

    Attributes:
        stamp_ns: stamp of the leading image, nanoseconds.
        frame_id: TF frame of the leading image.
        label_map: class index per pixel of the leading image (or of the configured output size), (H, W) uint8.
        confidence: softmax maximum of each pixel, 0..255 for 0..1, (H, W) uint8.
        reliability: one entry for each configured modality.
        reports: the bundle's reports plus those of the pipeline, for people.
        sensor_profile: file or name of the sensor profile that the reliability is based on; empty for the general
            prior.
    """

    stamp_ns: int
    frame_id: str
    leader: Modality
    label_map: np.ndarray
    confidence: np.ndarray
    reliability: Mapping[Modality, ModalityReliability]
    reports: tuple[str, ...] = ()
    sensor_profile: str = ''
