"""Pictures of a replay that are worth a look: a strip of the whole run, and the images with the worst result."""
from __future__ import annotations

import cv2
import numpy as np

from rsgmamba_ros.evaluation.replay import Observer, ReplayedBundle
from rsgmamba_ros.evaluation.replay_report import Panel
from rsgmamba_ros.evaluation.replay_score import ReplayScore
from rsgmamba_ros.evaluation.result_bag import jpeg
from rsgmamba_ros.pipeline.postprocessing import overlay
from rsgmamba_ros.vocabulary.images import Modality, StampedImage
from rsgmamba_ros.vocabulary.labels import LabelSpace

_STRIP, _WORST = 6, 6
#: Worst images lie at least so far apart: six neighbours would say one thing six times.
_APART_S = 1.0
_WIDTH, _QUALITY = 320, 82
_COLOURS = {Modality.DEPTH: cv2.COLORMAP_TURBO, Modality.THERMAL: cv2.COLORMAP_INFERNO}


class PictureCollector(Observer):
    """Keeps a bounded number of panels.

    Args:
        score: scores the same replay, and is told of each bundle before this one.
        duration_s: length of the bag, for an even strip.
    """

    def __init__(self, labels: LabelSpace, score: ReplayScore, *, duration_s: float):
        self._labels = labels
        self._score = score
        self._step_s = duration_s / _STRIP
        self.strip: list[Panel] = []
        self.worst: list[Panel] = []

    def replayed(self, result: ReplayedBundle) -> None:
        """Keep a picture of a bundle if it is due or bad enough."""
        if result.segmentation is None:
            return
        miou = self._score.miou[-1]
        score = float(result.segmentation.confidence.mean() / 255) if np.isnan(miou) else miou
        if len(self.strip) < _STRIP and result.time_s >= (len(self.strip) + 0.5) * self._step_s:
            self.strip.append(self._panel(result, score))
        self._keep_if_bad(result, score)

    def _keep_if_bad(self, result: ReplayedBundle, score: float) -> None:
        near = [panel for panel in self.worst if abs(panel.time_s - result.time_s) < _APART_S]
        rivals = near or (self.worst if len(self.worst) >= _WORST else [])
        if rivals and score >= max(panel.score for panel in rivals):
            return
        if near and score >= min(panel.score for panel in near):
            return
        kept = [panel for panel in self.worst if panel not in near]
        self.worst = sorted([*kept, self._panel(result, score)], key=lambda panel: panel.score)[:_WORST]

    def _panel(self, result: ReplayedBundle, score: float) -> Panel:
        leading, segmentation = result.bundle.leading_image.pixels, result.segmentation
        pictures = {str(modality): self._picture(result.bundle.image(modality)) for modality in result.bundle.slots}
        base = _shrink(leading)
        pictures['labels'] = _encode(overlay(base, segmentation.label_map, self._labels, alpha=0.6))
        if result.label_map is not None and result.label_map.shape == leading.shape[:2]:
            truth = np.minimum(result.label_map, 255).astype(np.uint8)
            pictures['ground truth'] = _encode(overlay(base, truth, self._labels, alpha=0.6))
        states = [f'{modality} {state.reliability:.2f}' + (f' ({", ".join(state.causes)})' if state.causes else '')
                  for modality, state in segmentation.reliability.items()]
        return Panel(result.time_s, score, 'reliability: ' + ', '.join(states), pictures)

    def _picture(self, image: StampedImage | None) -> bytes:
        if image is None:
            return b''
        small = _shrink(image.pixels)
        return _encode(small if image.modality is Modality.RGB else false_colours(small, image.modality))


def false_colours(pixels: np.ndarray, modality: Modality) -> np.ndarray:
    """Depth or thermal pixels in colours, near or cold to far or hot, (H, W, 3) uint8 RGB; black where invalid."""
    values = pixels.astype(np.float32)
    valid = np.isfinite(values) & ((values > 0) | (modality is Modality.THERMAL))
    if not valid.any():
        return np.zeros((*values.shape, 3), np.uint8)
    low, high = np.percentile(values[valid], (1, 99))
    stretched = np.clip((np.where(valid, values, low) - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(stretched, _COLOURS[modality]), cv2.COLOR_BGR2RGB)
    coloured[~valid] = 0
    return coloured


def _shrink(pixels: np.ndarray) -> np.ndarray:
    # Nearest for measurements: between two depths there is nothing.
    height = max(1, round(pixels.shape[0] * _WIDTH / pixels.shape[1]))
    interpolation = cv2.INTER_AREA if pixels.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(pixels, (_WIDTH, height), interpolation=interpolation)


def _encode(rgb: np.ndarray) -> bytes:
    return jpeg(rgb, quality=_QUALITY)
