"""RSGMamba: two images -> logits, and how far each modality can be trusted.

Availability is structure: the batch is split by which modalities a bundle has, and a part never holds a tensor for
one that is missing. So an absent image is neither encoded nor multiplied by anything: it cannot be reached.

B batch, M = 2 modalities (0 RGB, 1 auxiliary), K classes, H, W image.

Source: RSGMamba (arXiv 2604.12319); docs/network.md tells [paper], [reported] and [ours] apart.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.config import ENCODERS, RSGMambaConfig
from rsgmamba_ros.network.decoder import Decoder, enlarge
from rsgmamba_ros.network.encoders import efficientnet_lite as efficientnet
from rsgmamba_ros.network.encoders.vmamba import STRIDES
from rsgmamba_ros.network.encoders.vss_block import SelectiveScan2D
from rsgmamba_ros.network.fusion.kinds import FUSIONS
from rsgmamba_ros.network.fusion.late_fusion import fuse_late
from rsgmamba_ros.network.fusion.reliable_cross_scan import ReliableCrossScan
from rsgmamba_ros.network.fusion.rsgmb import RSGMB
from rsgmamba_ros.network.reliability.head import ReliabilityHead

MODALITIES = 2
AUXILIARY = 1
DIVISOR = STRIDES[-1]
#: What networks without gates give as the logit of an available modality's reliability.
TRUSTED_LOGIT = 10.0


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What a forward pass gives.

    Attributes:
        logits: (B, K, H, W) at the input's size, float32.
        reliability: (B, M) in [0, 1], float32, one a modality; exactly 0 where it is not available.
        reliability_logits: (B, M), float32, before the sigmoid, in training those that are taught; 0 where the
            modality is not available.
        reliability_maps: per stage (B, M, H_s, W_s) in [0, 1], float32: the modality's own gate g_u; 0 where it is
            not available. Empty for networks without gates.
    """

    logits: Tensor
    reliability: Tensor
    reliability_logits: Tensor
    reliability_maps: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """The bundles of a batch that have the same modalities.

    Attributes:
        rows: their positions in the batch.
        modalities: what they have.
    """

    rows: tuple[int, ...]
    modalities: tuple[int, ...]


