"""A summary, figures and pictures -> one self-contained HTML file that can be mailed."""
from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
import shlex
from typing import Any

from rsgmamba_ros.replay.report.figures import STATE_COLOURS, STATES

_CSS = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #1f2937;
       background: #f3f4f6; margin: 0 }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px }
h1 { font-size: 24px; margin: 0 } h2 { font-size: 17px; margin: 0 0 4px }
section { background: #fff; border: 1px solid #e5e7eb; border-radius: 10px; padding: 18px 20px; margin-top: 16px }
.sub, .note { color: #6b7280; margin: 2px 0 8px } .note { font-size: 13px }
.warning { background: #fdf3d8; border-color: #e9c766 }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 10px; margin-top: 16px }
.tile { background: #fff; border: 1px solid #e5e7eb; border-radius: 10px; padding: 10px 14px }
.tile b { display: block; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums }
.tile span { color: #6b7280; font-size: 13px } .tile.bad b { color: #b42318 }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums }
th { text-align: left; color: #6b7280; font-weight: 500; border-bottom: 1px solid #d1d5db; padding: 4px 16px 4px 0 }
td { border-bottom: 1px solid #eef0f2; padding: 4px 16px 4px 0; vertical-align: top; overflow-wrap: anywhere }
td:first-child { white-space: nowrap } .number { text-align: right } .wide { overflow-x: auto }
svg { width: 100%; height: auto; display: block }
.legend span { font-size: 13px; color: #374151; margin-right: 14px }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 5px;
            vertical-align: -1px }
.panel { margin-top: 12px } .pictures { display: grid; gap: 6px }
.pictures figure { margin: 0 } .pictures img, .pictures .none { width: 100%; display: block; border-radius: 5px }
.pictures .none { background: #e5e7eb; color: #6b7280; aspect-ratio: 4/3; display: grid; place-items: center }
.pictures figcaption, .panel p { font-size: 12.5px; color: #4b5563; margin: 2px 0 }
.strip { display: grid; gap: 3px 5px; align-items: center; font-size: 12.5px; color: #4b5563; margin-top: 8px }
.strip b { font-weight: 600; color: #1f2937 }
.counts { columns: 3; column-gap: 36px; font-size: 13.5px; font-variant-numeric: tabular-nums }
.counts div { display: flex; justify-content: space-between; break-inside: avoid; border-bottom: 1px solid #eef0f2;
              padding: 3px 0 }
@media print { body { background: #fff } section { break-inside: avoid } }
"""


@dataclass(frozen=True)
class Panel:
    """One moment in pictures.

    Attributes:
        time_s: after the bag's start.
        score: mIoU, or the mean confidence (0..1) where there is no ground truth.
        caption: what is known of it in words.
        pictures: JPEG files by name; empty bytes for a modality without an image.
    """

    time_s: float
    score: float
    caption: str
    pictures: dict[str, bytes]


@dataclass(frozen=True)
class ReportPart:
    """A headed part of the report.

    Attributes:
        body: HTML.
        note: one sentence that says how to read it.
    """

    title: str
    body: str
    note: str = ''


@dataclass
class Report:
    """What goes into the report, in order.

    Attributes:
        summary: as written to `summary.json`.
        parts: those with figures and pictures, the timeline first.
    """

    summary: Mapping[str, Any]
    parts: list[ReportPart] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the file so that there is never half of one."""
        summary = self.summary
        # What happened comes first, in a picture and in words; what it was made of comes last.
        parts = [*self.parts[:1], _episodes(summary), _faults(summary), _health(summary), *self.parts[1:],
                 _modalities(summary), _decisions(summary), _provenance(summary)]
        body = ''.join(f'<section><h2>{escape(part.title)}</h2>'
                       + (f'<p class="note">{escape(part.note)}</p>' if part.note else '') + part.body + '</section>'
                       for part in parts if part.body)
        title = f'Replay of {summary["bag"]["name"]}'
        text = (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
                f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_CSS}</style></head>'
                f'<body><main><h1>{escape(title)}</h1>{_subtitle(summary)}{_warnings(summary)}{_tiles(summary)}{body}'
                '</main></body></html>\n')
        temporary = path.with_suffix('.tmp')
        temporary.write_text(text, encoding='utf-8')
        temporary.replace(path)


def state_legend() -> str:
    """What the colours of the strips mean."""
    return '<p class="legend">' + ''.join(f'<span><i style="background:{colour}"></i>{state}</span>'
                                          for state, colour in zip(STATES, STATE_COLOURS)) + '</p>'


def class_legend(names: Sequence[str], palette: Sequence[Sequence[int]]) -> str:
    """Which colour is which class."""
    return '<p class="legend">' + ''.join(
        f'<span><i style="background:rgb({",".join(map(str, colour))})"></i>{escape(name)}</span>'
        for name, colour in zip(names, palette)) + '</p>'


def film_strip(items: Sequence[Panel], score: str) -> str:
    """One column a moment, one row a kind of picture."""
    if not items:
        return ''
    names = list(dict.fromkeys(name for panel in items for name in panel.pictures))
    cells = ['<span></span>', *(f'<span><b>{panel.time_s:.1f} s</b><br>{escape(score)} {panel.score:.2f}</span>'
                                for panel in items)]
    for name in names:
        cells.append(f'<span>{escape(name)}</span>')
        cells += [f'<div class="pictures">{_picture(panel.pictures.get(name, b""), name)}</div>' for panel in items]
    return f'<div class="strip" style="grid-template-columns:70px repeat({len(items)},1fr)">{"".join(cells)}</div>'


def panels(items: Sequence[Panel], score: str) -> str:
    """Rows of pictures, each with its time and score."""
    rows = []
    for panel in items:
        pictures = ''.join(
            f'<figure>{_picture(data, name)}<figcaption>{escape(name)}</figcaption></figure>'
            for name, data in panel.pictures.items())
        rows.append(f'<div class="panel"><p><b>{panel.time_s:.2f} s</b> &middot; {escape(score)} {panel.score:.2f} '
                    f'&middot; {escape(panel.caption)}</p><div class="pictures" style="grid-template-columns:'
                    f'repeat({len(panel.pictures)},1fr)">{pictures}</div></div>')
    return ''.join(rows)


def _picture(data: bytes, name: str) -> str:
    if not data:
        return '<div class="none">no image</div>'
    return f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{b64encode(data).decode()}">'


def _subtitle(summary: Mapping[str, Any]) -> str:
    bag = summary['bag']
    network = summary.get('checkpoint')
    what = f'segmented by <b>{escape(network["name"])}</b>' if network else 'synchroniser only, no network'
    return f'<p class="sub">{bag["duration_s"]:.1f} s &middot; {escape(summary["mode"])} &middot; {what} &middot; ' \
           f'{summary["created"][:16].replace("T", " ")} UTC</p>'


def _warnings(summary: Mapping[str, Any]) -> str:
    bag = summary['bag']
    lines = list(bag['damage'])
    if not summary['complete']:
        lines.insert(0, f'This report is partial: {summary["ended_by"]} at {summary["ended_at_s"]:.1f} s of '
                        f'{bag["duration_s"]:.1f} s.')
    lines += [f'{count} skipped: {cause}' for cause, count in summary['skipped'].items()]
    lines += [f'{count} bundles without segmentation: {cause}' for cause, count in summary['failures'].items()]
    lines += [f'{count} bundles not scored: {cause}'
              for cause, count in (summary.get('score') or {}).get('unlabelled', {}).items()]
    return ''.join(f'<section class="warning">{escape(line)}</section>' for line in lines)


def _tiles(summary: Mapping[str, Any]) -> str:
    tiles = []
    if summary['miou'] is not None:
        tiles.append((f'{summary["miou"]:.3f}', 'mIoU', False))
    tiles.append((f'{summary["missed"]}', f'missed of {summary["expected"]} leading images', summary['missed'] > 0))
    for modality, state in summary['modalities'].items():
        if state['availability'] is not None:
            tiles.append((f'{100 * state["availability"]:.1f} %', f'{modality} available', state['availability'] < 0.9))
        if state['reliability']['mean'] is not None:
            tiles.append((f'{state["reliability"]["mean"]:.2f}', f'{modality} mean reliability', False))
    if summary['wait_ms']['p95'] is not None:
        tiles.append((f'{summary["wait_ms"]["p95"]:.0f} ms', 'wait for partners, p95', False))
    if summary['network_ms']['p95'] is not None:
        tiles.append((f'{summary["network_ms"]["p95"]:.0f} ms', 'network on this machine, p95', False))
    return '<div class="tiles">' + ''.join(
        f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name, bad in tiles) + '</div>'


def _episodes(summary: Mapping[str, Any]) -> ReportPart:
    rows = [(episode['modality'], episode['kind'], _seconds(episode['start_s']), _seconds(episode['end_s']),
             _seconds(None if episode['end_s'] is None else episode['end_s'] - episode['start_s'], '-'),
             episode['detail'])
            for episode in summary['episodes']]
    body = _table(('modality', 'what', 'start', 'end', 'length', ''), rows) if rows else ''
    return ReportPart('What went wrong, and when', body or '<p>Nothing that lasted three images.</p>',
                      'Silent: no image arrived. Missing, late, stale: what the bundles say. Delivery: images came '
                      'later or earlier against their stamps than usual, by a delay or a wrong clock. Unreliable: '
                      'less than half of the usual reliability.')


def _faults(summary: Mapping[str, Any]) -> ReportPart:
    rows = [(fault['fault'], fault['images'], _seconds(fault['first_s'], '-'), _seconds(fault['last_s'], '-'),
             _seen(fault, summary)) for fault in summary['faults']]
    return ReportPart('Injected faults', _table(('fault', 'images hit', 'first', 'last', 'seen as'), rows)
                      if rows else '', f'Put in on purpose, with seed {summary["seed"]}. Seen as: what went wrong with '
                      'the same sensor from the same time on, to within two images.')


def _seen(fault: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    rate_hz = summary['modalities'].get(fault['modality'], {}).get('rate_hz')
    tolerance_s = 2 / rate_hz + 1e-3 if rate_hz else 0.1
    found = [f'{episode["kind"]} {_seconds(episode["start_s"])} to {_seconds(episode["end_s"])}'
             for episode in summary['episodes'] if episode['modality'] == fault['modality']
             and abs(episode['start_s'] - fault['start_s']) <= tolerance_s]
    return '; '.join(found) or 'nothing that lasted three images'


def _health(summary: Mapping[str, Any]) -> ReportPart:
    rows = [(finding['source'], finding['level'], finding['text'], _seconds(finding['first_s']),
             _seconds(finding['last_s']), finding['count']) for finding in summary['health']['findings']]
    return ReportPart('What the health monitor said', _table(('source', 'level', '', 'first', 'last', 'times'), rows)
                      if rows else '', 'Judged once a second over the last five, as on the node\'s /diagnostics.')


def _modalities(summary: Mapping[str, Any]) -> ReportPart:
    rows = []
    for modality, state in summary['modalities'].items():
        presence, reliability = state['presence'], state['reliability']
        rows.append((modality, state['images'], _figure(state['rate_hz'], 1), presence['present'], presence['late'],
                     presence['missing'], presence['stale'], state['used'], _figure(reliability['mean'], 2),
                     _figure(reliability['p5'], 2), _figure(state['skew_ms']['p95'], 1), len(state['dropouts'])))
    names = ('modality', 'images', 'Hz', 'present', 'late', 'missing', 'stale', 'used', 'reliability', '... p5',
             'skew p95, ms', 'dropouts')
    return ReportPart('Modalities', _table(names, rows),
                      'Reliability is over the bundles in which the modality was used.')


def _decisions(summary: Mapping[str, Any]) -> ReportPart:
    counts = ''.join(f'<div><span>{escape(name)}</span><span>{count}</span></div>'
                     for name, count in sorted(summary['synchroniser'].items()))
    return ReportPart('Decisions of the synchroniser', f'<div class="counts">{counts}</div>' if counts else '',
                      'Bundles by what they hold of each sensor and by who led them; dropped images by cause.')


def _provenance(summary: Mapping[str, Any]) -> ReportPart:
    bag, network = summary['bag'], summary.get('checkpoint')
    rows = [('bag', f'{bag["name"]}, fingerprint {bag["fingerprint"]}'),
            ('topics', ', '.join(f'{topic["name"]} ({topic["shows"]}, {topic["count"]})' for topic in bag['topics']))]
    if network:
        rows.append(('weights', f'{network["name"]}, SHA-256 {network["sha256"]}'))
    rows += [('configuration', f'SHA-256 {summary["config_sha256"]}'), ('command', shlex.join(summary['command'])),
             ('machine', ', '.join(f'{key} {value}' for key, value in summary['machine'].items())),
             ('software', ', '.join(f'{key} {value}' for key, value in summary['software'].items())),
             ('speed', _speed(summary['performance']))]
    return ReportPart('Made of', _table(('', ''), rows))


def _speed(performance: Mapping[str, Any]) -> str:
    return f'{performance["wall_s"]:.1f} s, {performance["realtime_factor"]:.2f} times real time'


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    numeric = [all(isinstance(row[column], (int, float)) or _looks_numeric(row[column]) for row in rows)
               for column in range(len(names))]
    cells = [' class="number"' if is_number else '' for is_number in numeric]
    head = ''.join(f'<th{cell}>{escape(name)}</th>' for name, cell in zip(names, cells)) if any(names) else ''
    body = ''.join('<tr>' + ''.join(f'<td{cell}>{escape(str(value))}</td>' for value, cell in zip(row, cells)) + '</tr>'
                   for row in rows)
    return f'<div class="wide"><table>{f"<tr>{head}</tr>" if head else ""}{body}</table></div>'


def _looks_numeric(value: Any) -> bool:
    return isinstance(value, str) and (value[:1].isdigit() or value in ('-', 'end'))


def _seconds(value: float | None, missing: str = 'end') -> str:
    return missing if value is None else f'{value:.2f} s'


def _figure(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'
