"""The contents of a health report, for diagnostics and summaries."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum


class HealthLevel(IntEnum):
    """How bad it is; the values are those of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Dropout:
    """A time without an image of a modality that had been coming.

    Attributes:
        start_ns: arrival of the last image before it.
        length_s: until the next image came; until the report if `ongoing`.
    """

    start_ns: int
    length_s: float
    ongoing: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know.

    Attributes:
        source: a modality's name, `output` or `synchroniser`.
        kind: `never_received` or `lost_on_the_way`, to which a node has more to say; else empty.
    """

    level: HealthLevel
    source: str
    text: str
    kind: str = ''


@dataclass(frozen=True)
class InputHealth:
    """One modality.

    Attributes:
        images: arrived since the start.
        rate_hz: in the window.
        learned_rate_hz: the rate of its stamps, or the usual rate of arrivals in the last minute if that is higher;
            None before either can be told.
        age_s: since the newest image; None if none ever came.
        dropouts: newest last, bounded; `dropout_count` counts all.
        presence: share of the window's bundles by presence.
        reliability: mean over the window's results that used it; None if none did.
        advice: which parameter to set, by the last result of the window; empty as a rule.
    """

    images: int
    rate_hz: float
    learned_rate_hz: float | None
    age_s: float | None
    dropout_count: int
    dropouts: tuple[Dropout, ...]
    presence: Mapping[str, float]
    reliability: float | None
    advice: str = ''


@dataclass(frozen=True)
class HealthReport:
    """The state at one time. `level` is the worst of the findings'.

    Attributes:
        inputs: by the modality's name.
        output_rate_hz: results in the window.
        latency_ms: p50, p95 and max of result time minus stamp in the window; empty without results.
        drops: since the start, by cause.
    """

    level: HealthLevel
    findings: tuple[Finding, ...]
    inputs: Mapping[str, InputHealth]
    bundles: int
    results: int
    output_rate_hz: float
    latency_ms: Mapping[str, float]
    drops: Mapping[str, int]

    @property
    def summary(self) -> str:
        """One line for people: the findings of the worst level, or that all is well."""
        worst = [f'{finding.source}: {finding.text}' for finding in self.findings if finding.level == self.level]
        return '; '.join(worst) if worst else f'{self.output_rate_hz:.1f} results a second'

    def as_json(self) -> dict[str, object]:
        """Plain values for `json.dumps`."""
        findings = [{'level': finding.level.name, 'source': finding.source, 'text': finding.text}
                    for finding in self.findings]
        return {**asdict(self), 'level': self.level.name, 'findings': findings}
