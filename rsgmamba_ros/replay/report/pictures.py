"""Pictures of a replay that are worth a look: a strip of the whole run, and the images with the worst result."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from rsgmamba_ros.pipeline.postprocessing import grey, overlay
from rsgmamba_ros.replay.observers.result_bag import jpeg
from rsgmamba_ros.replay.observers.score import ReplayScore
from rsgmamba_ros.replay.offline import Observer, ReplayedBundle
from rsgmamba_ros.replay.report.page import Panel
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.segmentation import Segmentation

_STRIP, _WORST = 6, 6
#: Worst images lie at least so far apart: six neighbours would say one thing six times.
_APART_S = 1.0
_WIDTH, _QUALITY = 320, 82
_WRONG_COLOUR = (200, 30, 30)
_COLOURS = {Modality.DEPTH: cv2.COLORMAP_TURBO, Modality.THERMAL: cv2.COLORMAP_INFERNO}


@dataclass(frozen=True, eq=False)
class _Moment:
    """What a panel is made of, in the panel's size: most are given up for worse ones and never painted."""

    time_s: float
    score: float
    caption: str
    images: Mapping[Modality, np.ndarray | None]
    leading: np.ndarray
    label_map: np.ndarray
    truth: np.ndarray | None


class PictureCollector(Observer):
    """Keeps a bounded number of moments, and makes panels of them when asked.

    Args:
        score: scores the same replay, and is told of each bundle before this one.
        duration_s: length of the bag, for an even strip.
    """

    def __init__(self, labels: LabelSpace, score: ReplayScore, *, duration_s: float):
        self._labels = labels
        self._score = score
        self._step_s = duration_s / _STRIP
        self._strip: list[_Moment] = []
        self._worst: list[_Moment] = []

    @property
    def strip(self) -> list[Panel]:
        """The run, evenly spread, in order of time."""
        return [self._panel(moment) for moment in self._strip]

    @property
    def worst(self) -> list[Panel]:
        """The worst images, the worst one first."""
        return [self._panel(moment) for moment in self._worst]

    def replayed(self, result: ReplayedBundle) -> None:
        """Keep a picture of a bundle if it is due or bad enough."""
        segmentation = result.segmentation
        if segmentation is None:
            return
        miou = self._score.miou[-1]
        score = float(segmentation.confidence.mean() / 255) if np.isnan(miou) else miou
        if len(self._strip) < _STRIP and result.time_s >= (len(self._strip) + 0.5) * self._step_s:
            self._strip.append(_moment(result, segmentation, score))
        self._keep_if_bad(result, segmentation, score)

    def _keep_if_bad(self, result: ReplayedBundle, segmentation: Segmentation, score: float) -> None:
        near = [moment for moment in self._worst if abs(moment.time_s - result.time_s) < _APART_S]
        replaceable = near or (self._worst if len(self._worst) >= _WORST else [])
        if replaceable and score >= max(moment.score for moment in replaceable):
            return
        if near and score >= min(moment.score for moment in near):
            return
        kept = [moment for moment in self._worst if moment not in near]
        self._worst = sorted([*kept, _moment(result, segmentation, score)], key=lambda moment: moment.score)[:_WORST]

    def _panel(self, moment: _Moment) -> Panel:
        pictures = {str(modality): _picture(pixels, modality) for modality, pixels in moment.images.items()}
        painted = {'labels': moment.label_map, 'ground truth': moment.truth}
        pictures |= {name: _encode(overlay(moment.leading, label_map, self._labels, alpha=0.6))
                     for name, label_map in painted.items() if label_map is not None}
        if moment.truth is not None and moment.truth.shape == moment.label_map.shape:
            pictures['wrong pixels'] = _encode(self._mistakes(moment.leading, moment.label_map, moment.truth))
        return Panel(moment.time_s, moment.score, moment.caption, pictures)

    def _mistakes(self, leading: np.ndarray, label_map: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """The leading image in pale grey, with what was labelled wrongly in red."""
        rgb = leading if leading.ndim == 3 else grey(leading)
        painted = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) // 2 + 112, cv2.COLOR_GRAY2RGB)
        counted = (truth < len(self._labels)) & (truth != self._labels.ignore_index)
        painted[counted & (label_map != truth)] = _WRONG_COLOUR
        return painted


def _moment(result: ReplayedBundle, segmentation: Segmentation, score: float) -> _Moment:
    bundle, truth = result.bundle, result.label_map
    images = {modality: None if slot.image is None else _shrink(slot.image.pixels)
              for modality, slot in bundle.slots.items()}
    if truth is not None:
        fits = truth.shape == bundle.leading_image.size
        truth = _shrink(np.minimum(truth, 255).astype(np.uint8)) if fits else None
    states = [f'{modality} {state.reliability:.2f}' + (f' ({", ".join(state.causes)})' if state.causes else '')
              for modality, state in segmentation.reliability.items()]
    return _Moment(result.time_s, score, 'reliability: ' + ', '.join(states), images,
                   _shrink(bundle.leading_image.pixels), _shrink(segmentation.label_map), truth)


def _picture(pixels: np.ndarray | None, modality: Modality) -> bytes:
    if pixels is None:
        return b''
    return _encode(pixels if modality is Modality.RGB else false_colours(pixels, modality))


def false_colours(pixels: np.ndarray, modality: Modality) -> np.ndarray:
    """Depth or thermal pixels in colours, near or cold to far or hot, (H, W, 3) uint8 RGB; black where invalid."""
    values = pixels.astype(np.float32)
    valid = np.isfinite(values) & ((values > 0) | (modality is Modality.THERMAL))
    if not valid.any():
        return np.zeros((*values.shape, 3), np.uint8)
    low, high = np.percentile(values[valid], (1, 99))
    stretched = np.clip((np.where(valid, values, low) - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    coloured: np.ndarray = cv2.cvtColor(cv2.applyColorMap(stretched, _COLOURS[modality]), cv2.COLOR_BGR2RGB)
    coloured[~valid] = 0
    return coloured


def _shrink(pixels: np.ndarray) -> np.ndarray:
    # Nearest for measurements: between two depths there is nothing.
    height = max(1, round(pixels.shape[0] * _WIDTH / pixels.shape[1]))
    interpolation = cv2.INTER_AREA if pixels.ndim == 3 else cv2.INTER_NEAREST
    return cv2.resize(pixels, (_WIDTH, height), interpolation=interpolation)


def _encode(rgb: np.ndarray) -> bytes:
    return jpeg(rgb, quality=_QUALITY)