class RSGMamba(nn.Module):
    """The network. See `forward`."""

    def __init__(self, config: RSGMambaConfig):
        super().__init__()
        self.config = config
        kind = FUSIONS[config.fusion]
        self.modalities = kind.modalities
        self.encoder = ENCODERS[config.encoder](config)
        self.fusion = nn.ModuleList(kind.stage(dim, config.fusion_size) for dim in config.dims)
        self.decoder = Decoder(config.dims, width=config.decoder_width, classes=config.classes, states=config.states,
                               mlp_ratio=config.decoder_mlp_ratio)
        self.apply(_initialise)
        self.reliability_head = ReliabilityHead(
            config.dims, len(kind.modalities), config.correlation, typicality=config.typicality,
            pair_checks=config.pair_checks) if kind.gated else None
        #: Whether every sensor is trusted and no gate plays a part, as in training until the reliability is learned;
        #: for networks whose fusion is a `ReliableCrossScan`.
        self.trusting = False
        #: Whether what each image of a pair shows alone counts as well; not in training, where every reading is taught.
        self.late_fusion = config.late_fusion and kind.gated

    def set_scan_backend(self, name: str) -> None:
        """Choose the backend of every scan: a key of `rsgmamba_ros.ops.selective_scan.contract.BACKENDS`, or `auto`."""
        for module in self.modules():
            if isinstance(module, SelectiveScan2D):
                module.scan_backend = name

    def to_inference(self, dtype: torch.dtype) -> RSGMamba:
        """Freeze the network for inference with matrices in `dtype`; norms, scans and reliability stay float32."""
        for name, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)) and not name.startswith('reliability_head.'):
                module.to(dtype)
            elif isinstance(module, efficientnet.Convolution):
                module.fold(dtype)
            elif isinstance(module, SelectiveScan2D):
                module.x_proj_weight.data = module.x_proj_weight.data.to(dtype)
        return self.eval().requires_grad_(False)

    def forward(self, images: Tensor, available: Tensor, rows: Tensor | None = None, *,
                judge_only: bool = False) -> NetworkOutput | Tensor:
        """Segment.

        Args:
            images: normalised images, (R, M, 3, H, W), float32; H and W multiples of 32. What stands in the place
                of an unavailable one, even NaN, changes no bit of the result.
            available: (B, M), bool.
            rows: for each bundle the row of its images, (B,), int64, where some bundles share images: each image is
                encoded once. By default bundle i has row i.
            judge_only: only judge how far each modality can be trusted; fusion and decoder do not run, and encoder
                and fusion get no gradient. A flag of this call, since a wrapper for several processes knows no other.

        Returns:
            See `NetworkOutput`; its `reliability_logits` alone if asked to judge only. Networks of one modality
            ignore the other one.

        Raises:
            ValueError: sizes do not fit, or a bundle has no modality that the network uses.
        """
        parts = self._parts(images, available, rows)
        return self._judge_only(images, parts, rows) if judge_only else self.segment(images, parts, rows)

    def segment_coarsely(self, images: Tensor, available: Tensor) -> NetworkOutput:
        """As `forward`, but with logits at stride 4, (B, K, H / 4, W / 4), in the network's dtype."""
        return self._segment(images, self._parts(images, available, None), None)

    def _judge_only(self, images: Tensor, parts: list[Part], rows: Tensor | None) -> Tensor:
        with torch.no_grad():
            encoded = self._encode(images, parts, rows)
        logits = [self._by_modality(part, self._published(present, self._judge(present, features)))
                  for part, present, features in zip(parts, *encoded)]
        return _in_batch_order(parts, logits)

    def segment(self, images: Tensor, parts: list[Part], rows: Tensor | None = None) -> NetworkOutput:
        """Segment bundles whose modalities are known beforehand, as an export to a fixed graph needs it.

        Args:
            images: see `forward`.
            parts: every position of the batch once; each with at least one modality that the network uses.
            rows: see `forward`.
        """
        output = self._segment(images, parts, rows)
        return replace(output, logits=enlarge(output.logits, (images.shape[-2], images.shape[-1])))

    def _segment(self, images: Tensor, parts: list[Part], rows: Tensor | None) -> NetworkOutput:
        fused, logits, maps, used, lone = [], [], [], [], {}
        for part, present, features in zip(parts, *self._encode(images, parts, rows)):
            judged = self._judge(present, features)
            levels, own_maps = self._fuse(features, judged)
            fused.append(levels)
            maps.append([self._by_modality(part, stage) for stage in own_maps])
            logits.append(self._by_modality(part, self._published(present, judged)))
            # Made on the device: a table sent there would make a CUDA graph impossible.
            there = {place: torch.ones_like(logit, dtype=torch.bool) for place, logit in judged.items()}
            used.append(self._by_modality(part, there))
            if self.late_fusion and not self.training and len(features) > 1:
                pair, trust = len(fused) - 1, judged
                lone = {place: self._fuse({place: stages}, judged)[0] for place, stages in features.items()}
        decoded = self._decode([*fused, *lone.values()])
        if lone:
            decoded[pair] = fuse_late(decoded[pair], dict(zip(lone, decoded[len(parts):])), trust)
        decoded = _in_batch_order(parts, decoded[:len(parts)])
        reliability_logits = _in_batch_order(parts, logits)
        return NetworkOutput(
            logits=decoded.permute(0, 3, 1, 2),
            reliability=torch.where(_in_batch_order(parts, used), torch.sigmoid(reliability_logits), 0.0),
            reliability_logits=reliability_logits,
            reliability_maps=(tuple(_in_batch_order(parts, levels) for levels in zip(*maps))
                              if self.gated and not self.trusting else ()))

    def _fuse(self, features: dict[int, list[Tensor]],
              judged: dict[int, Tensor]) -> tuple[list[Tensor], list[dict[int, Tensor]]]:
        """Every stage's fused features, and its gates by modality."""
        stages = [stage({modality: levels[index] for modality, levels in features.items()},
                        {} if self.trusting else judged)
                  for index, stage in enumerate(self.fusion)]
        return [fused for fused, _ in stages], [gates for _, gates in stages]

    def _decode(self, readings: list[list[Tensor]]) -> list[Tensor]:
        """Fused features of every stage -> logits at stride 4, channels last; all readings in one batch."""
        if len(readings) == 1:
            return [self.decoder(readings[0])]
        decoded = self.decoder([torch.cat(levels) for levels in zip(*readings)])
        return list(decoded.split([len(levels[0]) for levels in readings]))

    @property
    def gated(self) -> bool:
        """Whether the network estimates reliability."""
        return self.reliability_head is not None

    def _parts(self, images: Tensor, available: Tensor, rows: Tensor | None) -> list[Part]:
        batch, height, width = len(images if rows is None else rows), images.shape[-2], images.shape[-1]
        if images.shape[1:3] != (MODALITIES, 3) or tuple(available.shape) != (batch, MODALITIES):
            raise ValueError(f'images are {tuple(images.shape)} and available is {tuple(available.shape)}; expected '
                             f'(B, {MODALITIES}, 3, H, W) and (B, {MODALITIES})')
        if height % DIVISOR or width % DIVISOR:
            raise ValueError(f'image is {height}x{width}; both sides must be multiples of {DIVISOR}. '
                             f'Pad to {-(-height // DIVISOR) * DIVISOR}x{-(-width // DIVISOR) * DIVISOR}.')
        positions: dict[tuple[int, ...], list[int]] = {}
        for position, flags in enumerate(available.tolist()):
            positions.setdefault(tuple(m for m in self.modalities if flags[m]), []).append(position)
        if () in positions:
            raise ValueError(f'batch items {positions[()]} have no available modality that the network uses '
                             f'({self.config.fusion} uses {list(self.modalities)}); leave them out')
        return [Part(tuple(indices), modalities) for modalities, indices in positions.items()]

    def _encode(self, images: Tensor, parts: list[Part], rows: Tensor | None,
                ) -> tuple[list[dict[int, Tensor]], list[dict[int, list[Tensor]]]]:
        """Encode every available image, each once, in one batch where the modalities share all of the encoder.

        Returns:
            For each part the images and the features of every stage, by the modality's place in `self.modalities`.
        """
        sources = range(len(images)) if rows is None else rows.tolist()
        wanted = {m: sorted({sources[position] for part in parts if m in part.modalities for position in part.rows})
                  for m in self.modalities}
        wanted = {m: indices for m, indices in wanted.items() if indices}
        chosen = {m: images[:, m] if len(indices) == len(images) else images[indices, m]
                  for m, indices in wanted.items()}
        encoded = self._levels(chosen)
        present: list[dict[int, Tensor]] = [{} for _ in parts]
        features: list[dict[int, list[Tensor]]] = [{} for _ in parts]
        for index, part in enumerate(parts):
            for m in part.modalities:
                place, own = self.modalities.index(m), [wanted[m].index(sources[row]) for row in part.rows]
                present[index][place] = _picked(chosen[m], own)
                features[index][place] = [_picked(level, own) for level in encoded[m]]
        return present, features

    def _levels(self, images: dict[int, Tensor]) -> dict[int, list[Tensor]]:
        """Every stage's features of each modality's images."""
        if self.config.private_norms:
            return {m: self.encoder(image, m == AUXILIARY) for m, image in images.items()}
        levels = self.encoder(torch.cat(tuple(images.values())))
        split = zip(*(level.split([len(image) for image in images.values()]) for level in levels))
        return {m: list(stages) for m, stages in zip(images, split)}

    def _judge(self, images: dict[int, Tensor], features: dict[int, list[Tensor]]) -> dict[int, Tensor]:
        if self.reliability_head is not None and not self.trusting:
            return self.reliability_head(images, features)
        return {place: image.new_full((len(image),), TRUSTED_LOGIT) for place, image in images.items()}

    def _published(self, images: dict[int, Tensor], judged: dict[int, Tensor]) -> dict[int, Tensor]:
        if self.training or self.trusting or not self.gated:
            return judged
        return self.reliability_head.published(images, judged)

    def _by_modality(self, part: Part, values: dict[int, Tensor]) -> Tensor:
        """Stack (b, ...) or (b, H, W, 1) of each available modality to (b, M, ...), with 0 for the others."""
        if not values:
            return torch.zeros(len(part.rows), MODALITIES)
        like = next(iter(values.values()))
        stacked = [values[self.modalities.index(m)] if m in part.modalities else torch.zeros_like(like)
                   for m in range(MODALITIES)]
        stacked = torch.stack(stacked, dim=1)
        return stacked.squeeze(-1) if stacked.ndim == 5 else stacked


def _picked(values: Tensor, rows: list[int]) -> Tensor:
    return values if rows == list(range(len(values))) else values[rows]


def _in_batch_order(parts: list[Part], values: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """One tensor for each part -> one for the batch."""
    if len(parts) == 1:
        return values[0]
    rows = torch.tensor([row for part in parts for row in part.rows])
    return torch.cat(tuple(values))[torch.argsort(rows).to(values[0].device)]


def _initialise(module: nn.Module) -> None:
    # As VMamba and Swin: short linear weights, so that residual branches start small.
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (RSGMB, ReliableCrossScan)):
        for gate in module.own_gates:
            gate.open()
