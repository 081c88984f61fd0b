"""Arrivals, drops, bundles and results -> a health report: what a person must know of a running pipeline.

Pure: time is an argument, on the clock of the arrivals. The node turns a report into diagnostics, a replay into
its summary.
"""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
import statistics
from typing import TypeVar

from rsgmamba_ros.pipeline.monitoring.health_report import Dropout, Finding, HealthLevel, HealthReport, InputHealth
from rsgmamba_ros.pipeline.synchronisation.stream_clock import NS_PER_S, PACE_LIMITS, StreamClock
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import ImageBundle, Modality
from rsgmamba_ros.vocabulary.segmentation import Segmentation

__all__ = ['Dropout', 'Finding', 'HealthConfig', 'HealthLevel', 'HealthMonitor', 'HealthReport', 'InputHealth']

Value = TypeVar('Value')

#: Dropouts and values that are kept; older ones are only counted.
KEPT_DROPOUTS = 100
KEPT_VALUES = 3000

#: Rates, one a window, of which the median is the usual one: the last minute.
KEPT_RATES = 12

#: Drops that are no loss: images that no leading image needed (an auxiliary that is faster than the leader).
HARMLESS_DROPS = ('.drop.unused', '.drop.reset')

#: What to do about a live topic from which nothing ever came.
CHECK_TOPIC = 'check the name of the topic and its QoS'


@dataclass(frozen=True)
class HealthConfig:
    """Where health ends.

    Attributes:
        window_s: rates, latencies, reliabilities and drops are measured over this time.
        max_latency_s: p95 of the latency (end of the result minus stamp) above which a warning is given.
        min_rate_fraction: share of a stream's learned rate below which images are being lost on the way.
        max_drop_fraction: share of the arrived images that may be dropped.
        min_reliability: mean reliability of a modality, while it is used, below which a warning is given.
        max_silence_s: time without a result, while images arrive, that is an error.
    """

    window_s: float = 5.0
    max_latency_s: float = 0.5
    min_rate_fraction: float = 0.7
    max_drop_fraction: float = 0.05
    min_reliability: float = 0.3
    max_silence_s: float = 2.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < 1e6:
                raise ConfigError(f'{name} is {value!r}; it must be 0 or more')
        if not self.window_s:
            raise ConfigError('window_s is 0; it must be above 0')


