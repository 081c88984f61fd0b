"""The training loop. A training that was killed resumes from its last saved state, bit for bit."""
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
import json
import os
from pathlib import Path
import time
from typing import Any, NoReturn

import torch
from torch import nn, Tensor
from tqdm import tqdm

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.checkpoint import Calibration, Checkpoint, save_checkpoint
from rsgmamba_ros.network.presets import create_network, PRESETS
from rsgmamba_ros.network.reliability.profiled.head import ProfiledHead
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.training.calibration import fit_calibration
from rsgmamba_ros.training.config import Phase, TrainingConfig
from rsgmamba_ros.training.distributed import join_processes
from rsgmamba_ros.training.fingerprints import fingerprint
from rsgmamba_ros.training.loss import loss_parts, LossParts, reliability_parts, total_loss
from rsgmamba_ros.training.reliability.evidence_set import collect_evidence
from rsgmamba_ros.training.reliability.head_fit import calibrate_head, fit_head
from rsgmamba_ros.training.samples.batches import Batch, training_batches
from rsgmamba_ros.training.samples.pseudo_labels import PseudoLabelled
from rsgmamba_ros.training.schedule import learning_rate_factor, parameter_groups
from rsgmamba_ros.training.training_log import NoLog, TrainingLog
from rsgmamba_ros.training.validation import reliability_logits, validate
from rsgmamba_ros.training.weights.averaging import AveragedNetwork
from rsgmamba_ros.training.weights.initial_weights import freeze, is_gate, is_reliability_head, load_encoder, load_start
from rsgmamba_ros.training.weights.teachers import load_teachers
from rsgmamba_ros.vocabulary.errors import CheckpointError, ConfigError
from rsgmamba_ros.vocabulary.images import Modality

