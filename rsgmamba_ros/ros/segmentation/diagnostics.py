"""Events of the node -> health monitor -> /diagnostics and the log."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import re
from threading import Lock

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from rsgmamba_ros.pipeline.monitoring.health import CHECK_TOPIC, HealthMonitor
from rsgmamba_ros.pipeline.monitoring.health_report import Finding, HealthLevel, HealthReport, InputHealth
from rsgmamba_ros.ros.segmentation.throttled_log import ThrottledLog
from rsgmamba_ros.vocabulary.images import Doubt, ImageBundle, Modality
from rsgmamba_ros.vocabulary.segmentation import Segmentation

#: diagnostic_updater's queue length.
_DEPTH = 10

#: Findings are not logged in this time after activation: a camera that is started with the node takes a moment.
_START_UP_S = 5.0

#: Message of a node that takes no images yet, or no more.
_INACTIVE = 'inactive: activate the node'


class Diagnostics:
    """Counts events and publishes the health report once a period. May be called from every thread.

    Args:
        modalities: every configured input.
        counters: the synchroniser's running counters.
        period_s: between two messages, by a steady clock: they must not stop where the simulated time does.
    """

    def __init__(self, node: Node, modalities: tuple[Modality, ...], counters: Mapping[str, int], *, period_s: float):
        self._node = node
        self._clock = node.get_clock()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._errors = ThrottledLog(self._write_error)
        self._warnings = ThrottledLog(self._write_warning, period_s=30.0)
        self._health = HealthMonitor(modalities)
        self._counters = counters
        self._mismatches: dict[Modality, str] = {}
        self._wrong_type: Callable[[Modality], str] = lambda modality: ''
        #: The sensor profile in use, or how to get one; empty if the network takes none.
        self.sensor_profile = ''
        self._lock = Lock()
        self._active_since_ns: int | None = None
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', _DEPTH)
        self._timer = node.create_timer(period_s, self._publish, clock=self._steady)

    def activate(self) -> None:
        """Expect images from now on."""
        self.reset()
        self._active_since_ns = self._steady.now().nanoseconds

    def deactivate(self) -> None:
        """Expect no more images."""
        self._active_since_ns = None

    def destroy(self) -> None:
        """Destroy timer and publisher."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def arrived(self, modality: Modality, *, stamp_ns: int) -> None:
        """Count an image that arrived, used or not."""
        with self._lock:
            self._health.image_arrived(modality, stamp_ns=stamp_ns, now_ns=self._now_ns())

    def bundled(self, bundle: ImageBundle) -> None:
        """Count a bundle."""
        with self._lock:
            self._health.bundle_released(bundle)

    def segmented(self, segmentation: Segmentation) -> None:
        """Count a result, and log what it reports: faults as errors, doubts as warnings."""
        with self._lock:
            self._health.segmented(segmentation, now_ns=self._now_ns())
        for report in segmentation.reports:
            if isinstance(report, Doubt):
                self._report_warning(_kind(report), report)
            else:
                self._report_error(_kind(report), report)

    def dropped(self, cause: str, count: int = 1) -> None:
        """Count losses under a cause such as `bundle.drop.superseded`."""
        if count:
            with self._lock:
                self._health.image_dropped(cause, now_ns=self._now_ns(), count=count)

    def failed(self, cause: str, message: str) -> None:
        """Count one loss and log the reason."""
        self.dropped(cause)
        self._report_error(cause, message)

    def mismatched(self, modality: Modality, message: str) -> None:
        """Remember that a publisher has incompatible QoS or another type, and log it."""
        self._mismatches[modality] = message
        self._report_error(f'{modality}.qos', message)

    def watch_types(self, wrong_type: Callable[[Modality], str]) -> None:
        """Ask this, of a modality that never came, what is wrong with the type of its topic; empty if nothing is."""
        self._wrong_type = wrong_type

    def reset(self) -> None:
        """Forget rates and dropouts, as after a jump back in time."""
        with self._lock:
            self._health.reset()

    def _now_ns(self) -> int:
        return self._clock.now().nanoseconds

    # Two methods, because rclpy allows one severity for each line of code.

    def _write_error(self, line: str) -> None:
        self._node.get_logger().error(line)

    def _write_warning(self, line: str) -> None:
        self._node.get_logger().warning(line)

    def _report_error(self, key: str, message: str) -> None:
        with self._lock:
            self._errors.report(key, message, now_ns=self._steady.now().nanoseconds)

    def _report_warning(self, key: str, message: str) -> None:
        with self._lock:
            self._warnings.report(key, message, now_ns=self._steady.now().nanoseconds)

    def _publish(self) -> None:
        now_ns, since_ns = self._now_ns(), self._active_since_ns
        name = self._node.get_fully_qualified_name().lstrip('/')
        with self._lock:
            self._health.synchroniser_counted(self._counters, now_ns=now_ns)
            report = self._health.report(now_ns)
        if since_ns is not None:
            for source, health in report.inputs.items():
                if health.age_s is None and (text := self._wrong_type(Modality(source))):
                    self.mismatched(Modality(source), text)
            with self._lock:
                self._log(report, self._steady.now().nanoseconds, since_ns)
        found = statuses(report, dict(self._mismatches), sensor_profile=self.sensor_profile, name=name)
        if since_ns is None:
            for status in found:
                status.level, status.message = DiagnosticStatus.OK, _INACTIVE
        message = DiagnosticArray(status=found)
        message.header.stamp = self._clock.now().to_msg()
        self._publisher.publish(message)

    def _log(self, report: HealthReport, steady_ns: int, since_ns: int) -> None:
        if steady_ns - since_ns < _START_UP_S * 1e9:
            return
        for finding in report.findings:
            known = finding.text.endswith(CHECK_TOPIC) and finding.source in self._mismatches
            # The first result that had a finding of the synchroniser was logged already.
            if finding.source != 'synchroniser' and not known:
                line = f'{finding.source}: {finding.text}'
                self._warnings.report(_kind(line), line, now_ns=steady_ns)


