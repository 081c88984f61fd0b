"""A summary, figures and pictures -> one self-contained HTML file that can be mailed. The HTML is in `templates/`."""
from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rsgmamba_ros.replay.report.schema import Summary
from rsgmamba_ros.vocabulary.labels import LabelSpace

Cell = str | int | float


@dataclass(frozen=True)
class Panel:
    """One moment in pictures.

    Attributes:
        time_s: after the bag's start.
        score: mIoU, or the mean confidence (0..1) where there is no ground truth.
        caption: the reliabilities in words.
        pictures: JPEG files by name; empty bytes for a modality without an image.
    """

    time_s: float
    score: float
    caption: str
    pictures: dict[str, bytes]


@dataclass(frozen=True)
class LegendEntry:
    """A colour, as CSS has it, and what it means."""

    colour: str
    text: str


@dataclass(frozen=True)
class Part:
    """A headed part of the report.

    Attributes:
        title: the heading.
        note: a sentence that explains how to read the part; may be empty.
        template: file that renders what follows.
    """

    template: ClassVar[str]

    title: str
    note: str = ''


@dataclass(frozen=True)
class FigurePart(Part):
    """A figure.

    Attributes:
        svg: the figure as an SVG element, made by this program: it is not escaped.
        legend: colours that the figure does not explain itself.
    """

    template = 'figure.html'

    svg: str = ''
    legend: tuple[LegendEntry, ...] = ()

    @property
    def markup(self) -> Markup:
        """The figure for the template."""
        return Markup(self.svg)


@dataclass(frozen=True)
class PicturesPart(Part):
    """Panels, as rows or (`StripPart`) side by side.

    Attributes:
        score_name: what the panels' scores are.
    """

    template = 'panels.html'

    panels: Sequence[Panel] = ()
    score_name: str = ''
    legend: tuple[LegendEntry, ...] = ()


@dataclass(frozen=True)
class StripPart(PicturesPart):
    """Panels side by side: a column for each moment, a row for each kind of picture."""

    template = 'strip.html'

    @property
    def picture_names(self) -> list[str]:
        """The kinds of pictures, in order of first use."""
        return list(dict.fromkeys(name for panel in self.panels for name in panel.pictures))


@dataclass(frozen=True)
class TablePart(Part):
    """A table; without rows, `otherwise` is shown instead.

    Attributes:
        names: of the columns; all are empty for a table without a head.
    """

    template = 'table.html'

    names: tuple[str, ...] = ()
    rows: Sequence[tuple[Cell, ...]] = ()
    otherwise: str = ''

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers."""
        return [all(_is_numeric(row[column]) for row in self.rows) for column in range(len(self.names))]


@dataclass(frozen=True)
class CountsPart(Part):
    """Many counts, in narrow columns."""

    template = 'counts.html'

    counts: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Tile:
    """A large figure at the top of the report."""

    value: str
    name: str
    is_bad: bool = False


@dataclass(frozen=True)
class Report:
    """What goes into the report, in order."""

    summary: Summary
    warnings: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    parts: Sequence[Part] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the file so that there is never half of one."""
        environment = Environment(loader=PackageLoader('rsgmamba_ros.replay.report'), autoescape=True,
                                  undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters['base64'] = lambda data: b64encode(data).decode()
        text = environment.get_template('report.html').render(report=self, summary=self.summary)
        temporary = path.with_suffix('.tmp')
        temporary.write_text(text, encoding='utf-8')
        temporary.replace(path)


def class_legend(labels: LabelSpace) -> tuple[LegendEntry, ...]:
    """Which colour is which class."""
    return tuple(LegendEntry(f'rgb({",".join(map(str, colour))})', name)
                 for name, colour in zip(labels.names, labels.palette))


def legend(texts: Iterable[str], colours: Iterable[str]) -> tuple[LegendEntry, ...]:
    """A legend of given colours."""
    return tuple(LegendEntry(colour, text) for text, colour in zip(texts, colours))


def _is_numeric(value: Cell) -> bool:
    return not isinstance(value, str) or value[:1].isdigit() or value in ('-', 'end')
