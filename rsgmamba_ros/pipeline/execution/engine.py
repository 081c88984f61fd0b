"""The network on a device: choice of device and precision, warm-up, calibrated reliability."""
from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.network.checkpoint import Checkpoint
from rsgmamba_ros.network.decoder import enlarge
from rsgmamba_ros.ops.cpu.memory import keep_freed_memory
from rsgmamba_ros.pipeline.execution.cuda_graphs import present
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import SensorProfile

PRECISIONS = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


@dataclass(frozen=True)
class Inference:
    """What the network predicts for a batch.

    Attributes:
        coarse_logits: (B, K, h, w) at the network's stride, in its dtype, on the device.
        size: height and width of the network's input, pixels.
        reliability: calibrated, in [0, 1], (B, M) float32, on the host; exactly 0 where unavailable.
    """

    coarse_logits: Tensor
    size: tuple[int, int]
    reliability: np.ndarray

    @property
    def logits(self) -> Tensor:
        """Of every pixel of the input, (B, K, H, W) float32: many bytes, which the labels alone do not need."""
        return enlarge(self.coarse_logits, self.size)


class Engine:
    """Runs one checkpoint's network on one device: a copy of it that is frozen for inference.

    Args:
        device: `auto` (CUDA if there is one), or a torch device by name: `cpu`, `cuda`, `cuda:1`.
        precision: `auto` (bfloat16 on a GPU that has it, else float32), or one of `PRECISIONS`.

    Raises:
        BackendUnavailableError: the device or precision was asked for by name and is not available here.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = 'auto', precision: str = 'auto'):
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        if self.device.type == 'cpu':
            keep_freed_memory()
        self.modalities = checkpoint.network.axis
        self.calibration = checkpoint.calibration
        self.network = deepcopy(checkpoint.network).to(self.device).to_inference(self.dtype)

    @property
    def cases(self) -> list[tuple[Modality, ...]]:
        """What can be available of what the network uses; first all of it."""
        seen = self.network.modalities
        return [case for count in range(len(seen), 0, -1) for case in combinations(seen, count)]

    @torch.inference_mode()
    def run(self, images: Tensor, available: Tensor) -> Inference:
        """Run one batch.

        Args:
            images: (B, M, 3, H, W) float32, on any device.
            available: (B, M) bool, on the host.

        Returns:
            See `Inference`.
        """
        with present(self.device):
            output = self.network.forward_coarse(images.to(self.device, non_blocking=True), available)
            logits = output.reliability_logits.float().cpu().numpy()
        reliability = calibrated_reliability(logits, available.numpy(), self.calibration, self.modalities)
        return Inference(output.logits, (images.shape[-2], images.shape[-1]), reliability)

    @torch.inference_mode()
    def figures(self, images: Tensor) -> np.ndarray:
        """Give the evidence of pairs, from which a sensor profile is made.

        Args:
            images: (B, M, 3, H, W) float32, every modality available, on any device.

        Returns:
            (B, F) float32, on the host.

        Raises:
            ProfileError: the network's reliability head takes no sensor profile.
        """
        with present(self.device):
            figures = self.network.figures(images.to(self.device, non_blocking=True))
            return figures.float().cpu().numpy()

    @torch.inference_mode()
    def set_profile(self, profile: SensorProfile | None) -> None:
        """Compare with a sensor profile from now on; with None, with the general prior.

        Raises:
            ProfileError: the network takes no profile, or the profile is of other cameras or another network.
        """
        with present(self.device):
            self.network.reliability_head.set_profile(profile)

    def warm_up(self, height: int, width: int) -> None:
        """Run each availability case once at the given padded size, so that the first image is not the slow one."""
        images = torch.zeros(1, len(self.modalities), 3, height, width)
        for case in self.cases:
            self.run(images, torch.tensor([[modality in case for modality in self.modalities]]))


def calibrated_reliability(logits: np.ndarray, available: np.ndarray,
                           calibration: Mapping[str, Mapping[str, list[float]]],
                           modalities: tuple[Modality, ...]) -> np.ndarray:
    """Reliability logits -> published learned reliability.

    Args:
        logits: (B, M).
        available: (B, M) bool.
        calibration: for each modality's name the knots `x` (logits, ascending) and `y` (reliability, not falling)
            of a piecewise linear map; a modality without knots gets the sigmoid.

    Returns:
        (B, M) float32 in [0, 1]; exactly 0 where unavailable.
    """
    reliability = np.zeros(logits.shape, np.float32)
    for index, modality in enumerate(modalities):
        knots = calibration.get(modality.value)
        # An unavailable modality's logit may be anything, NaN too.
        x = np.where(available[:, index], logits[:, index], 0)
        y = np.interp(x, knots['x'], knots['y']) if knots else 1 / (1 + np.exp(-x))
        reliability[:, index] = np.where(available[:, index], y, 0)
    return reliability


def choose_device(name: str) -> torch.device:
    """`auto` or a torch device's name -> the device.

    Raises:
        BackendUnavailableError: no such device here.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        message = f"device {name!r} is not available here ({reason}); use 'cpu' or 'auto'"
        raise BackendUnavailableError(message) from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` or a name in `PRECISIONS` -> the dtype of the network's arithmetic.

    Raises:
        BackendUnavailableError: no such precision, or the device does not have it.
    """
    if name == 'auto':
        return torch.bfloat16 if device.type == 'cuda' and torch.cuda.is_bf16_supported() else torch.float32
    if name not in PRECISIONS:
        raise BackendUnavailableError(f"precision {name!r} is unknown; use 'auto' or one of {sorted(PRECISIONS)}")
    if name == 'float16' and device.type == 'cpu':
        raise BackendUnavailableError("float16 is slow and inexact on a CPU; use 'float32' or 'bfloat16'")
    return PRECISIONS[name]
