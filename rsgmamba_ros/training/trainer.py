"""The training loop. Killed at any moment, it goes on from its last saved state as if nothing had happened."""
from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass, MISSING
import json
import os
from pathlib import Path
import time

import torch
from torch import Tensor
from tqdm import tqdm

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.checkpoint import Checkpoint, save_checkpoint
from rsgmamba_ros.network.fusion.reliable_cross_scan import ReliableCrossScan
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.training.calibration import fit_calibration
from rsgmamba_ros.training.clean_images import fit_clean_images, forget_clean_images
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.distributed import join_processes
from rsgmamba_ros.training.loss import loss_parts, LossParts, reliability_parts, total_loss
from rsgmamba_ros.training.samples.batches import Batch, training_batches
from rsgmamba_ros.training.schedule import learning_rate_factor, parameter_groups
from rsgmamba_ros.training.training_log import TrainingLog
from rsgmamba_ros.training.validation import reliability_logits, validate
from rsgmamba_ros.training.weights.averaging import AveragedNetwork
from rsgmamba_ros.training.weights.initial_weights import freeze, is_gate, is_reliability_head, load_encoder, load_start
from rsgmamba_ros.training.weights.teachers import load_teachers
from rsgmamba_ros.vocabulary.errors import CheckpointError, ConfigError

#: What a training leaves in its folder.
CHECKPOINT = 'checkpoint.safetensors'