def statuses(report: HealthReport, mismatches: Mapping[Modality, str], *, name: str,
             sensor_profile: str = '') -> list[DiagnosticStatus]:
    """Turn a report into one status for each input, one for the synchroniser and one for the output.

    Args:
        mismatches: a message for each modality that has a publisher of incompatible QoS or type.
        name: of the node.
        sensor_profile: see `Diagnostics.sensor_profile`.
    """
    found = [finding for finding in report.findings
             if not (finding.text.endswith(CHECK_TOPIC) and finding.source in mismatches)]
    found += [Finding(HealthLevel.ERROR, str(modality), text) for modality, text in mismatches.items()
              if report.inputs[str(modality)].age_s is None]
    values = {source: _input_values(health) for source, health in report.inputs.items()}
    values['synchroniser'] = {'bundles': report.bundles, **report.drops}
    values['output'] = {'results': report.results, 'rate_hz': f'{report.output_rate_hz:.2f}',
                        **{f'latency_{rank}_ms': f'{value:.1f}' for rank, value in report.latency_ms.items()}}
    if sensor_profile:
        values['output']['sensor_profile'] = sensor_profile
    return [_status(f'{name}: {source}', [one for one in found if one.source == source], entries)
            for source, entries in values.items()]


def _status(name: str, findings: Iterable[Finding], values: Mapping[str, object]) -> DiagnosticStatus:
    ordered = sorted(findings, key=lambda finding: -finding.level)
    level = ordered[0].level if ordered else HealthLevel.OK
    return DiagnosticStatus(level=bytes([level]), name=name, hardware_id='rsgmamba_ros',
                            message='; '.join(finding.text for finding in ordered) or 'well',
                            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])


def _input_values(health: InputHealth) -> dict[str, object]:
    values = {'images': health.images, 'rate_hz': f'{health.rate_hz:.2f}', 'dropouts': health.dropout_count}
    optional = {'learned_rate_hz': health.learned_rate_hz, 'age_s': health.age_s, 'reliability': health.reliability}
    values |= {key: f'{value:.3f}' for key, value in optional.items() if value is not None}
    if health.dropouts:
        values['last_dropout_s'] = f'{health.dropouts[-1].length_s:.2f}'
    return values | {f'share_{presence}': f'{share:.3f}' for presence, share in health.presence.items()}


def _kind(text: str) -> str:
    """The text without its figures, so that lines which differ in figures only are throttled together."""
    return re.sub(r'[\d.]+', '#', text)