class HealthMonitor:
    """Collects what happens, in bounded memory, and reports on it when asked.

    Args:
        modalities: every configured input; one that never arrives is a finding.
        never: what to say of that input, in a few words.
    """

    def __init__(self, modalities: tuple[Modality, ...], config: HealthConfig | None = None, *,
                 never: str = CHECK_TOPIC) -> None:
        self._never = never
        self.config = config or HealthConfig()
        self._window_ns = round(self.config.window_s * NS_PER_S)
        self._modalities = modalities
        self._drops: Counter[str] = Counter()
        self._recent_drops: deque[tuple[int, tuple[str, int]]] = deque(maxlen=KEPT_VALUES)
        self._counted: dict[str, int] = {}
        self._bundles = self._results = 0
        self.reset()

    def reset(self) -> None:
        """Forget rates and dropouts, for time that jumped; the counts since the start stay."""
        self._started_ns: int | None = None
        self._inputs = {modality: _Input() for modality in self._modalities}
        self._latencies_s: deque[tuple[int, float]] = deque(maxlen=KEPT_VALUES)
        self._results_ns: deque[tuple[int, None]] = deque(maxlen=KEPT_VALUES)
        self._bundles_ns: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=KEPT_VALUES)
        self._recent_drops.clear()

    def image_arrived(self, modality: Modality, *, stamp_ns: int, now_ns: int) -> None:
        """Count an image that a sensor sent, whatever becomes of it."""
        self._start(now_ns)
        self._inputs[modality].arrive(stamp_ns, now_ns)

    def image_dropped(self, cause: str, *, now_ns: int, count: int = 1) -> None:
        """Count images that were not used, for example `depth.drop.undecodable`."""
        self._start(now_ns)
        self._drops[cause] += count
        self._recent_drops.append((now_ns, (cause, count)))

    def synchroniser_counted(self, counters: Mapping[str, int], *, now_ns: int) -> None:
        """Take over the drops of the synchroniser's running counters; what was taken before is not taken twice."""
        for name, total in counters.items():
            before = self._counted.get(name, 0)
            if '.drop.' in name and total > before:
                self.image_dropped(name, now_ns=now_ns, count=total - before)
                self._counted[name] = total

    def bundle_released(self, bundle: ImageBundle) -> None:
        """Count a bundle, its presences, and the reports that it carries."""
        self._start(bundle.released_ns)
        self._bundles += 1
        self._bundles_ns.append((bundle.released_ns, bundle.reports))
        for modality, slot in bundle.slots.items():
            self._inputs[modality].presences.append((bundle.released_ns, str(slot.presence)))

    def segmented(self, segmentation: Segmentation, *, now_ns: int) -> None:
        """Count a result, its latency against its stamp, and its reliabilities."""
        self._start(now_ns)
        self._results += 1
        self._results_ns.append((now_ns, None))
        if segmentation.stamp_ns:
            self._latencies_s.append((now_ns, (now_ns - segmentation.stamp_ns) / NS_PER_S))
        for modality, reliability in segmentation.reliability.items():
            if modality not in self._inputs:
                continue  # the network knows it, but no topic brings it
            self._inputs[modality].advice = now_ns, reliability.advice
            if reliability.used:
                self._inputs[modality].reliabilities.append((now_ns, reliability.reliability))

    def report(self, now_ns: int) -> HealthReport:
        """Report on the window that ends now."""
        started_ns = self._start(now_ns)
        since = now_ns - self._window_ns
        seconds = max(min(self._window_ns, now_ns - started_ns), 1) / NS_PER_S
        inputs = {str(modality): one.health(now_ns, self._window_ns, seconds)
                  for modality, one in self._inputs.items()}
        latencies = _since(self._latencies_s, since)
        rate = len(_since(self._results_ns, since)) / seconds
        findings = [finding for name, one in inputs.items() for finding in self._check_input(name, one, since)]
        findings += self._check_output(now_ns, inputs, latencies)
        findings += self._check_drops(since, inputs)
        findings += [Finding(HealthLevel.WARN, 'synchroniser', text) for text in self._reports(since)]
        level = max((finding.level for finding in findings), default=HealthLevel.OK)
        return HealthReport(level, tuple(findings), inputs, self._bundles, self._results, rate, _latency_ms(latencies),
                            dict(self._drops))

    def _start(self, now_ns: int) -> int:
        """The time of the first event, which may be this one."""
        if self._started_ns is None:
            self._started_ns = now_ns
        return self._started_ns

    def _check_input(self, name: str, health: InputHealth, since_ns: int) -> list[Finding]:
        if health.age_s is None:
            return [Finding(HealthLevel.WARN, name, f'never received: {self._never}', 'never_received')]
        if health.dropouts and health.dropouts[-1].ongoing:
            return [Finding(HealthLevel.WARN, name, f'stopped {health.age_s:.1f} s ago')]
        findings = []
        learned = health.learned_rate_hz
        back_ns = health.dropouts[-1].start_ns + health.dropouts[-1].length_s * NS_PER_S if health.dropouts else 0
        if learned and back_ns < since_ns and health.rate_hz < self.config.min_rate_fraction * learned:
            findings.append(Finding(HealthLevel.WARN, name, (
                f'arrives at {100 * health.rate_hz / learned:.0f} % of its rate ({health.rate_hz:.1f} of '
                f'{learned:.1f} Hz): images are lost on the way'), 'lost_on_the_way'))
        if health.advice:
            findings.append(Finding(HealthLevel.WARN, name, health.advice))
        if health.reliability is not None and health.reliability < self.config.min_reliability:
            findings.append(Finding(HealthLevel.WARN, name, f'reliability is {health.reliability:.2f}'))
        return findings

    def _check_output(self, now_ns: int, inputs: Mapping[str, InputHealth],
                      latencies: list[float]) -> list[Finding]:
        alive = [one for one in inputs.values()
                 if one.age_s is not None and not (one.dropouts and one.dropouts[-1].ongoing)]
        if not alive:
            return [Finding(HealthLevel.ERROR, 'output', 'no image arrives from any sensor')]
        findings = []
        last = self._results_ns[-1][0] if self._results_ns else self._start(now_ns)
        silence = (now_ns - last) / NS_PER_S
        if silence > self.config.max_silence_s:
            findings.append(Finding(HealthLevel.ERROR, 'output', f'no result for {silence:.1f} s while images arrive'))
        if latencies and _latency_ms(latencies)['p95'] > 1000 * self.config.max_latency_s:
            findings.append(Finding(HealthLevel.WARN, 'output', (
                f'latency is {_latency_ms(latencies)["p95"] / 1000:.2f} s (p95): a backlog, or clocks that differ '
                'between machines')))
        half = len(latencies) // 2
        if half >= 10 and statistics.median(latencies[half:]) - statistics.median(latencies[:half]) > 0.1:
            findings.append(Finding(HealthLevel.WARN, 'output', 'latency grows: images queue up on the way'))
        return findings

    def _check_drops(self, since_ns: int, inputs: Mapping[str, InputHealth]) -> list[Finding]:
        arrived = sum(one.rate_hz for one in inputs.values()) * self.config.window_s
        drops: Counter[str] = Counter()
        for cause, count in _since(self._recent_drops, since_ns):
            if not cause.endswith(HARMLESS_DROPS):
                drops[cause] += count
        if sum(drops.values()) <= self.config.max_drop_fraction * arrived:
            return []
        causes = ', '.join(f'{cause} {count}' for cause, count in drops.most_common())
        return [Finding(HealthLevel.WARN, 'synchroniser', f'images dropped in {self.config.window_s:g} s: {causes}')]

    def _reports(self, since_ns: int) -> tuple[str, ...]:
        bundles = _since(self._bundles_ns, since_ns)
        return tuple(dict.fromkeys(bundles[-1])) if bundles else ()


