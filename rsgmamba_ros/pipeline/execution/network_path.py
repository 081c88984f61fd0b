"""Images in sensor units -> a class for each pixel: by way of the host for a CPU, on the device itself for CUDA."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rsgmamba_ros.ops.decision import decide
from rsgmamba_ros.pipeline.execution.cuda_graphs import CudaGraphRecorder, DeviceFunction, Recorder, StaticFunction
from rsgmamba_ros.pipeline.execution.device_input import INPUTS
from rsgmamba_ros.pipeline.execution.engine import calibrated_reliability, Engine
from rsgmamba_ros.pipeline.postprocessing import label_and_confidence
from rsgmamba_ros.pipeline.preprocessing import stack_inputs
from rsgmamba_ros.pipeline.restoration import Prediction
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig


@dataclass(frozen=True, eq=False)
class Decision:
    """The classes of one bundle, at the size that images are resized to for the network.

    Attributes:
        label_map: (H, W) uint8.
        confidence: the softmax maximum, (H, W) uint8, 0..255 for 0..1.
        reliability: calibrated, in [0, 1]; exactly 0 where unavailable.
    """

    label_map: np.ndarray
    confidence: np.ndarray
    reliability: Mapping[Modality, float]


class NetworkPath(ABC):
    """A way through the network for one bundle at a time."""

    def __init__(self, engine: Engine, preprocessing: PreprocessingConfig):
        self._engine = engine
        self._preprocessing = preprocessing

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width to which images are resized, before padding, pixels."""
        return self._preprocessing.height, self._preprocessing.width

    @abstractmethod
    def warm_up(self) -> None:
        """Make each availability case ready, so that the first bundle is not the slow one."""

    @abstractmethod
    def predict(self, values: Mapping[Modality, np.ndarray]) -> Prediction:
        """Run the network once; nothing is decided yet.

        Args:
            values: the used modalities' images, as `sensor_units` gives them: (H, W, 3) uint8 or (H, W) float32.

        Returns:
            The prediction, its logits on the device of the engine.
        """

    def decide(self, prediction: Prediction) -> Decision:
        """Choose the classes of a prediction, or of a mean of predictions."""
        size = (self._preprocessing.height, self._preprocessing.width)
        label_map, confidence = label_and_confidence(
            prediction.logits[None], input_size=self._preprocessing.padded_size, valid_size=size, output_size=size)
        return Decision(label_map, confidence, prediction.reliability)

    def run(self, values: Mapping[Modality, np.ndarray]) -> Decision:
        """Predict and decide; values as `predict` takes them."""
        return self.decide(self.predict(values))

    def _calibrated(self, logits: np.ndarray, available: Tensor) -> dict[Modality, float]:
        """Reliability logits, (1, M), and availability, (1, M) bool -> each modality's reliability."""
        reliability = calibrated_reliability(logits, available.numpy(), self._engine.calibration,
                                             self._engine.modalities)
        return by_modality(reliability[0], self._engine.modalities)


def by_modality(reliability: np.ndarray, modalities: tuple[Modality, ...]) -> dict[Modality, float]:
    """Reliability of one bundle, (M,) -> the same by modality."""
    return dict(zip(modalities, map(float, reliability), strict=True))


class HostPath(NetworkPath):
    """NumPy, OpenCV and the compiled kernels make the input and decide."""

    def predict(self, values: Mapping[Modality, np.ndarray]) -> Prediction:
        """See `NetworkPath`."""
        images, available = stack_inputs(values, self._preprocessing, modalities=self._engine.modalities)
        inference = self._engine.run(images, available)
        return Prediction(inference.coarse_logits[0], by_modality(inference.reliability[0], self._engine.modalities))

    def warm_up(self) -> None:
        """Run each availability case once."""
        self._engine.warm_up(*self._preprocessing.padded_size)


