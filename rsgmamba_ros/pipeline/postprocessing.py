"""Logits -> label map, confidence and overlay at the size the user wants."""
from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from rsgmamba_ros.ops.decision import decide
from rsgmamba_ros.vocabulary.labels import LabelSpace


def label_and_confidence(logits: Tensor, *, input_size: tuple[int, int], valid_size: tuple[int, int],
                         output_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Decide each pixel's class.

    The decision is taken at the network's input size and enlarged: logits of every class are many times the bytes.

    Args:
        logits: (1, K, h, w), at the network's stride, any device.
        input_size: height and width of the network's input.
        valid_size: of the part of it that is image, not padding.
        output_size: of the result.

    Returns:
        Label map, (H, W) uint8, and confidence, the softmax maximum, (H, W) uint8, 0..255 for 0..1.
    """
    height, width = valid_size
    label_map, confidence = (result[:height, :width].cpu().numpy() for result in decide(logits[0], input_size))
    return resize_decision(label_map, confidence, output_size)


def resize_decision(label_map: np.ndarray, confidence: np.ndarray, size: tuple[int, int],
                    ) -> tuple[np.ndarray, np.ndarray]:
    """Bring label map and confidence to a size; a label is never mixed with another.

    Args:
        label_map: (h, w) uint8.
        confidence: (h, w) uint8.
        size: (H, W).

    Returns:
        Label map and confidence, (H, W) uint8 each.
    """
    if label_map.shape == size:
        return label_map, confidence
    size = (size[1], size[0])
    return (cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST),
            cv2.resize(confidence, size, interpolation=cv2.INTER_LINEAR))


def overlay(image: np.ndarray, label_map: np.ndarray, labels: LabelSpace, *, alpha: float = 0.5) -> np.ndarray:
    """Paint a label map over an image.

    Args:
        image: (H, W, 3) uint8 RGB, or (H, W) of any dtype, which is stretched to grey.
        label_map: (h, w) uint8; brought to the image's size. Values without a class leave the image as it is.
        alpha: weight of the labels' colours, 0..1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    base = grey(image) if image.ndim == 2 else image
    if label_map.shape != base.shape[:2]:
        label_map = cv2.resize(label_map, base.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    painted = cv2.addWeighted(labels.colourise(label_map), alpha, base, 1 - alpha, 0)
    unlabelled = label_map >= len(labels)
    if unlabelled.any():
        painted[unlabelled] = base[unlabelled]
    return painted


def grey(image: np.ndarray) -> np.ndarray:
    """Show a one-channel image to people.

    Args:
        image: (H, W), any unit and dtype; NaN and infinities are pixels without a measurement.

    Returns:
        (H, W, 3) uint8; pixels without a measurement are black.
    """
    values = np.where(np.isfinite(image), image, 0).astype(np.float32)
    low, high = np.percentile(values[::4, ::4], (1, 99))
    stretched = np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    return np.repeat(stretched[..., None], 3, axis=2)
