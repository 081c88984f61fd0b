"""Repair images of low reliability, and average the predictions for all of them, weighted by reliability. [ours]

Which repair helps depends on the corruption, and that is not given. The reliability tells which result looks like a
good image. Every repair works in sensor units at the network's size, so that it costs the same for every camera.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.vocabulary.images import Modality

#: An image is repaired if its learned reliability is lower.
UNRELIABLE = 0.5
#: A prediction's weight is the reliability to this power.
POWER = 2

NOISE_STRENGTH = 20      # of non-local means: removes noise of a standard deviation of about a sixth of the range
MIDDLE_BRIGHTNESS = 0.45
FILLED_RIM = 0.1         # of the height: holes are filled this far; what lies deeper may be beyond the sensor's range
GAMMA_LIMITS = (0.4, 2.5)

#: One image in sensor units -> the same image repaired: shape and dtype stay.
Repair = Callable[[np.ndarray], np.ndarray]


def remove_outliers(rgb: np.ndarray) -> np.ndarray:
    """Median of 3x3, against dead and random pixels.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    return cv2.medianBlur(rgb, 3)


def remove_noise(rgb: np.ndarray) -> np.ndarray:
    """Non-local means, against the noise of low light.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    return cv2.fastNlMeansDenoisingColored(rgb, None, NOISE_STRENGTH, NOISE_STRENGTH, 5, 11)


def stretch_tones(rgb: np.ndarray) -> np.ndarray:
    """Stretch the range to black and white and bring the mean to a middle brightness, against darkness, glare and fog.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    low, high = np.percentile(rgb[::4, ::4], (1, 99))
    unit = np.clip((rgb.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1)), 0, 1)
    gamma = np.log(MIDDLE_BRIGHTNESS) / np.log(np.clip(unit.mean(), 1e-3, 0.999))
    stretched: np.ndarray = 255 * unit ** np.float32(np.clip(gamma, *GAMMA_LIMITS))
    return stretched.astype(np.uint8)


def fill_holes(metres: np.ndarray) -> np.ndarray:
    """Give pixels without a measurement, but near one, that of the nearest pixel.

    Args:
        metres: (H, W) float32, NaN where there is no measurement.

    Returns:
        (H, W) float32.
    """
    filled, distance = _nearest_measurement(metres)
    return np.where(distance <= FILLED_RIM * len(metres), filled, metres)


def smooth_depth(metres: np.ndarray) -> np.ndarray:
    """Median of 5x5, against the noise of far distances; pixels without a measurement stay so.

    Args:
        metres: (H, W) float32, NaN where there is no measurement.

    Returns:
        (H, W) float32.
    """
    return np.where(np.isnan(metres), metres, cv2.medianBlur(_nearest_measurement(metres)[0], 5))


def _nearest_measurement(metres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's nearest measurement, (H, W), and its distance in pixels, (H, W); unchanged where there is none."""
    missing = np.isnan(metres)
    if not missing.any() or missing.all():
        return metres, np.zeros(metres.shape, np.float32)
    distance, nearest = cv2.distanceTransformWithLabels(missing.astype(np.uint8), cv2.DIST_L2, 5,
                                                        labelType=cv2.DIST_LABEL_PIXEL)
    measured = np.flatnonzero(~missing)
    source = np.zeros(nearest.max() + 1, np.intp)
    source[nearest.ravel()[measured]] = measured
    return metres.ravel()[source[nearest]], distance


REPAIRS: dict[Modality, dict[str, Repair]] = {
    Modality.RGB: {'outliers': remove_outliers, 'noise': remove_noise, 'tones': stretch_tones},
    Modality.DEPTH: {'holes': fill_holes, 'noise': smooth_depth},
    # Nobody has measured what helps a thermal image.
    Modality.THERMAL: {},
}

#: The images of a bundle, in sensor units at the network's size: (H, W, 3) uint8 or (H, W) float32.
Images = Mapping[Modality, np.ndarray]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network predicts for one bundle, before a class is chosen.

    Attributes:
        logits: of every class, (K, h, w), at the network's stride, on any device, floating point.
        reliability: calibrated, in [0, 1]; exactly 0 where unavailable.
    """

    logits: Tensor
    reliability: Mapping[Modality, float]


def unreliable(prediction: Prediction, available: Images) -> tuple[Modality, ...]:
    """The modalities whose images came, are unreliable, and have a repair."""
    return tuple(modality for modality in available
                 if prediction.reliability[modality] < UNRELIABLE and REPAIRS[modality])


def restore(images: Images, original: Prediction, predict: Callable[[Images], Prediction],
            ) -> tuple[Prediction, dict[Modality, str]]:
    """Predict from repaired images too, one unreliable modality after the other, and average the predictions.

    Args:
        images: as they came.
        original: the prediction for them.
        predict: the network; it runs once for each repair.

    Returns:
        The mean prediction, weighted by the reliability of the repaired modality to the power `POWER`; and for each
        modality the name of its most reliable repair, where one is more reliable than the image as it came.
    """
    mean, chosen = original, {}
    for modality in unreliable(original, images):
        attempts = {name: {**images, modality: repair(images[modality])}
                    for name, repair in REPAIRS[modality].items()}
        predictions = {'': mean, **{name: predict(attempt) for name, attempt in attempts.items()}}
        best = max(predictions, key=lambda name: predictions[name].reliability[modality])
        mean = _mean(list(predictions.values()), modality, predictions[best].reliability)
        if best:
            images, chosen[modality] = attempts[best], best
    return mean, chosen


def _mean(predictions: list[Prediction], modality: Modality, reliability: Mapping[Modality, float]) -> Prediction:
    weights = [prediction.reliability[modality] ** POWER for prediction in predictions]
    total = sum(weights)
    if total == 0:
        return predictions[0]
    probabilities = torch.stack([weight / total * prediction.logits.float().softmax(0)
                                 for weight, prediction in zip(weights, predictions)]).sum(0)
    # Of a probability of 0 there is no logarithm.
    return Prediction(probabilities.clamp(min=1e-9).log(), reliability)