#: What a training leaves in its folder: the result, and the state to resume from.
CHECKPOINT, STATE = 'checkpoint.safetensors', 'state.pt'
#: Folder of the labels that a network gives to images without.
PSEUDO_LABELS = 'pseudo_labels'
#: Folder of the evidence that a profiled head is fitted to.
EVIDENCE = 'evidence'
#: Least and greatest reliability that stands in for an estimate while a network with a profiled head is trained.
GIVEN = (0.02, 0.98)
#: Of the simulated sensors every so many is kept out of the fit, for the calibration.
CALIBRATION_STRIDE = 8
#: Share of clean images in use, for the calibration: cameras work most of the time.
CLEAN_SHARE = 0.9


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
        self.has_gates = any(phase.learns == 'gates' for phase in config.phases)
        self.network = self._initial_network()
        self.has_profiled_head = isinstance(self.network.reliability_head, ProfiledHead)
        self.trainable = {name: parameter for name, parameter in self.network.named_parameters()
                          if parameter.requires_grad}
        self.average = AveragedNetwork(self.network, decay=config.ema_decay)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, weight_decay=config.weight_decay, encoder_rate=config.encoder_rate),
            lr=config.learning_rate, betas=(0.9, 0.999))
        paths = ((teachers or self.folder) / name / CHECKPOINT for name in config.teachers)
        self.teachers = load_teachers(paths, dataset.labels, self.device)
        weights = config.loss.class_weights
        self.class_weights = torch.tensor(weights, device=self.device) if weights else None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        self.trained_s = 0.0
        self._resume()
        self.log = TrainingLog(self.folder, first_step=self.step) if self.processes.is_first else NoLog()

    def run(self, *, until: int | None = None) -> None:
        """Train to the end, or to step `until`; then calibrate and write the checkpoint if that is the end."""
        last = min(until or self.config.steps, self.config.steps)
        wrapped = self.processes.wrap(self.network)
        bar = tqdm(total=self.config.steps, initial=self.step, unit='step', disable=not self.processes.is_first,
                   mininterval=2.0)
        self.network.train()
        started = time.monotonic()
        for batch in self._batches(last):
            self._begin(self.config.phase_at(self.step))
            figures = self._train_step(wrapped, batch.to(self.device))
            self.step += 1
            bar.update()
            self.trained_s += time.monotonic() - started
            started = time.monotonic()
            if self.processes.is_first:
                self._report(figures, bar)
        bar.close()
        if self.step >= self.config.steps and self.processes.is_first:
            self._finish()
        self.processes.barrier()

    def _batches(self, last: int) -> Iterator[Batch]:
        """Batches up to step `last`; where the first phase with unlabelled images begins, these get labels first."""
        config, first = self.config, self.config.first_unlabelled_step
        prepare = partial(training_batches, self.dataset, config, rank=self.processes.rank,
                          processes=self.processes.count)
        if self.step < min(first, last):
            yield from prepare(first_step=self.step, last_step=min(first, last))
        if first < last:
            unlabelled = PseudoLabelled(config.evidence.real, self.folder / PSEUDO_LABELS,
                                        width=config.preprocessing.width)
            if self.processes.is_first:
                unlabelled.label(self.average.network, config.preprocessing, confidence=config.confidence,
                                 ignore_index=self.dataset.labels.ignore_index)
            self.processes.barrier()
            yield from prepare(first_step=self.step, last_step=last, unlabelled=unlabelled)

    def _initial_network(self) -> RSGMamba:
        """The network before the first step, on the device."""
        config, labels = self.config, self.dataset.labels
        network = create_network(config.preset, classes=len(labels), auxiliary=config.auxiliary,
                                 fusion=config.fusion_name, **_with_log_range(config))
        load_encoder(network, config.encoder)
        load_start(network, labels, config.start, config.preprocessing)
        freeze(network, config.frozen)
        if self.has_gates and not config.fusion_kind.gate_names:
            raise ConfigError(f"a phase teaches 'gates', but the fusion {config.fusion_name!r} has no gates to train "
                              "last; use the fusion 'reliable_cross_scan'")
        return network.to(self.device)

    def _begin(self, phase: Phase) -> None:
        """Set requires_grad and the gates for a phase."""
        self.network.gates_on = self.average.network.gates_on = phase.learns != 'all' or not self.has_gates
        for name, parameter in self.trainable.items():
            stays = {'gates': not is_gate(name), 'segmentation': is_reliability_head(name)}.get(phase.learns, False)
            parameter.requires_grad_(not stays)

    def _train_step(self, wrapped: nn.Module, batch: Batch) -> dict[str, Tensor]:
        config, step = self.config, self.step
        # Drop path draws from torch's generator: tied to the step, it needs no state of its own to resume.
        torch.manual_seed((config.seed * 1_000_003 + step) * 1_009 + self.processes.rank)
        self._set_learning_rate()
        dtype = torch.bfloat16 if config.precision == 'bfloat16' else torch.float32
        with torch.autocast(self.device.type, dtype, enabled=config.precision != 'float32'):
            parts = self._loss_parts(wrapped, batch)
        counts = self.processes.sum(parts.counts)
        # Gradients are averaged over the processes; the divisors are those of all: hence the factor.
        loss = total_loss(parts, counts, config.loss) * self.processes.count
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.optimizer.step()
        self.average.update(self.network, step=step)
        sums = self.processes.sum(parts.sums) / counts.clamp(min=1)
        return {'loss_labels': sums[0], 'loss_reliability': sums[1], 'loss_map': sums[2], 'loss_distillation': sums[3],
                'gradient_norm': norm}

    def _set_learning_rate(self) -> None:
        done, steps = self.config.progress_at(self.step)
        factor = learning_rate_factor(done, steps=steps, warmup_steps=self.config.warmup_steps, power=self.config.power)
        rate = self.config.learning_rate * self.config.share_at(self.step) * factor
        for group in self.optimizer.param_groups:
            group['lr'] = rate * group['rate']

    def _loss_parts(self, wrapped: nn.Module, batch: Batch) -> LossParts:
        if self.config.phase_at(self.step).learns == 'reliability':
            logits = wrapped(RSGMamba.estimate_reliability, batch.images, batch.available, batch.image_indices)
            return reliability_parts(logits, batch.targets, batch.available)
        # A profiled head is fitted at the end: until then the fusion is taught with what was done to the images.
        given = batch.targets.reliability.clamp(*GIVEN).logit() if self.has_profiled_head else None
        output = wrapped(RSGMamba.forward, batch.images, batch.available, batch.image_indices, given)
        return loss_parts(output, batch.targets, batch.available, lessons=self.teachers.lessons(batch),
                          class_weights=self.class_weights, ignore_index=self.dataset.labels.ignore_index)

    def _report(self, figures: dict[str, Tensor], bar: tqdm[NoReturn]) -> None:
        """Log, validate and save the state, each at its own steps."""
        config, is_last = self.config, self.step == self.config.steps
        if self.step % config.log_every == 0:
            numbers = {name: float(value) for name, value in figures.items()}
            self.log.add('train', self.step, {**numbers, 'learning_rate': self.optimizer.param_groups[0]['lr']})
            bar.set_postfix(loss=f'{numbers["loss_labels"]:.3f}', reliability=f'{numbers["loss_reliability"]:.3f}')
        if self.step % config.validate_every == 0 or is_last:
            scores = validate(self.average.network, self.validation, config.preprocessing, used=config.used, limit=32)
            self.log.add('validation', self.step, scores)
            self.log.draw_curves()
            tqdm.write(f'step {self.step}: ' + ', '.join(f'{name} {value:.3f}' for name, value in scores.items()))
        if self.step % config.save_every == 0 or is_last:
            self._save_state()

    def _finish(self) -> None:
        """Fit a profiled head, and the calibration, then write the checkpoint of the averaged weights."""
        config, network = self.config, self.average.network
        if isinstance(network.reliability_head, ProfiledHead):
            calibration = self._fit_profiled_head(network, network.reliability_head)
        else:
            calibration = self._calibration()
        scores = validate(network, self.validation, config.preprocessing, used=config.used, limit=64)
        info = {'config': json.loads(fingerprint(config)), 'seed': config.seed, 'steps': self.step,
                'trained_s': round(self.trained_s), 'validation': scores}
        checkpoint = Checkpoint(network=network, labels=self.dataset.labels, preprocessing=config.preprocessing,
                                calibration=calibration, info=info)
        save_checkpoint(self.folder / CHECKPOINT, checkpoint, dtype=torch.float16)
        self.log.draw_curves()
        self.log.close()

    def _fit_profiled_head(self, network: RSGMamba, head: ProfiledHead) -> Calibration:
        """Fit the head to the evidence of many sensors; some simulated ones are kept for the calibration."""
        config = self.config
        network.eval()
        sensors = collect_evidence(network, self.dataset, config.preprocessing, config.evidence,
                                   self.folder / EVIDENCE, seed=config.seed)
        kept = sensors[:config.evidence.simulated:CALIBRATION_STRIDE]
        fit_head(head, [sensor for sensor in sensors if sensor not in kept], config.head)
        return calibrate_head(head, kept, clean_share=CLEAN_SHARE)

    def _calibration(self) -> dict[str, dict[str, list[float]]]:
        """The map from logits to published reliability, by modality."""
        config, calibration = self.config, {}
        for modality in config.used:
            logits, severities = reliability_logits(self.average.network, self.validation, config.preprocessing,
                                                    modality, limit=config.calibration_samples, seed=config.seed)
            calibration[modality.value] = fit_calibration(logits, severities, clean_share=config.failures.clean_share)
        return calibration

    def _save_state(self) -> None:
        state = {'step': self.step, 'trained_s': self.trained_s, 'network': self.network.state_dict(),
                 'average': self.average.network.state_dict(), 'optimizer': self.optimizer.state_dict(),
                 'config': fingerprint(self.config)}
        path = self.folder / STATE
        unfinished = path.with_suffix('.unfinished')
        torch.save(state, unfinished)
        # A kill while writing must leave the older state whole.
        os.replace(unfinished, path)

    def _resume(self) -> None:
        path = self.folder / STATE
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state['config'] != fingerprint(self.config):
            raise CheckpointError(f'{path} belongs to a training with another configuration; '
                                  'move it away, or train into another folder')
        self.network.load_state_dict(state['network'])
        self.average.network.load_state_dict(state['average'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.step, self.trained_s = state['step'], state['trained_s']


def _with_log_range(config: TrainingConfig) -> dict[str, Any]:
    """The fields of the network that the training replaces: a depth network knows the scaling of its input."""
    if config.auxiliary is Modality.DEPTH and PRESETS[config.preset].log_range:
        return {'log_range': config.preprocessing.depth.log_range, **config.network}
    return config.network
