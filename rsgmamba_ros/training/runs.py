"""Whole trainings: the teachers first, then the network, and nothing that is done already."""
from __future__ import annotations

from pathlib import Path

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.training.config import TrainingConfig
from rsgmamba_ros.training.distributed import join_processes
from rsgmamba_ros.training.origin import check_origin, origin_of, set_aside_other, weights_of, write_origin
from rsgmamba_ros.training.trainer import CHECKPOINT, Trainer


def train_network(config: TrainingConfig, dataset: Dataset, validation: Dataset, folder: Path) -> Trainer:
    """Train a network in a folder of the user's choice; what was stopped there is resumed.

    Its teachers are trained before it, each in a folder of its name in `folder`, see `train_once`.

    Returns:
        The trainer of the network, which is done.

    Raises:
        CheckpointError: the folder holds a training with another configuration, other data or other teachers.
    """
    origin = origin_of(config, dataset, validation)
    check_origin(folder, origin)  # before the teachers, which may take hours
    _train_teachers(config, dataset, validation, folder)
    origin |= weights_of(config, folder)
    check_origin(folder, origin)
    trainer = Trainer(config, dataset, validation, folder)
    if trainer.processes.is_first:
        write_origin(folder, origin)
    trainer.run()
    return trainer


def train_once(config: TrainingConfig, dataset: Dataset, validation: Dataset, folder: Path, *, teachers: Path) -> Path:
    """Train a network, unless the folder holds this very training: configuration, data and weights are the same.

    Where the folder holds another training it is renamed, and this one starts from step 0.

    Args:
        teachers: folder that holds, or will hold, one with a checkpoint for each of `config.teachers`.

    Returns:
        The path of the checkpoint.

    Raises:
        CheckpointError: the checkpoint in the folder, or a file of weights that the training reads, is damaged.
    """
    _train_teachers(config, dataset, validation, teachers)
    processes, _ = join_processes(config.device)
    if processes.is_first:
        origin = origin_of(config, dataset, validation) | weights_of(config, teachers)
        set_aside_other(folder, config, origin)
        write_origin(folder, origin)
    processes.barrier()  # no process looks for the checkpoint before the folder is the right one
    checkpoint = folder / CHECKPOINT
    if not checkpoint.exists():
        Trainer(config, dataset, validation, folder, teachers=teachers).run()
    return checkpoint


def _train_teachers(config: TrainingConfig, dataset: Dataset, validation: Dataset, teachers: Path) -> None:
    for name in config.teachers:
        train_once(config.for_fusion(name), dataset, validation, teachers / name, teachers=teachers)
