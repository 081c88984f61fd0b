"""Logits -> label map, confidence and overlay at the size the user wants."""
from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.vocabulary.labels import LabelSpace


def label_and_confidence(logits: Tensor, *, valid_size: tuple[int, int],
                         output_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Decide each pixel's class.

    The decision is taken at the network's size and enlarged: logits of every class are many times the bytes.

    Args:
        logits: (1, K, H, W) float32, any device.
        valid_size: height and width of the part of the logits that is image, not padding.
        output_size: height and width of the result.

    Returns:
        Label map, (h, w) uint8, and confidence, the softmax maximum, (h, w) uint8, 0..255 for 0..1.
    """
    height, width = valid_size
    with torch.inference_mode():
        logits = logits[0, :, :height, :width]
        highest, labels = logits.max(dim=0)
        # 1 / sum(exp(l - max)) is the softmax of the largest class: no need for the others'.
        confidence = (logits - highest).exp_().sum(dim=0).reciprocal_()
        label_map = labels.to(torch.uint8).cpu().numpy()
        confidence = confidence.mul_(255).round_().to(torch.uint8).cpu().numpy()
    if valid_size == output_size:
        return label_map, confidence
    size = (output_size[1], output_size[0])
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
    """A one-channel image of any unit -> (H, W, 3) uint8 for people; pixels without a measurement are black."""
    values = np.where(np.isfinite(image), image, 0).astype(np.float32)
    low, high = np.percentile(values[::4, ::4], (1, 99))
    stretched = np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    return np.repeat(stretched[..., None], 3, axis=2)
