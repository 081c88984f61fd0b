"""Images in sensor units -> a class for each pixel: by way of the host for a CPU, on the device itself for CUDA."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.ops.decision import decide
from rsgmamba_ros.pipeline.execution.cuda_graphs import CudaGraphRecorder, DeviceFunction, Recorder, StaticFunction
from rsgmamba_ros.pipeline.execution.device_input import INPUTS
from rsgmamba_ros.pipeline.execution.engine import calibrated_reliability, Engine, Inference
from rsgmamba_ros.pipeline.postprocessing import label_and_confidence
from rsgmamba_ros.pipeline.preprocessing import stack_inputs
from rsgmamba_ros.pipeline.restoration import Answer
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig


@dataclass(frozen=True, eq=False)
class Decided:
    """What the network makes of one bundle, at the size that images are resized to for it.

    Attributes:
        label_map: (H, W) uint8.
        confidence: the softmax maximum, (H, W) uint8, 0..255 for 0..1.
        reliability: calibrated, in [0, 1], (M,) float32; exactly 0 where unavailable.
    """

    label_map: np.ndarray
    confidence: np.ndarray
    reliability: np.ndarray


class HostPath:
    """Input and decision are made by NumPy, OpenCV and the compiled kernels."""

    def __init__(self, engine: Engine, preprocessing: PreprocessingConfig):
        self._engine = engine
        self._preprocessing = preprocessing

    def run(self, values: Mapping[Modality, np.ndarray]) -> Decided:
        """Decide one bundle; values: the used modalities' images, as `sensor_units` gives them."""
        inference = self._infer(values)
        return self._decided(inference.coarse_logits, inference.reliability[0])

    def ask(self, values: Mapping[Modality, np.ndarray]) -> Answer:
        """What the network says of one bundle, before anything is decided; values as `run` takes them."""
        inference = self._infer(values)
        return Answer(inference.coarse_logits[0].float().softmax(0), inference.reliability[0])

    def decide(self, answer: Answer) -> Decided:
        """Decide what was answered, or a mean of answers."""
        # Of a probability of 0 there is no logarithm.
        return self._decided(answer.probabilities.clamp(min=1e-9).log()[None], answer.reliability)

    def _infer(self, values: Mapping[Modality, np.ndarray]) -> Inference:
        images, available = stack_inputs(values, self._preprocessing, modalities=self._engine.modalities)
        return self._engine.run(images, available)

    def _decided(self, logits: Tensor, reliability: np.ndarray) -> Decided:
        size = (self._preprocessing.height, self._preprocessing.width)
        label_map, confidence = label_and_confidence(
            logits, input_size=self._preprocessing.padded_size, valid_size=size, output_size=size)
        return Decided(label_map, confidence, reliability)

    def warm_up(self) -> None:
        """Run each availability case once."""
        self._engine.warm_up(*self._preprocessing.padded_size)


class DevicePath:
    """From the resized image to the labels everything is on the device, for each availability case one function.

    Args:
        record: how each case is recorded; by default as a CUDA graph where the device is CUDA.
    """

    def __init__(self, engine: Engine, preprocessing: PreprocessingConfig, *, record: Recorder | None = None):
        self._engine = engine
        self._preprocessing = preprocessing
        self._inputs = {modality: INPUTS[modality](preprocessing, engine.device) for modality in engine.modalities}
        self._record = record or (CudaGraphRecorder() if engine.device.type == 'cuda' else None)
        self._cases: dict[tuple[Modality, ...], StaticFunction] = {}

    @torch.inference_mode()
    def run(self, values: Mapping[Modality, np.ndarray]) -> Decided:
        """Decide one bundle; values: the used modalities' images, as `sensor_units` gives them."""
        used = tuple(modality for modality in self._engine.modalities if modality in values)
        arrays = self.arrays(values)
        if used not in self._cases:
            self._cases[used] = StaticFunction(self.function(used), arrays, self._engine.device, record=self._record)
        (label_map, confidence), logits = self._cases[used](*arrays)
        reliability = calibrated_reliability(logits, self._available(used).numpy(), self._engine.calibration,
                                             self._engine.modalities)
        return Decided(label_map, confidence, reliability[0])

    def warm_up(self) -> None:
        """Make each availability case ready."""
        size = (self._preprocessing.height, self._preprocessing.width)
        for case in self._engine.cases:
            modalities = [self._engine.modalities[index] for index in case]
            self.run({modality: np.ones((*size, 3), np.uint8) if modality is Modality.RGB else
                      np.ones(size, np.float32) for modality in modalities})

    def arrays(self, values: Mapping[Modality, np.ndarray]) -> list[np.ndarray]:
        """What travels to the device, in the order in which `function` takes it."""
        return [array for modality, device_input in self._inputs.items() if modality in values
                for array in device_input.arrays(values[modality])]

    def function(self, used: tuple[Modality, ...]) -> DeviceFunction:
        """What the device does in one availability case: `arrays` -> (2, H, W) uint8 and logits (1, M) float32.

        The first holds labels and confidence, the second is the reliability's.
        """
        available = self._available(used)  # it stays on the host, where the network reads it

        def decided(*tensors: Tensor) -> tuple[Tensor, Tensor]:
            remaining = iter(tensors)
            size = self._preprocessing.padded_size
            images = torch.zeros(1, len(self._inputs), 3, *size, device=self._engine.device)
            for index, modality in enumerate(self._inputs):
                if modality in used:
                    device_input = self._inputs[modality]
                    images[0, index] = device_input(*(next(remaining) for _ in range(device_input.count)))
            output = self._engine.network.segment_coarsely(images, available)
            labels = torch.stack(decide(output.logits[0], size))
            labels = labels[:, :self._preprocessing.height, :self._preprocessing.width].contiguous()
            return labels, output.reliability_logits.float()
        return decided

    def _available(self, used: tuple[Modality, ...]) -> Tensor:
        return torch.tensor([[modality in used for modality in self._inputs]])


#: By the type of the device; others take the host's.
PATHS = {'cpu': HostPath, 'cuda': DevicePath}
