"""A network as a graph of fixed size: a torch.export program or ONNX, one for each availability case.

The scans are those of the `chunked` backend, so the graph holds plain operators only.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import compress
from pathlib import Path

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.availability import availability_cases
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.vocabulary.errors import BackendUnavailableError, ConfigError

#: Availability cases by name: whether RGB and whether the auxiliary modality is there.
CASES = {'both': (True, True), 'rgb': (True, False), 'auxiliary': (False, True)}
INPUTS = ('rgb', 'auxiliary')
OUTPUTS = ('logits', 'reliability_logits')
ONNX_OPSET = 18

#: Runs an exported graph: one (1, 3, H, W) for each modality that is there -> logits and reliability logits.
Runner = Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]]


class FixedNetwork(nn.Module):
    """One availability case of a network: its tensors in, plain tensors out."""

    def __init__(self, network: RSGMamba, case: str):
        super().__init__()
        if case not in CASES:
            raise ConfigError(f'unknown availability case {case!r}; known: {sorted(CASES)}')
        self.network = deepcopy(network).float().eval().requires_grad_(False)
        self.available = CASES[case]
        self.cases = availability_cases(torch.tensor([self.available]), network.axis, network.modalities)
        self.network.set_scan_backend('chunked')

    def forward(self, *present: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 3, H, W) for each modality of the case -> logits (1, K, H, W) and reliability logits (1, 2)."""
        given = iter(present)
        # An image of a missing modality is never read.
        images = [next(given) if is_available else present[0] for is_available in self.available]
        output = self.network.segment(torch.stack(images, dim=1), self.cases)
        return output.logits, output.reliability_logits


@dataclass(frozen=True)
class Parity:
    """How far an exported graph agrees with the network in eager mode, over some images.

    Attributes:
        images: how many.
        label_agreement: smallest share of pixels with the same label over the images, 0..1.
        logit_difference: greatest absolute difference.
        reliability_difference: greatest absolute difference of the sigmoid.
    """

    images: int
    label_agreement: float
    logit_difference: float
    reliability_difference: float


def export_program(network: RSGMamba, case: str, height: int, width: int) -> torch.export.ExportedProgram:
    """A torch.export program for one availability case at one size.

    Raises:
        ConfigError: unknown case, or a size that is no multiple of 32.
    """
    module = FixedNetwork(network, case)
    example = tuple(torch.zeros(1, 3, height, width) for _ in range(sum(module.available)))
    with torch.no_grad():
        return torch.export.export(module, example, strict=False)


def export_onnx(network: RSGMamba, case: str, height: int, width: int, *, path: Path,
                metadata: dict[str, str] | None = None) -> None:
    """Write one availability case as ONNX; inputs and outputs have the names in `INPUTS` and `OUTPUTS`.

    Args:
        metadata: put into the model's properties.

    Raises:
        BackendUnavailableError: onnx or onnxscript is not installed.
        ConfigError: see `export_program`.
    """
    missing = [name for name in ('onnx', 'onnxscript') if find_spec(name) is None]
    if missing:
        raise BackendUnavailableError(f'ONNX export needs the packages {missing}: pip install onnx onnxscript')
    import onnx

    program = export_program(network, case, height, width)
    torch.onnx.export(
        program, f=str(path), dynamo=True, opset_version=ONNX_OPSET, external_data=False, verbose=False,
        optimize=False,  # onnxruntime does that itself, in a hundredth of the time
        input_names=list(compress(INPUTS, CASES[case])), output_names=list(OUTPUTS))
    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField('metadata_props')  # stack traces of this machine, larger than the weights
    onnx.helper.set_model_props(model, metadata or {})
    onnx.save(model, path)


def program_runner(path: Path) -> Runner:
    """Run a torch.export program from its file."""
    module = torch.export.load(path).module()
    return lambda present: module(*present)


def onnx_runner(path: Path) -> Runner:
    """Run an ONNX file in onnxruntime on the CPU.

    Raises:
        BackendUnavailableError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailableError('the parity check needs onnxruntime: pip install onnxruntime') from error
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    names = [item.name for item in session.get_inputs()]

    def run(present: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        results = session.run(list(OUTPUTS), {name: image.numpy() for name, image in zip(names, present)})
        return torch.from_numpy(results[0]), torch.from_numpy(results[1])
    return run


@torch.inference_mode()
def compare(network: RSGMamba, case: str, run: Runner, images: Sequence[Tensor]) -> Parity:
    """Run an exported graph beside the network in eager mode, with its fastest scan.

    Args:
        images: (1, 2, 3, H, W) each, as the network takes them.
    """
    available = torch.tensor([CASES[case]])
    agreement, logits, reliability = 1.0, 0.0, 0.0
    for image in images:
        expected = network(image, available)
        found, found_reliability = run([part.contiguous() for part in compress(image.unbind(1), CASES[case])])
        same = found.argmax(1) == expected.logits.argmax(1)
        agreement = min(agreement, same.float().mean().item())
        logits = max(logits, (found - expected.logits).abs().max().item())
        difference = torch.sigmoid(found_reliability) - torch.sigmoid(expected.reliability_logits)
        reliability = max(reliability, difference[available].abs().max().item())
    return Parity(len(images), agreement, logits, reliability)
