"""The contents of `summary.json`, key by key. Times `..._s` are seconds after the start of the bag."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from rsgmamba_ros.evaluation.fault_injection import FaultObservation


class Spread(TypedDict):
    """Figures of a distribution of which high values are bad; None without values."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class LowSpread(TypedDict):
    """Figures of a distribution of which low values are bad; None without values."""

    mean: float | None
    p50: float | None
    p5: float | None
    min: float | None


class DropoutSummary(TypedDict):
    """A time without an image; `end_s` is None if it lasted to the end."""

    start_s: float
    end_s: float | None


class ModalitySummary(TypedDict):
    """One modality; `availability` is the share of the bundles in which it was present.

    Bundles that fell between two images of a slower stream are counted in `between` and not in `availability`.
    """

    images: int
    rate_hz: float | None
    availability: float | None
    between: int
    presence: dict[str, int]
    used: int
    reliability: LowSpread
    learned: LowSpread
    signal_quality: LowSpread
    dropouts: list[DropoutSummary]
    skew_ms: Spread
    age_ms: Spread
    delivery_ms: Spread


class EpisodeSummary(TypedDict):
    """See `observers.episodes.Episode`."""

    modality: str
    kind: str
    start_s: float
    end_s: float | None
    detail: str


class TimelineSummary(TypedDict):
    """What follows from the timeline: counts, modalities, latency, episodes."""

    bundles: int
    segmented: int
    expected: int
    missed: int
    longest_gap_s: float | None
    modalities: dict[str, ModalitySummary]
    wait_ms: Spread
    network_ms: Spread
    episodes: list[EpisodeSummary]


class ClassScore(TypedDict):
    """IoU of one class (None where it does not occur) and the number of its labelled pixels."""

    iou: float | None
    pixels: int


class ScoreSummary(TypedDict):
    """Label maps against ground truth; None where nothing was labelled."""

    labelled_bundles: int
    miou: float | None
    pixel_accuracy: float | None
    classes: dict[str, ClassScore]
    unlabelled: dict[str, int]


class FindingSummary(TypedDict):
    """One finding of the health monitor, with the first and the last time that it was reported."""

    source: str
    level: str
    text: str
    first_s: float
    last_s: float
    count: int


class HealthSummary(TypedDict):
    """The worst level and all findings."""

    level: str
    findings: list[FindingSummary]


class TopicSummary(TypedDict):
    """One topic that was read."""

    name: str
    shows: str
    type: str
    count: int


class BagSummary(TypedDict):
    """The bag; `damage` has a sentence for each damage, `lost` counts messages that could not be read."""

    name: str
    fingerprint: str
    start_ns: int
    duration_s: float
    damage: list[str]
    is_whole: bool
    lost: int
    topics: list[TopicSummary]


class CheckpointSummary(TypedDict):
    """The network."""

    name: str
    sha256: str
    auxiliary: str
    classes: list[str]


class SourcesSummary(TypedDict):
    """What the results were made of."""

    bag: BagSummary
    checkpoint: CheckpointSummary | None
    config: Mapping[str, object]
    config_sha256: str
    software: dict[str, str]
    machine: dict[str, str | int | None]


class PerformanceSummary(TypedDict):
    """Speed on this machine; `overhead` is the time beside the network as a share of the network's."""

    wall_s: float
    network_s: float
    overhead: float | None
    realtime_factor: float


class Summary(TimelineSummary, SourcesSummary):
    """All of `summary.json`."""

    schema: str
    schema_version: int
    mode: str
    complete: bool
    ended_by: str
    ended_at_s: float
    created: str
    command: list[str]
    miou: float | None
    score: ScoreSummary | None
    health: HealthSummary
    skipped: dict[str, int]
    failures: dict[str, int]
    advice: dict[str, int]
    synchroniser: dict[str, int]
    faults: list[FaultObservation]
    seed: int
    performance: PerformanceSummary
