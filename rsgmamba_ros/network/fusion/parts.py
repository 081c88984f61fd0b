"""Parts that several fusions share: a gate, one modality's way through a block, the exchange of read-outs.

Maps are channels last: B batch, H, W map, C channels, inner channels I, N states, R = dt_rank.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
import math

import torch
from torch import nn, Tensor
from torch.nn import functional as F

from rsgmamba_ros.network.encoders.vss_block import LayerNorm, SelectiveScan2D
from rsgmamba_ros.network.fusion.contract import ByModality, FusionConfig
from rsgmamba_ros.network.per_modality import PerModality
from rsgmamba_ros.ops.layers import depthwise_silu, gelu
from rsgmamba_ros.vocabulary.images import Modality

#: Logit of the gates of an untrained network: most images are good.
OPEN_LOGIT = 2.0


class PixelGate(nn.Module):
    """One logit a pixel: LayerNorm -> linear -> GELU -> linear."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.norm = LayerNorm(channels)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, 1)."""
        logits: Tensor = self.fc2(gelu(self.fc1(self.norm(features))))
        return logits

    def open(self) -> None:
        """Start training with open gates: half-closed gates would halve the gradients of the scans at first."""
        nn.init.constant_(self.fc2.bias, OPEN_LOGIT)


def log_products(gate_logits: ByModality, reliability_logits: ByModality) -> ByModality:
    """Logarithm of `G_m = g_u^m r_m`, a modality's own gate times its reliability; the reliability gets no gradient.

    Args:
        gate_logits: of the gates g_u, (B, H, W, 1) for each available modality.
        reliability_logits: of the reliabilities r_m, (B,) for each available modality.

    Returns:
        (B, H, W, 1) for each available modality, 0 or less.
    """
    return {modality: F.logsigmoid(logit) + F.logsigmoid(reliability_logits[modality].detach())[:, None, None, None]
            for modality, logit in gate_logits.items()}


@dataclass(frozen=True, eq=False)
class ScanInput:
    """One modality's input of a selective scan.

    Attributes:
        inner: what is scanned, a_m, (B, H, W, I).
        branch: the branch z beside the scan, (B, H, W, I).
        projected: step, B and C of every pixel and direction, (B, H, W, 4, R + 2N).
    """

    inner: Tensor
    branch: Tensor
    projected: Tensor


class Stream(nn.Module):
    """One modality's way through the block: norm, projection, depth-wise 3x3, SiLU, scan, norm; SiLU(z); projection."""

    def __init__(self, dim: int, config: FusionConfig):
        super().__init__()
        inner = int(dim * config.ratio)
        self.norm = LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.scan = SelectiveScan2D(inner, states=config.states, dt_rank=math.ceil(dim / 16))
        self.out_norm = LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def prepare(self, features: Tensor) -> ScanInput:
        """(B, H, W, C) -> the input of the scan."""
        inner, branch = self.in_proj(self.norm(features)).chunk(2, dim=-1)
        inner = depthwise_silu(inner, self.conv2d.weight)
        return ScanInput(inner, branch, self.scan.project(inner))

    def read_out(self, given: ScanInput) -> Tensor:
        """The scan's normalised result, (B, H, W, I)."""
        result: Tensor = self.out_norm(self.scan.scan(given.inner, given.projected))
        return result

    def contract(self, features: Tensor, read_out: Tensor, branch: Tensor) -> Tensor:
        """Back to the channels of the stage, beside the residual path.

        Args:
            features: of the stage, (B, H, W, C).
            read_out: (B, H, W, I).
            branch: z, (B, H, W, I).

        Returns:
            (B, H, W, C).
        """
        result: Tensor = features + self.out_proj(read_out * F.silu(branch))
        return result


def streams_of(dim: int, modalities: tuple[Modality, ...], config: FusionConfig) -> PerModality[Stream]:
    """One stream of `dim` channels for each modality."""
    return PerModality(modalities, lambda: Stream(dim, config))


def run_streams(streams: PerModality[Stream], features: ByModality) -> ByModality:
    """Scan each available modality on its own, (B, H, W, C) -> (B, H, W, C) each."""
    return _finish(streams, features, {modality: streams[modality].prepare(feature)
                                       for modality, feature in features.items()})


def run_crossed_streams(streams: PerModality[Stream], features: ByModality, *,
                        amounts: ByModality | None = None) -> ByModality:
    """Scan each available modality and read it out with the other one's C; a single modality keeps its own C.

    Source: the exchange of C is Sigma's (arXiv 2404.04256).

    Args:
        streams: of both modalities.
        features: for each available modality (B, H, W, C).
        amounts: for each available modality how much of its C the other stream takes, (B, H, W, 1) in [0, 1]; by
            default all of it.

    Returns:
        For each available modality (B, H, W, C).
    """
    inputs = {modality: streams[modality].prepare(feature) for modality, feature in features.items()}
    if len(inputs) > 1:
        inputs = _exchanged(inputs, streams[next(iter(inputs))].scan.states, amounts)
    return _finish(streams, features, inputs)


def _exchanged(inputs: dict[Modality, ScanInput], states: int,
               amounts: ByModality | None) -> dict[Modality, ScanInput]:
    first, second = inputs
    exchanged = {}
    for modality, other in ((first, second), (second, first)):
        own, taken = inputs[modality].projected, inputs[other].projected[..., -states:]
        if amounts is not None:
            # Over the directions, (B, H, W, 4, N).
            taken = torch.lerp(own[..., -states:], taken, amounts[other][..., None])
        exchanged[modality] = replace(inputs[modality], projected=torch.cat((own[..., :-states], taken), dim=-1))
    return exchanged


def _finish(streams: PerModality[Stream], features: ByModality, inputs: dict[Modality, ScanInput]) -> ByModality:
    return {modality: streams[modality].contract(features[modality], streams[modality].read_out(given), given.branch)
            for modality, given in inputs.items()}


class ConcatenationMerge(nn.Module):
    """Streams side by side -> 1x1 -> one map; an absent stream counts as zeros."""

    def __init__(self, dim: int, modalities: tuple[Modality, ...]):
        super().__init__()
        self.merge = PerModality(modalities, lambda: nn.Linear(dim, dim, bias=False))
        self.norm = LayerNorm(dim)

    def forward(self, streams: ByModality, adjust: Callable[[Tensor], Tensor] = lambda merged: merged) -> Tensor:
        """Merge.

        Args:
            streams: for each available modality (B, H, W, C).
            adjust: applied after the norm, (B, H, W, C) -> (B, H, W, C).

        Returns:
            (B, H, W, C).
        """
        parts = [self.merge[modality](stream) for modality, stream in streams.items()]
        return gelu(adjust(self.norm(reduce(torch.add, parts))))
