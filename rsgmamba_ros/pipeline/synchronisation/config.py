"""The tolerances, waits and limits of the synchroniser."""
from __future__ import annotations

from dataclasses import dataclass, field

from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality


@dataclass(frozen=True)
class SynchroniserConfig:
    """How images are brought together.

    Attributes:
        leader: the modality whose images lead; the other clocks are compared with its clock.
        modalities: all streams, the leader among them.
        max_skew_s: largest distance of two stamps in a pair, inclusive.
        max_wait_s: longest that a leading image is held for its partners.
        max_delay_s: largest difference of two streams' delivery; more is taken for a fault of a clock, and an
            image that late is not paired. Above the jitter of delivery, below the offsets to be found.
        wait_factor: how many times a partner's slowest recent delivery is waited for, within `max_wait_s`.
        revive_images: images in a row after which a stream that was silent counts as alive again.
        queue_size: images of a stream that are kept for bundles to come.
        lead_with_auxiliary: whether an auxiliary leads while the leader is silent.
        reuse_partner: whether an image may be the partner of several leading images, within `max_skew_s` of each,
            where there is no unused one: a camera of 15 Hz beside one of 30 Hz.
        clock_offset_s: measured error of a modality's stamps, subtracted from them.
        estimate_clock_offset: estimate the clock offset from arrival times, instead of refusing to pair.
            The estimate assumes equal delivery, so it is as wrong as the deliveries differ.
    """

    leader: Modality = Modality.RGB
    modalities: tuple[Modality, ...] = (Modality.RGB, Modality.DEPTH)
    max_skew_s: float = 0.05
    max_wait_s: float = 0.1
    max_delay_s: float = 0.15
    wait_factor: float = 1.5
    revive_images: int = 3
    queue_size: int = 32
    lead_with_auxiliary: bool = True
    reuse_partner: bool = True
    clock_offset_s: dict[Modality, float] = field(default_factory=dict)
    estimate_clock_offset: bool = False

    def __post_init__(self) -> None:
        if self.leader not in self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ConfigError(f'modalities {[str(m) for m in self.modalities]} must be different and hold the leader '
                              f'{str(self.leader)!r}')
        for name in ('max_skew_s', 'max_wait_s', 'wait_factor'):
            if not 0 <= getattr(self, name) < 1e6:
                raise ConfigError(f'{name} is {getattr(self, name)!r}; it must be 0 or more')
        if not self.max_skew_s < self.max_delay_s < 1e6:
            raise ConfigError(f'max_delay_s is {self.max_delay_s!r}; it must be above max_skew_s ({self.max_skew_s!r})')
        for name in ('revive_images', 'queue_size'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} is {getattr(self, name)!r}; it must be 1 or more')
        unknown = [str(modality) for modality in self.clock_offset_s if modality not in self.modalities]
        if unknown:
            raise ConfigError(f'clock_offset_s names {unknown}, which are not among the modalities')
