"""The node's health monitor over a replay, asked for a report once a second of bag time."""
from __future__ import annotations

from collections.abc import Callable, Mapping
import re

from rsgmamba_ros.evaluation.fault_injection import Image
from rsgmamba_ros.pipeline.monitoring.health import HealthMonitor
from rsgmamba_ros.pipeline.monitoring.health_report import Finding, HealthLevel, HealthReport
from rsgmamba_ros.replay.offline import Observer, ReplayedBundle
from rsgmamba_ros.replay.report.schema import FindingSummary, HealthSummary
from rsgmamba_ros.vocabulary.images import Modality

_PERIOD_NS = 1_000_000_000


class ReplayHealth(Observer):
    """Feeds the monitor and notes from when to when it found what.

    Args:
        counters: the synchroniser's running counters.
        has_results: whether there is a network; without, that there are no results is no finding.
        publish: called with every report and its time, nanoseconds.
    """

    def __init__(self, modalities: tuple[Modality, ...], counters: Mapping[str, int], *, start_ns: int,
                 has_results: bool, publish: Callable[[HealthReport, int], None] = lambda report, now_ns: None):
        self._monitor = HealthMonitor(modalities, never='the bag has no image of it that can be read')
        self._counters = counters
        self._start_ns = start_ns
        self._has_results = has_results
        self._publish = publish
        self._due_ns = start_ns + _PERIOD_NS
        self._level = HealthLevel.OK
        self._findings: dict[tuple[str, str], FindingSummary] = {}

    def arrived(self, image: Image) -> None:
        """Count an image; ask for a report if a second has passed."""
        self._monitor.image_arrived(image.modality, stamp_ns=image.stamp_ns, now_ns=image.received_ns)
        if image.received_ns >= self._due_ns:
            self._report(image.received_ns)
            self._due_ns = max(self._due_ns + _PERIOD_NS, image.received_ns)

    def segmented(self, result: ReplayedBundle) -> None:
        """Count a bundle and its result, both at the bundle's release: a replay's network takes no bag time."""
        self._monitor.bundle_released(result.bundle)
        if result.segmentation is not None:
            self._monitor.segmented(result.segmentation, now_ns=result.bundle.released_ns)

    def as_json(self) -> HealthSummary:
        """The worst level, and each finding with its first and last second."""
        findings = sorted(self._findings.values(), key=lambda item: item['first_s'])
        return {'level': self._level.name, 'findings': findings}

    def _report(self, now_ns: int) -> None:
        self._monitor.synchroniser_counted(self._counters, now_ns=now_ns)
        report = self._monitor.report(now_ns)
        self._publish(report, now_ns)
        time_s = round((now_ns - self._start_ns) / 1e9, 1)
        for finding in report.findings:
            if self._has_results or finding.source != 'output':
                self._level = max(self._level, finding.level)
                self._note(finding, time_s)

    def _note(self, finding: Finding, time_s: float) -> None:
        # The same finding with other figures is the same finding.
        key = finding.source, re.sub(r'[\d.]+', '#', finding.text)
        entry = self._findings.setdefault(key, {
            'source': finding.source, 'level': finding.level.name, 'text': finding.text, 'first_s': time_s,
            'last_s': time_s, 'count': 0})
        entry['last_s'], entry['count'] = time_s, entry['count'] + 1
