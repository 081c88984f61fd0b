"""Events of the node -> health monitor -> /diagnostics and the log."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
import re
from threading import Lock

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from rsgmamba_ros.pipeline.monitoring.health import HealthMonitor
from rsgmamba_ros.pipeline.monitoring.health_report import Finding, HealthLevel, HealthReport, InputHealth
from rsgmamba_ros.ros.segmentation.graph import twin_problem
from rsgmamba_ros.ros.segmentation.subscriptions import InputSubscription
from rsgmamba_ros.ros.segmentation.throttled_log import ThrottledLog
from rsgmamba_ros.ros.transport import loss_remedy
from rsgmamba_ros.vocabulary.images import Doubt, ImageBundle, Modality
from rsgmamba_ros.vocabulary.segmentation import Segmentation

#: diagnostic_updater's queue length.
_DEPTH = 10

#: Findings are not logged in this time after activation: a camera that is started with the node takes a moment.
_START_UP_S = 5.0

#: What is no camera has the package as its hardware.
_HARDWARE = 'rsgmamba_ros'

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
        self._inputs: Mapping[Modality, InputSubscription] = {}
        self._told_of_losses = False
        self._output_topic = node.resolve_topic_name('segmentation')
        self._hardware = {str(modality): node.resolve_topic_name(f'{modality}/image') for modality in modalities}
        #: The sensor profile in use, or how to get one; empty if the network takes none.
        self.sensor_profile = ''
        self._lock = Lock()
        self._active_since_ns: int | None = None
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', _DEPTH)
        self._timer = node.create_timer(period_s, self._publish, clock=self._steady)

    def activate(self, inputs: Mapping[Modality, InputSubscription]) -> None:
        """Expect images from now on."""
        self.reset()
        self._inputs = inputs
        self._active_since_ns = self._steady.now().nanoseconds

    def deactivate(self) -> None:
        """Expect no more images."""
        self._active_since_ns = None
        self._inputs = {}

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
        findings = self._explained(report.findings)
        if since_ns is not None:
            with self._lock:
                self._log(findings, self._steady.now().nanoseconds, since_ns)
        found = statuses(report, findings, sensor_profile=self.sensor_profile, name=name, hardware=self._hardware)
        if since_ns is None:
            for status in found:
                status.level, status.message = DiagnosticStatus.OK, _INACTIVE
        message = DiagnosticArray(status=found)
        message.header.stamp = self._clock.now().to_msg()
        self._publisher.publish(message)

    def _explained(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings of a report with what the ROS graph tells: why nothing comes, and whether there is a twin."""
        explained = []
        for finding in findings:
            explained.append(self._why_silent(finding) if finding.kind == 'never_received' else finding)
        twin = twin_problem(self._node, self._output_topic)
        return [*explained, Finding(HealthLevel.ERROR, 'output', twin)] if twin else explained

    def _why_silent(self, finding: Finding) -> Finding:
        modality = Modality(finding.source)
        if modality in self._mismatches:
            return replace(finding, level=HealthLevel.ERROR, text=self._mismatches[modality])
        if modality not in self._inputs:
            return finding
        topic = self._inputs[modality]
        problem = topic.type_problem()
        if problem:
            self._report_error(f'{modality}.type', problem)
            return replace(finding, level=HealthLevel.ERROR, text=problem)
        return replace(finding, text=topic.silence_reason())

    def _log(self, findings: Iterable[Finding], steady_ns: int, since_ns: int) -> None:
        if steady_ns - since_ns < _START_UP_S * 1e9:
            return
        for finding in findings:
            if finding.kind == 'lost_on_the_way' and not self._told_of_losses:
                self._told_of_losses = True
                self._write_warning(f'{finding.source}: {finding.text}; {loss_remedy()}')
                continue
            # These were logged already: by the first result that had the finding, or when it was found.
            if finding.source != 'synchroniser' and not (finding.kind and finding.level is HealthLevel.ERROR):
                line = f'{finding.source}: {finding.text}'
                self._warnings.report(_kind(line), line, now_ns=steady_ns)


class FailureDiagnostics:
    """Publishes once a second why a transition failed, as long as it is not destroyed."""

    def __init__(self, node: Node, text: str):
        self.text = text
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', _DEPTH)
        self._timer = node.create_timer(1.0, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy(self) -> None:
        """Destroy timer and publisher."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        name = f'{self._node.get_fully_qualified_name().lstrip("/")}: lifecycle'
        status = DiagnosticStatus(level=DiagnosticStatus.ERROR, name=name, hardware_id=_HARDWARE, message=self.text)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def statuses(report: HealthReport, findings: Iterable[Finding], *, name: str, hardware: Mapping[str, str],
             sensor_profile: str = '') -> list[DiagnosticStatus]:
    """Turn a report into one status for each input, one for the synchroniser and one for the output.

    Args:
        findings: of the report, explained.
        name: of the node.
        hardware: topic of each input, which names its camera.
        sensor_profile: see `Diagnostics.sensor_profile`.
    """
    found = list(findings)
    values = {source: _input_values(health) for source, health in report.inputs.items()}
    values['synchroniser'] = {'bundles': report.bundles, **report.drops}
    values['output'] = {'results': report.results, 'rate_hz': f'{report.output_rate_hz:.2f}',
                        **{f'latency_{rank}_ms': f'{value:.1f}' for rank, value in report.latency_ms.items()}}
    if sensor_profile:
        values['output']['sensor_profile'] = sensor_profile
    return [_status(f'{name}: {source}', [one for one in found if one.source == source], entries,
                    hardware.get(source, _HARDWARE))
            for source, entries in values.items()]


def _status(name: str, findings: Iterable[Finding], values: Mapping[str, object],
            hardware_id: str) -> DiagnosticStatus:
    ordered = sorted(findings, key=lambda finding: -finding.level)
    level = ordered[0].level if ordered else HealthLevel.OK
    return DiagnosticStatus(level=bytes([level]), name=name, hardware_id=hardware_id,
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
