"""Figures of the replay report, as SVG text. Long runs are reduced to what a screen can show; extremes are kept."""
from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
import numpy as np

from rsgmamba_ros.evaluation.fault_injection import FaultObservation
from rsgmamba_ros.replay.observers.timeline import PRESENCES, Timeline
from rsgmamba_ros.vocabulary.images import Modality

MODALITY_COLOURS = {Modality.RGB: '#2563a8', Modality.DEPTH: '#d9720a', Modality.THERMAL: '#b3202c'}
#: Of each presence, in the order of `PRESENCES`, and of an image that was there and not used.
STATES = ('present', 'late', 'missing', 'stale', 'unused')
STATE_COLOURS = ('#9ccfa8', '#f2c14e', '#cc3b3b', '#8453a6', '#8a949e')
FAULT_COLOUR = '#6b7280'

_COLUMNS = 1000
_STYLE = matplotlib.RcParams({
    'svg.fonttype': 'none', 'font.size': 9, 'font.family': 'sans-serif', 'axes.spines.top': False,
          'axes.spines.right': False, 'axes.edgecolor': '#9aa3ad', 'axes.labelcolor': '#374151',
          'xtick.color': '#374151', 'ytick.color': '#374151', 'axes.grid': True, 'grid.color': '#e5e7eb',
          'axes.axisbelow': True, 'svg.hashsalt': 'rsgmamba_ros'})


def timeline_figure(timeline: Timeline, *, duration_s: float, faults: Sequence[FaultObservation] = (),
                    miou: Sequence[float] = ()) -> str:
    """States of each modality, their reliability and the mIoU over time, injected faults shaded.

    Args:
        faults: as `FaultInjector.observations` gives them.
        miou: of each bundle; empty without ground truth.
    """
    times = timeline.bundles['time_s']
    segmented = bool(timeline.bundles['segmented'].any())
    has_miou = bool(np.isfinite(np.asarray(miou, float)).any())
    heights = [0.32 * len(timeline.modalities)] + [1.7] * segmented + [1.1] * has_miou
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11, sum(heights) + 0.5 + 0.25 * len(heights)), layout='constrained')
        axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        _draw_states(axes[0], timeline, duration_s)
        if segmented:
            _draw_reliability(axes[1], timeline, times)
        if has_miou:
            _draw_line(axes[-1], times, np.asarray(miou, float), '#374151')
            axes[-1].set(ylabel='mIoU', ylim=(0, 1.02))
        for axis in axes:
            _mark_faults(axis, faults, duration_s, is_strip=axis is axes[0])
        axes[-1].set(xlim=(0, duration_s), xlabel='bag time, s')
        return _svg(figure)


def sync_figure(timeline: Timeline, *, leader: Modality, duration_s: float) -> str:
    """Skew of the partners, wait of the leading images and delivery of all, over time and as distributions."""
    times, wait_ms = timeline.bundles['time_s'], timeline.bundles['wait_s'] * 1e3
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11, 5), layout='constrained')
        axes = figure.subplots(3, 2, sharey='row', sharex='col', width_ratios=(4, 1))
        for modality in timeline.modalities:
            arrivals, colour = timeline.arrivals[modality], MODALITY_COLOURS[modality]
            if modality is not leader:
                _draw_both(axes[0], times, timeline.slots[modality]['skew_s'] * 1e3, colour)
            _draw_both(axes[2], arrivals['time_s'], arrivals['delivery_s'] * 1e3, colour, label=str(modality))
        _draw_both(axes[1], times, wait_ms, '#374151')
        for axis, name in zip(axes[:, 0], (f'skew to {leader}, ms', 'wait, ms', 'delivery, ms')):
            axis.set(ylabel=name, xlim=(0, duration_s))
            axis.margins(y=0.15)
        axes[2, 0].legend(loc='upper left', frameon=False, ncols=3)
        axes[2, 0].set(xlabel='bag time, s')
        axes[2, 1].set(xlabel='share, %')
        return _svg(figure)


def confusion_figure(counts: np.ndarray, names: Sequence[str], iou: np.ndarray) -> str:
    """Share of each true class's pixels that went to each class, beside each class's IoU."""
    with matplotlib.rc_context(_STYLE), matplotlib.rc_context({'axes.grid': False}):
        side = min(6.5, 2.2 + 0.32 * len(names))
        figure = Figure(figsize=(11, side), layout='constrained')
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        left.imshow(shares, cmap='Blues', vmin=0, vmax=1, aspect='auto')
        if len(names) <= 15:
            for row, column in zip(*np.nonzero(shares >= 0.005)):
                left.text(column, row, f'{100 * shares[row, column]:.0f}', ha='center', va='center', fontsize=7,
                          color='white' if shares[row, column] > 0.5 else '#374151')
        ticks = np.arange(len(names))
        left.set_xticks(ticks, names, rotation=45, ha='right')
        left.set_yticks(ticks, names)
        left.set(xlabel='predicted, % of the true class', ylabel='true')
        values = np.nan_to_num(iou)
        right.barh(ticks, values, color='#5b8fc4')
        for tick, value, figure_of_class in zip(ticks, values, iou):
            text = 'not in the labels' if np.isnan(figure_of_class) else f'{value:.2f}'
            right.text(value + 0.01, tick, text, va='center', fontsize=8, color='#374151')
        right.set_yticks(ticks, names)
        right.set(xlim=(0, 1), xlabel='IoU', ylim=(len(names) - 0.5, -0.5))
        return _svg(figure)