class _Input:
    """What is kept of one modality."""

    def __init__(self) -> None:
        self.clock = StreamClock()
        self.images = 0
        self.advice = (0, '')  #: of the newest result: its time and which parameter to set
        self.dropout_count = 0
        self.dropouts: deque[Dropout] = deque(maxlen=KEPT_DROPOUTS)
        self.arrivals: deque[tuple[int, None]] = deque(maxlen=KEPT_VALUES)
        self.presences: deque[tuple[int, str]] = deque(maxlen=KEPT_VALUES)
        self.reliabilities: deque[tuple[int, float]] = deque(maxlen=KEPT_VALUES)
        self._rates_hz: deque[tuple[int, float]] = deque(maxlen=KEPT_RATES)

    def arrive(self, stamp_ns: int, now_ns: int) -> None:
        last = self.clock.last_received_ns
        if last is not None and self.clock.is_dead(now_ns):
            self.dropout_count += 1
            self.dropouts.append(Dropout(last, (now_ns - last) / NS_PER_S))
        self.clock.observe(stamp_ns, now_ns)
        self.images += 1
        self.arrivals.append((now_ns, None))

    def health(self, now_ns: int, window_ns: int, seconds: float) -> InputHealth:
        last, silence = self.clock.last_received_ns, self.clock.silence_ns(now_ns)
        dropouts, count = tuple(self.dropouts), self.dropout_count
        if last is not None and silence is not None and self.clock.is_dead(now_ns):
            dropouts += (Dropout(last, silence / NS_PER_S, ongoing=True),)
            count += 1
        since_ns = now_ns - window_ns
        presences = Counter(_since(self.presences, since_ns))
        reliabilities = _since(self.reliabilities, since_ns)
        rate_hz = len(_since(self.arrivals, since_ns)) / seconds
        return InputHealth(
            self.images, rate_hz, self._learned_rate_hz(rate_hz, now_ns, window_ns),
            None if silence is None else silence / NS_PER_S, count, dropouts,
            {presence: number / presences.total() for presence, number in presences.items()},
            statistics.fmean(reliabilities) if reliabilities else None,
            self.advice[1] if self.advice[0] > since_ns else '')

    def _learned_rate_hz(self, rate_hz: float, now_ns: int, window_ns: int) -> float | None:
        if not self._rates_hz or now_ns - self._rates_hz[-1][0] >= window_ns:
            self._rates_hz.append((now_ns, rate_hz))
        usual = [rate for _, rate in self._rates_hz if rate > 0]
        rates = [statistics.median(usual)] if len(usual) > 2 else []
        if self.clock.shortest_period_ns:
            # A simulation at half speed delivers its stamps at half their rate, and loses none.
            pace = self.clock.observed_pace
            rates.append(NS_PER_S / self.clock.shortest_period_ns * (pace if pace < PACE_LIMITS[0] else 1))
        return max(rates, default=None)


def _since(values: deque[tuple[int, Value]], since_ns: int) -> list[Value]:
    """The values later than `since_ns`; the earlier ones are dropped."""
    while values and values[0][0] <= since_ns:
        values.popleft()
    return [value for _, value in values]


def _latency_ms(latencies_s: list[float]) -> dict[str, float]:
    if not latencies_s:
        return {}
    ordered = sorted(latencies_s)
    def rank(share: float) -> float:
        return 1000 * ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
    return {'p50': rank(0.5), 'p95': rank(0.95), 'max': rank(1)}