class DevicePath(NetworkPath):
    """From the resized image to the labels everything is on the device, for each availability case one function.

    Args:
        record: how each case is recorded; by default as a CUDA graph where the device is CUDA.

    Note (predictions): one recorded function serves `run` and `predict`. It always decides, which costs little beside
    the network; the logits stay on the device, where only `predict` copies them.
    """

    def __init__(self, engine: Engine, preprocessing: PreprocessingConfig, *, record: Recorder | None = None):
        super().__init__(engine, preprocessing)
        self._inputs = {modality: INPUTS[modality](preprocessing, engine.device) for modality in engine.modalities}
        self._record = record or (CudaGraphRecorder() if engine.device.type == 'cuda' else None)
        self._cases: dict[tuple[Modality, ...], StaticFunction] = {}

    @torch.inference_mode()
    def run(self, values: Mapping[Modality, np.ndarray]) -> Decision:
        """See `NetworkPath`."""
        _, (label_map, confidence), reliability = self._call(values)
        return Decision(label_map, confidence, reliability)

    @torch.inference_mode()
    def predict(self, values: Mapping[Modality, np.ndarray]) -> Prediction:
        """See `NetworkPath`."""
        function, _, reliability = self._call(values)
        # The next call writes over what stays on the device.
        return Prediction(function.remaining[0].clone(), reliability)

    def _call(self, values: Mapping[Modality, np.ndarray]) -> tuple[StaticFunction, np.ndarray, dict[Modality, float]]:
        """The case's function after its call; labels and confidence, (2, H, W) uint8; and the reliability."""
        used = tuple(modality for modality in self._engine.modalities if modality in values)
        arrays = self.arrays(values)
        if used not in self._cases:
            self._cases[used] = StaticFunction(self.function(used), arrays, self._engine.device, record=self._record,
                                               received=2)
        decided, logits = self._cases[used](*arrays)
        return self._cases[used], decided, self._calibrated(logits, self._available(used))

    def warm_up(self) -> None:
        """Make each availability case ready."""
        size = (self._preprocessing.height, self._preprocessing.width)
        for case in self._engine.cases:
            self.run({modality: np.ones((*size, 3), np.uint8) if modality is Modality.RGB else
                      np.ones(size, np.float32) for modality in case})

    def arrays(self, values: Mapping[Modality, np.ndarray]) -> list[np.ndarray]:
        """What travels to the device, in the order in which `function` takes it.

        Args:
            values: as `predict` takes them: (H, W, 3) uint8 or (H, W) float32.
        """
        return [array for modality, device_input in self._inputs.items() if modality in values
                for array in device_input.arrays(values[modality])]

    def function(self, used: tuple[Modality, ...]) -> DeviceFunction:
        """What the device does in one availability case.

        Returns:
            `arrays` as tensors -> labels and confidence, (2, H, W) uint8; logits of the reliability, (1, M) float32;
            logits of every class at the network's stride, (K, h, w), in its dtype.
        """
        available = self._available(used)  # it stays on the host, where the network reads it

        def decided(*tensors: Tensor) -> tuple[Tensor, ...]:
            remaining = iter(tensors)
            size = self._preprocessing.padded_size
            images = torch.zeros(1, len(self._inputs), 3, *size, device=self._engine.device)
            for index, modality in enumerate(self._inputs):
                if modality in used:
                    device_input = self._inputs[modality]
                    images[0, index] = device_input(*(next(remaining) for _ in range(device_input.count)))
            output = self._engine.network.forward_coarse(images, available)
            labels = torch.stack(decide(output.logits[0], size))
            labels = labels[:, :self._preprocessing.height, :self._preprocessing.width].contiguous()
            return labels, output.reliability_logits.float(), output.logits[0]
        return decided

    def _available(self, used: tuple[Modality, ...]) -> Tensor:
        """Whether each modality is used, (1, M) bool."""
        return torch.tensor([[modality in used for modality in self._inputs]])


#: By the type of the device; others take the host's.
PATHS: dict[str, type[NetworkPath]] = {'cpu': HostPath, 'cuda': DevicePath}