class Trainer:
    """Trains one network and leaves `checkpoint.safetensors` in a folder.

    Args:
        folder: for the state, the logs and the checkpoint. A state that is there is resumed.
        teachers: folder that holds one with a checkpoint for each of `config.teachers`; by default `folder`.

    Raises:
        CheckpointError: the folder holds the state of a training with another configuration, or a teacher's checkpoint
            is missing or cannot be used.
    """

    def __init__(self, config: TrainingConfig, dataset: Dataset, validation: Dataset, folder: Path, *,
                 teachers: Path | None = None):
        self.config, self.dataset, self.validation, self.folder = config, dataset, validation, Path(folder)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.processes, self.device = join_processes(config.device)
        torch.manual_seed(config.seed)
        self.network = create_network(config.preset, classes=len(dataset.labels), fusion=config.fusion,
                                      **config.network)
        load_encoder(self.network, config.encoder)
        load_start(self.network, dataset.labels, config.start)
        if any(phase.learns == 'reliability' for phase in config.phases):
            forget_clean_images(self.network)
        self.network.to(self.device)
        freeze(self.network, config.frozen)
        self.trainable = {name: parameter for name, parameter in self.network.named_parameters()
                          if parameter.requires_grad}
        self.has_gates = any(phase.learns == 'gates' for phase in config.phases)
        if self.has_gates and not isinstance(self.network.fusion[0], ReliableCrossScan):
            raise ConfigError("a phase teaches 'gates', which only a fusion with exchange has, see FusionConfig")
        places = ((teachers or self.folder) / name / CHECKPOINT for name in config.teachers)
        self.teachers = load_teachers(places, dataset.labels, self.device)
        self.average = AveragedNetwork(self.network, decay=config.ema_decay)
        groups = parameter_groups(self.network, weight_decay=config.weight_decay,
                                  encoder_rate=config.encoder_rate)
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.999))
        weights = config.loss.class_weights
        self.class_weights = torch.tensor(weights, device=self.device) if weights else None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        self.trained_s = 0.0
        self._resume()
        self.log = TrainingLog(self.folder, first_step=self.step) if self.processes.is_first else None

    @property
    def state_path(self) -> Path:
        """The file that a training resumes from."""
        return self.folder / 'state.pt'

    def run(self, *, until: int | None = None) -> None:
        """Train to the end, or to step `until`; then calibrate and write the checkpoint if that is the end."""
        last = min(until or self.config.steps, self.config.steps)
        wrapped = self.processes.wrap(self.network)
        batches = training_batches(self.dataset, self.config, first_step=self.step, rank=self.processes.rank,
                                   processes=self.processes.count)
        bar = tqdm(total=self.config.steps, initial=self.step, unit='step', disable=not self.processes.is_first,
                   mininterval=2.0)
        self.network.train()
        started = time.monotonic()
        for batch in batches:
            if self.step >= last:
                break
            self._begin(self.config.phase_at(self.step))
            if self.config.phase_at(self.step).learns == 'reliability':
                # Not before: until then most images are cut and scaled as none is in use.
                fit_clean_images(self.network, self.average.network, self.dataset, self.config.preprocessing)
            figures = self._train_step(wrapped, batch.to(self.device))
            self.step += 1
            bar.update()
            self.trained_s += time.monotonic() - started
            started = time.monotonic()
            self._report(figures, bar)
        bar.close()
        if self.step >= self.config.steps and self.processes.is_first:
            self._finish()
        self.processes.barrier()

    def _begin(self, phase: Phase) -> None:
        """Let learn what a phase teaches."""
        self.network.trusting = self.average.network.trusting = phase.learns == 'all' and self.has_gates
        for name, parameter in self.trainable.items():
            stays = {'gates': not is_gate(name), 'segmentation': is_reliability_head(name)}.get(phase.learns, False)
            parameter.requires_grad_(not stays)

    def _train_step(self, wrapped: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
        config, step = self.config, self.step
        # Drop path draws from torch's generator: tied to the step, it needs no state of its own to resume.
        torch.manual_seed((config.seed * 1_000_003 + step) * 1_009 + self.processes.rank)
        done, steps = config.progress_at(step)
        factor = learning_rate_factor(done, steps=steps, warmup_steps=config.warmup_steps, power=config.power)
        for group in self.optimizer.param_groups:
            group['lr'] = config.learning_rate * config.share_at(step) * factor * group['rate']
        dtype = torch.bfloat16 if config.precision == 'bfloat16' else torch.float32
        with torch.autocast(self.device.type, dtype, enabled=config.precision != 'float32'):
            parts = self._loss_parts(wrapped, batch)
        counts = self.processes.sum(parts.counts)
        # Gradients are averaged over the processes; the divisors are those of all: hence the factor.
        loss = total_loss(parts, counts, config.loss) * self.processes.count
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.optimizer.step()
        self.average.update(self.network, step=step)
        sums = self.processes.sum(parts.sums) / counts.clamp(min=1)
        return {'loss_labels': sums[0], 'loss_reliability': sums[1], 'loss_map': sums[2], 'loss_distillation': sums[3],
                'gradient_norm': norm}

    def _loss_parts(self, wrapped: torch.nn.Module, batch: Batch) -> LossParts:
        if self.config.phase_at(self.step).learns == 'reliability':
            logits = wrapped(batch.images, batch.available, batch.rows, judge_only=True)
            return reliability_parts(logits, batch.targets, batch.available)
        output = wrapped(batch.images, batch.available, batch.rows)
        return loss_parts(output, batch.targets, batch.available, lessons=self.teachers.lessons(batch),
                          class_weights=self.class_weights, ignore_index=self.dataset.labels.ignore_index)

    def _report(self, figures: dict[str, Tensor], bar: tqdm) -> None:
        if not self.processes.is_first:
            return
        config = self.config
        if self.step % config.log_every == 0:
            numbers = {name: float(value) for name, value in figures.items()}
            self.log.add('train', self.step, {**numbers, 'learning_rate': self.optimizer.param_groups[0]['lr']})
            bar.set_postfix(loss=f'{numbers["loss_labels"]:.3f}', reliability=f'{numbers["loss_reliability"]:.3f}')
        if self.step % config.validate_every == 0 or self.step == config.steps:
            scores = validate(self.average.network, self.validation, config.preprocessing, used=config.used, limit=32)
            self.log.add('validation', self.step, scores)
            self.log.draw_curves()
            tqdm.write(f'step {self.step}: ' + ', '.join(f'{name} {value:.3f}' for name, value in scores.items()))
        if self.step % config.save_every == 0 or self.step == config.steps:
            self._save_state()

    def _save_state(self) -> None:
        state = {'step': self.step, 'trained_s': self.trained_s, 'network': self.network.state_dict(),
                 'average': self.average.network.state_dict(), 'optimizer': self.optimizer.state_dict(),
                 'config': fingerprint(self.config)}
        unfinished = self.state_path.with_suffix('.unfinished')
        torch.save(state, unfinished)
        # A kill while writing must leave the older state whole.
        os.replace(unfinished, self.state_path)

    def _resume(self) -> None:
        if not self.state_path.exists():
            return
        state = torch.load(self.state_path, map_location=self.device, weights_only=True)
        if state['config'] != fingerprint(self.config):
            raise CheckpointError(f'{self.state_path} belongs to a training with another configuration; '
                                  'move it away, or train into another folder')
        self.network.load_state_dict(state['network'])
        self.average.network.load_state_dict(state['average'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.step, self.trained_s = state['step'], state['trained_s']

    def _finish(self) -> None:
        network = self.average.network
        taught = [phase.learns for phase in self.config.phases]
        if 'segmentation' in taught and 'reliability' in taught:
            # The features that it was fitted to have moved since.
            forget_clean_images(network)
            fit_clean_images(network, network, self.dataset, self.config.preprocessing)
        calibration = {}
        for modality in self.config.used:
            logits, severities = reliability_logits(network, self.validation, self.config.preprocessing, modality,
                                                    limit=self.config.calibration_samples, seed=self.config.seed)
            calibration[modality.value] = fit_calibration(
                logits, severities, clean_share=self.config.failures.clean_share)
        scores = validate(network, self.validation, self.config.preprocessing, used=self.config.used, limit=64)
        info = {'config': json.loads(fingerprint(self.config)), 'seed': self.config.seed, 'steps': self.step,
                'trained_s': round(self.trained_s), 'validation': scores}
        checkpoint = Checkpoint(network=network, labels=self.dataset.labels, auxiliary=self.config.auxiliary,
                                preprocessing=asdict(self.config.preprocessing), calibration=calibration, info=info)
        save_checkpoint(self.folder / CHECKPOINT, checkpoint, dtype=torch.float16)
        self.log.draw_curves()
        self.log.close()


def train_network(config: TrainingConfig, dataset: Dataset, validation: Dataset, folder: Path, *,
                  teachers: Path | None = None) -> Trainer:
    """Train a network, and before it those of its teachers that are not trained yet; what was stopped goes on.

    Args:
        folder: see `Trainer`.
        teachers: likewise; a teacher that is not trained yet is trained there, in a folder of its name.

    Returns:
        The trainer of the network, which is done.
    """
    for name in config.teachers:
        own = (teachers or folder) / name
        if not (own / CHECKPOINT).exists():
            Trainer(config.for_fusion(name), dataset, validation, own).run()
    trainer = Trainer(config, dataset, validation, folder, teachers=teachers)
    trainer.run()
    return trainer


#: What may change between a training and its resumption.
FREE_FIELDS = ('device', 'workers', 'threads', 'save_every', 'log_every')


def fingerprint(config: TrainingConfig) -> str:
    """What makes a training the same: all that is not left at its default, as JSON."""
    return json.dumps(_given(config), sort_keys=True, default=str)


def _given(config: object) -> dict:
    given = {}
    for item in fields(config):
        value = getattr(config, item.name)
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if value != default and item.name not in FREE_FIELDS:
            parts = value if isinstance(value, tuple) else (value,)
            nested = [_given(part) if is_dataclass(part) else part for part in parts]
            given[item.name] = nested if isinstance(value, tuple) else nested[0]
    return given
