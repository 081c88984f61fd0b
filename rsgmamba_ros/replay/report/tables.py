"""A summary -> the tables, tiles and warnings of its report."""
from __future__ import annotations

import shlex

from rsgmamba_ros.evaluation.fault_injection import FaultObservation
from rsgmamba_ros.replay.report.page import Cell, CountsPart, TablePart, Tile
from rsgmamba_ros.replay.report.schema import Summary

_NOTHING = 'Nothing that lasted three images.'
#: An availability below this is marked.
_LOW_AVAILABILITY = 0.9


def warnings(summary: Summary) -> list[str]:
    """Everything that limits what the report says, a sentence each."""
    bag = summary['bag']
    lines = list(bag['damage'])
    if not summary['complete']:
        lines.insert(0, f'This report is partial: {summary["ended_by"]} at {summary["ended_at_s"]:.1f} s of '
                        f'{bag["duration_s"]:.1f} s.')
    lines += [f'{count} skipped: {cause}' for cause, count in summary['skipped'].items()]
    lines += [f'{count} bundles without segmentation: {cause}' for cause, count in summary['failures'].items()]
    # What only some bundles have is a fault of a sensor, and an episode; what most have is a setting.
    lines += [f'{text} ({count} bundles)' for text, count in summary['advice'].items()
              if 2 * count > summary['segmented']]
    unlabelled = summary['score']['unlabelled'] if summary['score'] else {}
    return lines + [f'{count} bundles not scored: {cause}' for cause, count in unlabelled.items()]


def tiles(summary: Summary) -> list[Tile]:
    """The figures at the top."""
    found = []
    if summary['miou'] is not None:
        found.append(Tile(f'{summary["miou"]:.3f}', 'mIoU'))
    found.append(Tile(f'{summary["missed"]}', f'missed of {summary["expected"]} leading images', summary['missed'] > 0))
    for name, modality in summary['modalities'].items():
        availability, reliability = modality['availability'], modality['reliability']['mean']
        if availability is not None:
            found.append(Tile(f'{100 * availability:.1f} %', f'{name} available', availability < _LOW_AVAILABILITY))
        if reliability is not None:
            found.append(Tile(f'{reliability:.2f}', f'{name} mean reliability'))
    for spread, text in ((summary['wait_ms'], 'wait for partners, p95'),
                         (summary['network_ms'], 'network on this machine, p95')):
        if spread['p95'] is not None:
            found.append(Tile(f'{spread["p95"]:.0f} ms', text))
    return found


def episodes_table(summary: Summary) -> TablePart:
    """From when to when a modality failed, and how."""
    rows = [(episode['modality'], episode['kind'], _seconds(episode['start_s']), _seconds(episode['end_s']),
             _seconds(None if episode['end_s'] is None else episode['end_s'] - episode['start_s'], '-'),
             episode['detail'])
            for episode in summary['episodes']]
    return TablePart('What went wrong, and when',
                     'Silent: no image arrived. Missing, late, stale: the presence in the bundles. Delivery: images '
                     'came later or earlier, relative to their stamps, than usual, because of a delay or a wrong '
                     'clock. Unreliable: less than half of the usual reliability.',
                     ('modality', 'what', 'start', 'end', 'length', ''), rows, _NOTHING)


def faults_table(summary: Summary) -> TablePart | None:
    """The injected faults, and the episodes that show them; None without faults."""
    rows = [(fault['fault'], fault['images'], _seconds(fault['first_s'], '-'), _seconds(fault['last_s'], '-'),
             _seen(fault, summary)) for fault in summary['faults']]
    return TablePart('Injected faults',
                     f'Injected with seed {summary["seed"]}. Seen as: the episodes of the same sensor that start at '
                     'the same time, to within two images.',
                     ('fault', 'images hit', 'first', 'last', 'seen as'), rows) if rows else None


def health_table(summary: Summary) -> TablePart | None:
    """The findings of the health monitor; None without findings."""
    rows = [(finding['source'], finding['level'], finding['text'], _seconds(finding['first_s']),
             _seconds(finding['last_s']), finding['count']) for finding in summary['health']['findings']]
    return TablePart('Findings of the health monitor',
                     "Checked once a second over the last five seconds, as on the node's /diagnostics.",
                     ('source', 'level', '', 'first', 'last', 'times'), rows) if rows else None


def modalities_table(summary: Summary) -> TablePart:
    """Counts and figures of each modality."""
    rows: list[tuple[Cell, ...]] = []
    for name, modality in summary['modalities'].items():
        presence, reliability = modality['presence'], modality['reliability']
        rows.append((name, modality['images'], _figure(modality['rate_hz'], 1), presence['present'], presence['late'],
                     presence['missing'], presence['stale'], modality['between'], modality['used'],
                     _figure(reliability['mean'], 2), _figure(reliability['p5'], 2),
                     _figure(modality['skew_ms']['p95'], 1), len(modality['dropouts'])))
    return TablePart('Modalities', 'Reliability is over the bundles in which the modality was used. Between images: '
                     'late or missing only because the stream is slower than the bundles.',
                     ('modality', 'images', 'Hz', 'present', 'late', 'missing', 'stale', 'between images', 'used',
                      'reliability', '... p5', 'skew p95, ms', 'dropouts'), rows)


def decisions_table(summary: Summary) -> CountsPart | None:
    """The counters of the synchroniser; None without any."""
    return CountsPart('Decisions of the synchroniser', 'Bundles by the presence of each sensor and by leader; dropped '
                      'images by cause.', sorted(summary['synchroniser'].items())) if summary['synchroniser'] else None


def provenance_table(summary: Summary) -> TablePart:
    """What the results were made of, and on."""
    bag, network, performance = summary['bag'], summary['checkpoint'], summary['performance']
    topics = ', '.join(f'{topic["name"]} ({topic["shows"]}, {topic["count"]})' for topic in bag['topics'])
    rows = [('bag', f'{bag["name"]}, fingerprint {bag["fingerprint"]}'), ('topics', topics)]
    if network:
        rows.append(('weights', f'{network["name"]}, SHA-256 {network["sha256"]}'))
    rows += [('configuration', f'SHA-256 {summary["config_sha256"]}'), ('command', shlex.join(summary['command'])),
             ('machine', ', '.join(f'{key} {value}' for key, value in summary['machine'].items())),
             ('software', ', '.join(f'{key} {value}' for key, value in summary['software'].items())),
             ('speed', f'{performance["wall_s"]:.1f} s, {performance["realtime_factor"]:.2f} times real time')]
    return TablePart('Made of', '', ('', ''), rows)


def _seen(fault: FaultObservation, summary: Summary) -> str:
    modality = summary['modalities'].get(fault['modality'])
    rate_hz = modality['rate_hz'] if modality else None
    tolerance_s = 2 / rate_hz + 1e-3 if rate_hz else 0.1
    found = [f'{episode["kind"]} {_seconds(episode["start_s"])} to {_seconds(episode["end_s"])}'
             for episode in summary['episodes'] if episode['modality'] == fault['modality']
             and abs(episode['start_s'] - fault['start_s']) <= tolerance_s]
    return '; '.join(found) or _NOTHING[0].lower() + _NOTHING[1:-1]


def _seconds(value: float | None, missing: str = 'end') -> str:
    return missing if value is None else f'{value:.2f} s'


def _figure(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'
