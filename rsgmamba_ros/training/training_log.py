"""What a training leaves to look at: CSV files, TensorBoard events where it is installed, a picture of the curves."""
from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from rsgmamba_ros.vocabulary.errors import ConfigError

if TYPE_CHECKING:  # both take time to import, and TensorBoard is optional
    from matplotlib.axes import Axes
    from torch.utils.tensorboard import SummaryWriter


class TrainingLog:
    """Rows of figures by step, one CSV a kind (`train.csv`, `validation.csv`).

    Args:
        first_step: rows after it, left by a run that went further before it was killed, are dropped.
    """

    def __init__(self, folder: Path, *, first_step: int):
        self.folder = folder
        for path in (folder / 'train.csv', folder / 'validation.csv'):
            _drop_rows(path, first_step)
        self._events = _event_writer(folder)

    def add(self, kind: str, step: int, figures: dict[str, float]) -> None:
        """Append one row; the first row of a file names the columns."""
        path = self.folder / f'{kind}.csv'
        is_new = not path.exists()
        with path.open('a', newline='') as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(['step', *figures])
            writer.writerow([step, *(repr(float(value)) for value in figures.values())])
        if self._events:
            for name, value in figures.items():
                self._events.add_scalar(f'{kind}/{name}', value, step)

    def draw_curves(self) -> None:
        """Write `curves.png` from the CSV files."""
        from matplotlib.figure import Figure

        train, validation = (read_rows(self.folder / f'{kind}.csv') for kind in ('train', 'validation'))
        figure = Figure(figsize=(12, 4), layout='constrained')
        panels = figure.subplots(1, 3)
        _plot(panels[0], train, [name for name in train if name.startswith('loss')], 'loss')
        _plot(panels[1], validation, [name for name in validation if name.startswith('miou')], 'mIoU, held out')
        _plot(panels[2], validation, [name for name in validation if name.startswith('reliability')],
              'reliability of clean images')
        for panel in panels[1:]:
            panel.set_ylim(0, 1)
        figure.savefig(self.folder / 'curves.png', dpi=100)

    def close(self) -> None:
        """Flush what is buffered."""
        if self._events:
            self._events.close()


class NoLog:
    """The log of a process that writes none: of several processes only the first one writes."""

    def add(self, kind: str, step: int, figures: dict[str, float]) -> None:
        """Do nothing."""

    def draw_curves(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def read_rows(path: Path) -> dict[str, list[float]]:
    """Columns of a CSV file of figures by name; empty if there is no file.

    Raises:
        ConfigError: the file holds something else.
    """
    if not path.exists():
        return {}
    try:
        with path.open(newline='') as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else ())}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f'{path} is not the log of a training ({error}); move it away') from error


def _drop_rows(path: Path, first_step: int) -> None:
    if not path.exists():
        return
    lines = path.read_text().splitlines()
    kept = lines[:1] + [line for line in lines[1:] if line and int(line.split(',')[0]) <= first_step]
    path.write_text('\n'.join(kept) + '\n') if len(kept) > 1 else path.unlink()


def _event_writer(folder: Path) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / 'tensorboard'))


def _plot(panel: Axes, columns: dict[str, list[float]], names: list[str], title: str) -> None:
    for name in names:
        panel.plot(columns['step'], columns[name], label=name, linewidth=1.2)
    panel.set_title(title)
    panel.set_xlabel('step')
    panel.grid(alpha=0.3)
    if names:
        panel.legend(fontsize=8)
