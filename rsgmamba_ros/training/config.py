"""The configuration of a training: one YAML file, read into these dataclasses."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rsgmamba_ros.data.samples import AugmentationConfig
from rsgmamba_ros.network.fusion.registry import FusionKind, FUSIONS
from rsgmamba_ros.network.presets import PRESETS
from rsgmamba_ros.training.loss import LossConfig
from rsgmamba_ros.training.reliability.evidence_set import EvidenceConfig
from rsgmamba_ros.training.reliability.head_fit import HeadFitConfig
from rsgmamba_ros.training.samples.failures import FailureConfig
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, STRIDE

#: Parts that a phase may teach alone, see `Phase.learns`.
PARTS = ('reliability', 'gates')
LEARNS = ('all', *PARTS, 'segmentation')
LARGEST_RESTART = 100


@dataclass(frozen=True)
class SyntheticData:
    """Rendered rooms, see `SyntheticDataset`. The held-out ones start at `validation_seed`."""

    rooms: int = 2000
    first_seed: int = 0
    validation_rooms: int = 32
    validation_seed: int = 1_000_000
    cache: Path = Path('out/cache')


@dataclass(frozen=True)
class FolderData:
    """A dataset folder, see `FolderDataset`.

    Attributes:
        layout: name or file of a layout with the same auxiliary modality as the training.
        training: split to train on, see `layouts.sample_names`.
        validation: split for validation during training and for fitting the calibration.
    """

    path: Path
    layout: str
    training: str = 'train'
    validation: str = 'val'


@dataclass(frozen=True)
class Phase:
    """A part of the training with one crop size; the crop is `height` x `width` pixels of the scaled image.

    Attributes:
        learns: `all` trains every parameter. `reliability` trains only the reliability head; no decoder runs, so a step
            is cheap. `gates` trains only the gates of a fusion with `exchange`, after that; in a training with such a
            phase, gates are off during `all` phases. `segmentation` trains everything but the reliability head, at the
            end, with the gates on.
        scales: smallest and largest enlargement, which replace the augmentation's.
        failures: replace the training's.
        unlabelled: share of the samples that come from the real sensors of `TrainingConfig.evidence`, which have no
            labels. The network labels them itself when the first such phase begins, from both images.
        restart: above 0, the learning rate restarts here with this share of the training's, and falls from here on. A
            phase that teaches a part alone may have more than 1.
    """

    steps: int
    batch_size: int
    height: int
    width: int
    learns: str = 'all'
    scales: tuple[float, ...] = ()
    failures: FailureConfig | None = None
    unlabelled: float = 0.0
    restart: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.restart <= (LARGEST_RESTART if self.learns in PARTS else 1):
            raise ConfigError(f'restart is {self.restart}; it is a share, 0..1, and 0..{LARGEST_RESTART} in a phase '
                              'that teaches a part alone')
        if not 0 <= self.unlabelled < 1:
            raise ConfigError(f'unlabelled is {self.unlabelled}; it is a share, 0..1, 1 excluded')
        if min(self.steps, self.batch_size) < 1:
            raise ConfigError('a phase needs at least one step and one sample a batch; '
                              f'got {self.steps} and {self.batch_size}')
        if self.height % STRIDE or self.width % STRIDE or min(self.height, self.width) < STRIDE:
            raise ConfigError(f'crop {self.height}x{self.width}: both sides must be multiples of {STRIDE}')
        if self.learns not in LEARNS:
            raise ConfigError(f'learns is {self.learns!r}; a phase teaches one of {list(LEARNS)}')
        if len(self.scales) not in (0, 2):
            raise ConfigError(f'scales are {self.scales}; give the smallest and the largest, or none')


@dataclass(frozen=True)
class TrainingConfig:
    """One training.

    Attributes:
        encoder: file of encoder weights to start from, as VMamba gives them; `imagenet` for
            those of EfficientNet-Lite0.
        start: checkpoint to start from, of this preset and fusion; its classifier is used only for the same classes.
        encoder_rate: learning rate of the encoder as a share of the others'.
        frozen: prefixes of the names of parameters that are not trained.
        preset: name in `network.presets.PRESETS`.
        fusion: key of `network.fusion.registry.FUSIONS`, for example a baseline; empty for the preset's own.
        network: fields of the preset's configuration to replace.
        teachers: single-modality fusions. A network of each is trained first with this configuration; its predictions
            are then targets wherever its modality is alone, weighted by `loss.distillation`. Single-modality networks
            have no teachers; without `failures.alone` or `failures.missing` teachers have no effect.
        learning_rate: peak of the learning rate.
        ema_decay: of the moving average of the weights; the checkpoint holds the average.
        precision: of the forward pass: `float32` or `bfloat16`.
        validate_every: interval of validation, steps.
        save_every: interval of saving the state to resume from, steps.
        log_every: interval of logging the loss, steps.
        calibration_samples: how many validation samples, each at every severity, the calibration is fitted to.
        device: `auto` (CUDA if there is one), or a torch device by name.
        confidence: least confidence at which the network's own label of an unlabelled image is used.
        workers: processes that prepare samples; 0 prepares them between the steps.
        threads: of torch, 0 for its own choice.
    """

    auxiliary: Modality
    phases: tuple[Phase, ...]
    synthetic: SyntheticData | None = None
    folder: FolderData | None = None
    encoder: Path | None = None
    start: Path | None = None
    encoder_rate: float = 1.0
    frozen: tuple[str, ...] = ()
    preset: str = 'nano'
    fusion: str = ''
    network: dict[str, Any] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    failures: FailureConfig = field(default_factory=FailureConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    sensors: float = 0.0
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    head: HeadFitConfig = field(default_factory=HeadFitConfig)
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 200
    power: float = 0.9
    clip_norm: float = 5.0
    ema_decay: float = 0.998
    precision: str = 'float32'
    device: str = 'auto'
    validate_every: int = 500
    save_every: int = 200
    log_every: int = 20
    calibration_samples: int = 32
    confidence: float = 0.7
    workers: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        if self.auxiliary not in AUXILIARY_MODALITIES:
            expected = [str(modality) for modality in AUXILIARY_MODALITIES]
            raise ConfigError(f'auxiliary is {self.auxiliary}; expected one of {expected}')
        if self.preset not in PRESETS:
            raise ConfigError(f'unknown preset {self.preset!r}; known: {sorted(PRESETS)}')
        if self.fusion_name not in FUSIONS:
            raise ConfigError(f'fusion is {self.fusion!r}; expected one of {sorted(FUSIONS)}')
        if self.synthetic is not None and self.folder is not None:
            raise ConfigError("a training has one kind of data: give either 'synthetic' or 'folder'")
        if self.encoder is not None and self.start is not None:
            raise ConfigError("give either 'encoder' or 'start': a checkpoint has an encoder")
        if not self.phases:
            raise ConfigError('phases is empty; a training needs at least one')
        if not self.fusion_kind.gated and any(phase.learns != 'all' for phase in self.phases):
            raise ConfigError(f'{self.fusion_name} estimates no reliability; '
                              'leave out the phases that teach reliability or gates')
        if PRESETS[self.preset].profiled and any(phase.learns == 'reliability' for phase in self.phases):
            raise ConfigError(f"the reliability head of the preset {self.preset!r} is fitted at the end of a training, "
                              "see 'evidence' and 'head'; leave out the phases that teach it")
        alone = [name for name, kind in FUSIONS.items() if len(kind.modalities(self.auxiliary)) == 1]
        if not set(self.teachers) <= set(alone):
            raise ConfigError(f'teachers are {list(self.teachers)}; expected some of {alone}')
        if self.precision not in ('float32', 'bfloat16'):
            raise ConfigError(f"precision is {self.precision!r}; train in 'float32' or 'bfloat16'")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f'ema_decay is {self.ema_decay}; it must lie in 0..1, 1 excluded')

    @property
    def used(self) -> tuple[Modality, ...]:
        """The modalities that the network looks at: both, or one for the single-modality baselines."""
        return self.fusion_kind.modalities(self.auxiliary)

    @property
    def fusion_name(self) -> str:
        """The key of the network's fusion: the given one, or the preset's."""
        return self.fusion or PRESETS[self.preset].fusion

    @property
    def fusion_kind(self) -> FusionKind:
        """How the network fuses."""
        return FUSIONS[self.fusion_name]

    def for_fusion(self, name: str) -> TrainingConfig:
        """The same training for a network with another fusion.

        Phases that only teach the reliability or the gates are left out for networks without them; teachers are left
        out for single-modality networks, which are the teachers.
        """
        kind = FUSIONS[name or PRESETS[self.preset].fusion]
        phases = self.phases if kind.gated else tuple(
            replace(phase, learns='all') for phase in self.phases if phase.learns not in PARTS)
        teachers = self.teachers if len(kind.modalities(self.auxiliary)) > 1 else ()
        return replace(self, fusion=name, phases=phases, teachers=teachers)

    @property
    def steps(self) -> int:
        """Optimizer steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    @property
    def first_unlabelled_step(self) -> int:
        """The first step of the first phase with unlabelled samples; the end where there is none."""
        first = 0
        for phase in self.phases:
            if phase.unlabelled:
                break
            first += phase.steps
        return first

    def progress_at(self, step: int) -> tuple[int, int]:
        """Steps of the current fall of the learning rate before `step`, and all of its steps.

        Phases that teach a part alone have a fall of their own, which later phases do not count.
        """
        falls = self._falls()
        own = falls[self._index_at(step)][0]
        before, total, first = 0, 0, 0
        for phase, (fall, _) in zip(self.phases, falls):
            if fall == own:
                before += min(max(step - first, 0), phase.steps)
                total += phase.steps
            first += phase.steps
        return before, total

    def share_at(self, step: int) -> float:
        """The share of the learning rate at which the current fall starts."""
        return self._falls()[self._index_at(step)][1]

    def _falls(self) -> list[tuple[int, float]]:
        """For each phase the number of its fall of the learning rate, below 0 for one of `PARTS`, and its share."""
        falls, fall, share = [], 0, 1.0
        for phase in self.phases:
            if phase.learns in PARTS:
                falls.append((PARTS.index(phase.learns) - len(PARTS), phase.restart or 1.0))
                continue
            if phase.restart:
                fall, share = fall + 1, phase.restart
            falls.append((fall, share))
        return falls

    def phase_at(self, step: int) -> Phase:
        """The phase that a step belongs to."""
        return self.phases[self._index_at(step)]

    def _index_at(self, step: int) -> int:
        for index, phase in enumerate(self.phases):
            if step < phase.steps:
                return index
            step -= phase.steps
        return len(self.phases) - 1