def envelope(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reduce a curve to at most `_COLUMNS` points: times, mean, minimum and maximum; NaN where there is nothing."""
    if len(times) <= _COLUMNS:
        return times, values, values, values
    groups = np.array_split(np.arange(len(times)), _COLUMNS)
    rows = np.full((4, _COLUMNS), np.nan)
    for column, group in enumerate(groups):
        rows[0, column] = times[group].mean()
        finite = values[group][np.isfinite(values[group])]
        if finite.size:
            rows[1:, column] = finite.mean(), finite.min(), finite.max()
    return rows[0], rows[1], rows[2], rows[3]


def _draw_line(axis: Axes, times: np.ndarray, values: np.ndarray, colour: str, label: str | None = None) -> None:
    x, mean, low, high = envelope(times, values)
    if len(times) > _COLUMNS:
        axis.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, step='post')
    # Steps: a value holds until the next bundle, and a fault begins where it begins.
    axis.plot(x, mean, color=colour, linewidth=1.1, label=label, drawstyle='steps-post')


def _draw_both(axes: Sequence[Axes], times: np.ndarray, values: np.ndarray, colour: str, label: str = '') -> None:
    """A curve, and its distribution beside it."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    _draw_line(axes[0], times, values, colour, label or None)
    span = max(float(np.ptp(finite)), 10.0)
    middle = (finite.max() + finite.min()) / 2
    edges = np.linspace(middle - 0.6 * span, middle + 0.6 * span, 41).tolist()
    axes[1].hist(finite, bins=edges, orientation='horizontal',
                 weights=np.full(finite.size, 100 / finite.size), color=colour, alpha=0.6)


def _draw_states(axis: Axes, timeline: Timeline, duration_s: float) -> None:
    """One strip a modality; of the bundles that share a column, the worst state is shown."""
    edges = np.linspace(0, duration_s, min(_COLUMNS, max(1, len(timeline.bundles))) + 1)
    column = np.clip(np.searchsorted(edges, timeline.bundles['time_s'], side='right') - 1, 0, len(edges) - 2)
    rows = np.full((len(timeline.modalities), len(edges) - 1), np.nan)
    segmented = timeline.bundles['segmented'].astype(bool)
    for row, modality in enumerate(timeline.modalities):
        slots = timeline.slots[modality]
        state = slots['presence'].astype(float)
        unused = segmented & (state == 0) & (slots['used'] == 0)
        state[unused] = len(PRESENCES)
        np.fmax.at(rows[row], column, state)
    axis.imshow(rows, aspect='auto', interpolation='nearest', extent=(0, duration_s, len(rows) - 0.5, -0.5),
                cmap=ListedColormap(STATE_COLOURS), vmin=-0.5, vmax=len(STATES) - 0.5)
    axis.set_yticks(range(len(rows)), [str(modality) for modality in timeline.modalities])
    axis.grid(False)
    axis.tick_params(left=False)
    for row in range(1, len(rows)):
        axis.axhline(row - 0.5, color='white', linewidth=2)


def _draw_reliability(axis: Axes, timeline: Timeline, times: np.ndarray) -> None:
    for modality in timeline.modalities:
        _draw_line(axis, times, timeline.slots[modality]['reliability'], MODALITY_COLOURS[modality], str(modality))
    axis.set(ylabel='reliability', ylim=(-0.03, 1.03))
    axis.legend(loc='lower left', frameon=False, ncols=2)


def _mark_faults(axis: Axes, faults: Sequence[FaultObservation], duration_s: float, *, is_strip: bool) -> None:
    """Shade the faults; over the strips, whose colours mean something, write their names instead."""
    for fault in faults:
        end_s = duration_s if fault['end_s'] is None else min(fault['end_s'], duration_s)
        if fault['start_s'] >= duration_s:
            continue
        for edge_s in (fault['start_s'], end_s):
            axis.axvline(edge_s, color=FAULT_COLOUR, linewidth=0.7)
        if is_strip:
            axis.annotate(fault['fault'].partition('@')[0], (fault['start_s'], 1.04), annotation_clip=False,
                          xycoords=('data', 'axes fraction'), rotation=20, fontsize=7.5, color='#374151')
        else:
            axis.axvspan(fault['start_s'], end_s, color=FAULT_COLOUR, alpha=0.12, linewidth=0)


def _svg(figure: Figure) -> str:
    stream = StringIO()
    figure.savefig(stream, format='svg', metadata={'Date': None})
    text = stream.getvalue()
    return text[text.index('<svg'):]
