"""A demo in one picture: what the cameras showed, the label maps, and the reliability of each camera."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import textwrap

import cv2
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle
import numpy as np

from rsgmamba_ros.demo.phases import Phase
from rsgmamba_ros.demo.recording import Panel, Recording
from rsgmamba_ros.demo.summary import bundle_mious
from rsgmamba_ros.pipeline.postprocessing import overlay
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace

#: Colour-blind safe (Okabe and Ito).
COLOURS = {Modality.RGB: '#d55e00', Modality.DEPTH: '#0072b2', Modality.THERMAL: '#0072b2'}
_GREY = '#555555'
_ALARM = '#c02800'
_SHADES = ('#f4f4f4', '#fbe3d6')
#: Depth is shown from 0 to this, metres.
_FAR_M = 8.0
_TILE = (240, 320)


def draw(path: Path, recording: Recording, phases: Sequence[Phase], *, auxiliary: Modality,
         labels: LabelSpace) -> None:
    """Write the picture as PNG."""
    figure = Figure(figsize=(1.28 * len(phases) + 0.9, 7.4), dpi=110)
    grid = figure.add_gridspec(4, 1, height_ratios=(4.0, 1.45, 0.95, 0.3), hspace=0.2, left=0.065, right=0.995,
                               top=0.935, bottom=0.01)
    _draw_strip(figure, grid[0], recording, phases, auxiliary, labels)
    _draw_reliability(figure.add_subplot(grid[1]), recording, phases, auxiliary)
    _draw_miou(figure.add_subplot(grid[2]), recording, phases)
    _draw_legend(figure.add_subplot(grid[3]), labels)
    figure.savefig(path)


def _draw_strip(figure: Figure, area: SubplotSpec, recording: Recording, phases: Sequence[Phase],
                auxiliary: Modality, labels: LabelSpace) -> None:
    """Images, labels and truth, a column a phase; the columns stand above the phases of the timeline."""
    rows = {'RGB': Modality.RGB, str(auxiliary): auxiliary, 'labels': None, 'truth': None}
    strip = area.subgridspec(len(rows), len(phases), wspace=0.03, hspace=0.04)
    for column, (phase, panel) in enumerate(zip(phases, recording.panels)):
        for row, (name, modality) in enumerate(rows.items()):
            axes = figure.add_subplot(strip[row, column])
            axes.imshow(_tile(panel, name, modality, labels), aspect='auto')
            axes.set(xticks=[], yticks=[])
            _mark(axes, modality in phase.failing)
            if row == 0:
                axes.set_title('\n'.join(textwrap.wrap(phase.name, 12)), fontsize=11, linespacing=1.0, pad=4,
                               color=_ALARM if phase.faults else 'black')
            if column == 0:
                axes.set_ylabel(name, fontsize=11)


def _mark(axes: Axes, is_failing: bool) -> None:
    for spine in axes.spines.values():
        spine.set(color=_ALARM if is_failing else '#bbbbbb', linewidth=2.2 if is_failing else 0.6)


def _tile(panel: Panel | None, row: str, modality: Modality | None, labels: LabelSpace) -> np.ndarray:
    """One picture of the strip, (240, 320, 3) uint8."""
    image = None if panel is None else _image(panel, row, modality, labels)
    if image is None:
        return _notice('no result' if panel is None or modality is None else 'no image')
    return cv2.resize(image, _TILE[::-1], interpolation=cv2.INTER_AREA)


def _image(panel: Panel, row: str, modality: Modality | None, labels: LabelSpace) -> np.ndarray | None:
    """What a row of the strip shows, (H, W, 3) uint8; None if the panel does not have it."""
    if modality is not None:
        pixels = panel.images[modality]
        return pixels if pixels is None or modality is Modality.RGB else _false_colour(pixels, modality)
    if row == 'truth':
        return None if panel.truth is None else labels.colourise(panel.truth)
    leading = panel.images[panel.leader]
    if leading is None:
        return labels.colourise(panel.label_map)
    return overlay(leading, panel.label_map, labels, alpha=0.65)


def _notice(text: str) -> np.ndarray:
    tile = np.full((*_TILE, 3), 225, np.uint8)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    origin = ((_TILE[1] - width) // 2, (_TILE[0] + height) // 2)
    return cv2.putText(tile, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 1.0, (150, 150, 150), 2, cv2.LINE_AA)


def _false_colour(pixels: np.ndarray, modality: Modality) -> np.ndarray:
    values = pixels.astype(np.float32)
    if modality is Modality.DEPTH:
        metres = values / 1000 if pixels.dtype == np.uint16 else np.nan_to_num(values)
        painted = colormaps['viridis_r'](np.clip(metres / _FAR_M, 0, 1))[..., :3]
        painted[metres <= 0] = 0
    else:
        low, high = np.nanpercentile(values, (1, 99))
        painted = colormaps['inferno'](np.clip((values - low) / max(high - low, 1e-6), 0, 1))[..., :3]
    return (255 * painted).astype(np.uint8)


def _shade(axes: Axes, phases: Sequence[Phase]) -> None:
    for phase in phases:
        axes.axvspan(phase.start_s, phase.end_s, color=_SHADES[bool(phase.faults)], zorder=0, linewidth=0)
        axes.axvline(phase.start_s, color='white', linewidth=1.5, zorder=1)
    axes.set(xlim=(phases[0].start_s, phases[-1].end_s), ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(labelsize=9)


def _draw_reliability(axes: Axes, recording: Recording, phases: Sequence[Phase], auxiliary: Modality) -> None:
    _shade(axes, phases)
    for modality in (Modality.RGB, auxiliary):
        points = [(r.time_s, r.reliability[modality]) for r in recording.results if modality in r.reliability]
        name = 'RGB' if modality is Modality.RGB else str(modality)
        axes.plot(*np.array(points).reshape(-1, 2).T, color=COLOURS[modality], linewidth=1.8, label=name)
    axes.set_ylabel('reliability', fontsize=11)
    axes.set_xticklabels([])
    axes.legend(loc='lower right', bbox_to_anchor=(1.0, 0.96), ncols=2, fontsize=10, frameon=False, borderpad=0)


def _draw_miou(axes: Axes, recording: Recording, phases: Sequence[Phase]) -> None:
    _shade(axes, phases)
    axes.plot(*bundle_mious(recording), color=_GREY, linewidth=1.3)
    axes.set_ylabel('mIoU', fontsize=11)
    axes.set_xticks([phase.start_s for phase in phases])
    axes.set_xticklabels([f'{phase.start_s:g} s' for phase in phases])


def _draw_legend(axes: Axes, labels: LabelSpace) -> None:
    axes.axis('off')
    axes.set(xlim=(0, len(labels)), ylim=(0, 1))
    for index, (name, colour) in enumerate(zip(labels.names, labels.palette)):
        axes.add_patch(Rectangle((index + 0.05, 0.3), 0.15, 0.5, color=np.array(colour) / 255, linewidth=0))
        axes.text(index + 0.24, 0.55, name, fontsize=11, va='center')
