"""What a training is made of: one YAML file, read into these dataclasses."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rsgmamba_ros.data.samples import AugmentationConfig
from rsgmamba_ros.network.fusion.kinds import FUSIONS
from rsgmamba_ros.training.loss import LossConfig
from rsgmamba_ros.training.samples.failures import FailureConfig
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import AUXILIARY_MODALITIES, Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, STRIDE

#: What a phase may teach alone, see `Phase.learns`.
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
        layout: name or file of a layout; its auxiliary modality must be the training's.
        training: split to train on, see `layouts.sample_names`.
        validation: split that is looked at during training, and that the calibration is fitted to.
    """

    path: Path
    layout: str
    training: str = 'train'
    validation: str = 'val'


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one crop size; the crop is `height` x `width` pixels of the scaled image.

    Attributes:
        learns: `all`, or only the `reliability` head, with everything else as it is: no decoder runs, which is cheap;
            or only the `gates` of a fusion with `exchange`, after that. Where there are such phases no gate plays a
            part in those that learn all. At the end `segmentation` is everything but the reliability head, which goes
            on to judge, and every gate plays its part.
        scales: smallest and largest enlargement, in place of the augmentation's.
        failures: in place of the training's.
        restart: above 0, the learning rate begins anew here with this share of the training's, and falls from here on;
            what a phase teaches alone may learn faster than all together, so there it may be above 1.
    """

    steps: int
    batch_size: int
    height: int
    width: int
    learns: str = 'all'
    scales: tuple[float, ...] = ()
    failures: FailureConfig | None = None
    restart: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.restart <= (LARGEST_RESTART if self.learns in PARTS else 1):
            raise ConfigError(f'restart is {self.restart}; it is a share, 0..1, and 0..{LARGEST_RESTART} in a phase '
                              'that teaches a part alone')
        if min(self.steps, self.batch_size) < 1:
            raise ConfigError(f'a phase has at least one step and one sample, got {self.steps} and {self.batch_size}')
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
        start: checkpoint to go on from, of this preset and fusion; its classifier is taken only for the same classes.
        encoder_rate: learning rate of the encoder as a share of the others'.
        frozen: beginnings of names of parameters that stay as they are.
        preset: name in `network.presets.PRESETS`.
        fusion: key of `network.fusion.kinds.FUSIONS`: what this package is about, or one of its rivals.
        network: fields of the preset's configuration to replace.
        teachers: fusions of one modality; a network of each is trained first, as this configuration says, and then
            teaches this one what its sensor alone can tell, weighed by `loss.distillation`. Tells nothing to networks
            of one modality, and nothing without `failures.alone` or `failures.missing`.
        learning_rate: its peak.
        ema_decay: of the averaged weights, which are the ones that are kept.
        precision: of the forward pass: `float32` or `bfloat16`.
        validate_every: steps; likewise `save_every` (of the state to resume from) and `log_every`.
        calibration_samples: how many validation samples, each at every severity, the calibration is fitted to.
        device: `auto` (CUDA if there is one), or a torch device by name.
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
    fusion: str = 'rsgmb'
    network: dict[str, Any] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    failures: FailureConfig = field(default_factory=FailureConfig)
    loss: LossConfig = field(default_factory=LossConfig)
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
    workers: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        if self.auxiliary not in AUXILIARY_MODALITIES:
            expected = [str(modality) for modality in AUXILIARY_MODALITIES]
            raise ConfigError(f'auxiliary is {self.auxiliary}; expected one of {expected}')
        if self.fusion not in FUSIONS:
            raise ConfigError(f'fusion is {self.fusion!r}; expected one of {sorted(FUSIONS)}')
        if self.synthetic is not None and self.folder is not None:
            raise ConfigError("a training has one kind of data: give either 'synthetic' or 'folder'")
        if self.encoder is not None and self.start is not None:
            raise ConfigError("give either 'encoder' or 'start': a checkpoint has an encoder")
        if not self.phases:
            raise ConfigError('phases is empty; a training has at least one')
        if not FUSIONS[self.fusion].gated and any(phase.learns != 'all' for phase in self.phases):
            raise ConfigError(f'{self.fusion} estimates no reliability; leave out the phases that teach it, or gates')
        alone = [name for name, kind in FUSIONS.items() if len(kind.modalities) == 1]
        if not set(self.teachers) <= set(alone):
            raise ConfigError(f'teachers are {list(self.teachers)}; expected some of {alone}')
        if self.precision not in ('float32', 'bfloat16'):
            raise ConfigError(f"precision is {self.precision!r}; train in 'float32' or 'bfloat16'")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f'ema_decay is {self.ema_decay}; it must lie in 0..1, 1 excluded')

    @property
    def used(self) -> tuple[Modality, ...]:
        """The modalities that the network looks at: both, or one for the rivals that have only that."""
        modalities = (Modality.RGB, self.auxiliary)
        return tuple(modalities[index] for index in FUSIONS[self.fusion].modalities)

    def for_fusion(self, name: str) -> TrainingConfig:
        """The same training for a network that fuses in another way: without what it has no use for.

        What only teaches the reliability or the gates is left out for networks without them, what teachers tell for
        networks of one modality, which might be taught by themselves.
        """
        kind = FUSIONS[name]
        phases = self.phases if kind.gated else tuple(
            replace(phase, learns='all') for phase in self.phases if phase.learns not in PARTS)
        return replace(self, fusion=name, phases=phases, teachers=self.teachers if len(kind.modalities) > 1 else ())

    @property
    def steps(self) -> int:
        """Optimizer steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def progress_at(self, step: int) -> tuple[int, int]:
        """How many steps of the present fall of the learning rate lie before it, and how many there are in all.

        What only teaches the reliability has a rate of its own; it does not count for what comes after.
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
        """From which share of the learning rate the present fall began."""
        return self._falls()[self._index_at(step)][1]

    def _falls(self) -> list[tuple[int, float]]:
        """For each phase which fall of the learning rate it belongs to, below 0 for one of `PARTS`, and its share."""
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
