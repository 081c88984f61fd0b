"""A spoilt image, mended by simple means; what the network says of each is weighed by its reliability. [ours]

Which means helps depends on what is wrong, and that is not known; but the reliability tells which result looks like a
good image. Every means works in sensor units at the network's size, so that it costs the same for every camera.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from rsgmamba_ros.vocabulary.images import Modality

#: An image is mended if its learned reliability is lower.
DISTRUSTED = 0.5
#: Of the reliability, as the weight of what the network says of an image.
POWER = 2

NOISE_STRENGTH = 20      # of non-local means: noise of a deviation of about a sixth of the range goes
MIDDLE_BRIGHTNESS = 0.45
FILLED_RIM = 0.1         # of the height: so far into a hole; its middle is not known, as beyond the sensor's range
GAMMA_LIMITS = (0.4, 2.5)

Means = Callable[[np.ndarray], np.ndarray]


def remove_outliers(rgb: np.ndarray) -> np.ndarray:
    """Median of 3x3: against dead and random pixels; (H, W, 3) uint8."""
    return cv2.medianBlur(rgb, 3)


def remove_noise(rgb: np.ndarray) -> np.ndarray:
    """Non-local means: against the noise of little light; (H, W, 3) uint8."""
    return cv2.fastNlMeansDenoisingColored(rgb, None, NOISE_STRENGTH, NOISE_STRENGTH, 5, 11)


def stretch_tones(rgb: np.ndarray) -> np.ndarray:
    """The range to black and white, the mean to a middle brightness: against darkness, glare and fog; uint8."""
    low, high = np.percentile(rgb[::4, ::4], (1, 99))
    unit = np.clip((rgb.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1)), 0, 1)
    gamma = np.log(MIDDLE_BRIGHTNESS) / np.log(np.clip(unit.mean(), 1e-3, 0.999))
    return (255 * unit ** np.float32(np.clip(gamma, *GAMMA_LIMITS))).astype(np.uint8)


def fill_holes(metres: np.ndarray) -> np.ndarray:
    """Pixels without a measurement, but near one, get that of the nearest; (H, W) float32, NaN for none."""
    filled, distance = _nearest_measurement(metres)
    return np.where(distance <= FILLED_RIM * len(metres), filled, metres)


def smooth_depth(metres: np.ndarray) -> np.ndarray:
    """Median of 5x5: against the noise of far distances; pixels without a measurement stay so."""
    return np.where(np.isnan(metres), metres, cv2.medianBlur(_nearest_measurement(metres)[0], 5))


def _nearest_measurement(metres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest pixel's measurement, and how far it lies, pixels; all as it was where there is none."""
    missing = np.isnan(metres)
    if not missing.any() or missing.all():
        return metres, np.zeros(metres.shape, np.float32)
    distance, nearest = cv2.distanceTransformWithLabels(missing.astype(np.uint8), cv2.DIST_L2, 5,
                                                        labelType=cv2.DIST_LABEL_PIXEL)
    measured = np.flatnonzero(~missing)
    source = np.zeros(nearest.max() + 1, np.intp)
    source[nearest.ravel()[measured]] = measured
    return metres.ravel()[source[nearest]], distance


MEANS: dict[Modality, dict[str, Means]] = {
    Modality.RGB: {'outliers': remove_outliers, 'noise': remove_noise, 'tones': stretch_tones},
    Modality.DEPTH: {'holes': fill_holes, 'noise': smooth_depth},
    # Nobody has measured what helps a thermal image.
    Modality.THERMAL: {},
}


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says of a bundle's images.

    Attributes:
        probabilities: of every class, (K, h, w), at the network's stride.
        reliability: of every modality, (M,), calibrated.
    """

    probabilities: Tensor
    reliability: np.ndarray


#: The images of a bundle, in sensor units at the network's size.
Images = Mapping[Modality, np.ndarray]


def restore(images: Images, distrusted: Mapping[Modality, int], ask: Callable[[Images], Answer],
            ) -> tuple[Answer, dict[Modality, str]]:
    """Ask the network about the images as they came and mended, one modality after the other.

    Args:
        distrusted: the modalities to be mended, each with its place in the answers' reliability.
        ask: the network.

    Returns:
        The mean of the answers, weighed by the reliability of what was mended, to the power `POWER`, and for each
        modality the means that is trusted most, where one is trusted more than the image as it came.
    """
    answer, chosen = ask(images), {}
    for modality, place in distrusted.items():
        attempts = {'': images, **{name: {**images, modality: mend(images[modality])}
                                   for name, mend in MEANS[modality].items()}}
        answers = {name: ask(attempt) if name else answer for name, attempt in attempts.items()}
        best = max(answers, key=lambda name: answers[name].reliability[place])
        answer = _mean(list(answers.values()), place, answers[best].reliability)
        images = attempts[best]
        if best:
            chosen[modality] = best
    return answer, chosen


def _mean(answers: list[Answer], place: int, reliability: np.ndarray) -> Answer:
    weights = [float(answer.reliability[place]) ** POWER for answer in answers]
    total = sum(weights)
    if total == 0:
        return answers[0]
    weighed = (weight / total * answer.probabilities for weight, answer in zip(weights, answers))
    return Answer(sum(weighed), reliability)
