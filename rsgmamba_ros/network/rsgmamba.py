"""RSGMamba: two images -> logits, and the reliability of each modality.

Availability is structure: the batch is split by which modalities a bundle has, and a missing modality has no tensor.
So a missing image is neither encoded nor multiplied by anything: nothing of it can reach the output.

B batch, b items of one availability case, M = 2 modalities (RGB, then the auxiliary one), K classes, H, W image.

Source: RSGMamba (arXiv 2604.12319); docs/network.md tells [paper], [reported] and [ours] apart.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.availability import availability_cases, AvailabilityCase, in_batch_order, stack_modalities
from rsgmamba_ros.network.config import build_reliability_head, ENCODERS, RSGMambaConfig
from rsgmamba_ros.network.decoder import Decoder, enlarge
from rsgmamba_ros.network.encoders import efficientnet_lite as efficientnet
from rsgmamba_ros.network.encoders.contract import STRIDES
from rsgmamba_ros.network.encoders.vss_block import SelectiveScan2D
from rsgmamba_ros.network.fusion.contract import FusedStage, Fusion
from rsgmamba_ros.network.fusion.late_fusion import fuse_late
from rsgmamba_ros.network.fusion.registry import FUSIONS
from rsgmamba_ros.network.reliability.head import AssumedReliability
from rsgmamba_ros.vocabulary.images import Modality, modality_axis

DIVISOR = STRIDES[-1]


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What a forward pass gives.

    Attributes:
        logits: (B, K, H, W) at the input's size, float32.
        reliability: (B, M) in [0, 1], float32; exactly 0 where a modality is not available.
        reliability_logits: (B, M), float32, before the sigmoid; 0 where a modality is not available.
        reliability_maps: per stage (B, M, H_s, W_s) in [0, 1], float32: the modality's own gate g_u; 0 where it is
            not available. Empty for networks without gates, and while the gates are off.
    """

    logits: Tensor
    reliability: Tensor
    reliability_logits: Tensor
    reliability_maps: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Encoded:
    """The batch items of one availability case after the encoder.

    Attributes:
        case: which items they are.
        images: for each available modality (b, 3, H, W).
        features: for each available modality and stage (b, H_s, W_s, C_s).
    """

    case: AvailabilityCase
    images: dict[Modality, Tensor]
    features: dict[Modality, list[Tensor]]


@dataclass(frozen=True, eq=False)
class Fused:
    """The batch items of one availability case after the fusion.

    Attributes:
        together: all stages, from all available modalities.
        alone: all stages, from each modality alone; empty where there is no late fusion.
    """

    together: list[FusedStage]
    alone: dict[Modality, list[FusedStage]]

    @property
    def predictions(self) -> list[list[FusedStage]]:
        """The stages of each prediction that the decoder makes: `together`, then those of `alone`."""
        return [self.together, *self.alone.values()]


class RSGMamba(nn.Module):
    """The network. See `forward`.

    Attributes:
        axis: the modalities along M: RGB, then the auxiliary one.
        modalities: those that the network uses: all, or the one of a single-modality network.
        gates_on: whether the fusion is weighted by reliability; off while a network with `FusionKind.gate_names` is
            trained as a plain cross scan.
        late_fusion: whether predictions from each image of a pair alone are averaged in; never in training, where each
            case is trained on its own.
    """

    def __init__(self, config: RSGMambaConfig):
        super().__init__()
        kind = FUSIONS[config.fusion]
        self.config = config
        self.axis = modality_axis(config.auxiliary)
        self.modalities = kind.modalities(config.auxiliary)
        self.gates_on = True
        self.late_fusion = config.late_fusion and kind.gated
        self.encoder = ENCODERS[config.encoder](config)
        self.fusion = nn.ModuleList(kind.stage(dim, config.auxiliary, config.fusion_size) for dim in config.dims)
        self.decoder = Decoder(config.dims, width=config.decoder_width, classes=config.classes, states=config.states,
                               mlp_ratio=config.decoder_mlp_ratio)
        self.apply(_initialise)
        self.reliability_head = build_reliability_head(config) if kind.gated else AssumedReliability()

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

    def forward(self, images: Tensor, available: Tensor, image_indices: Tensor | None = None,
                reliability_logits: Tensor | None = None) -> NetworkOutput:
        """Segment.

        Args:
            images: normalised images, (R, M, 3, H, W), float32; H and W multiples of 32. The values of an unavailable
                one, even NaN, change no bit of the result.
            available: (B, M), bool.
            image_indices: where batch items share images: the index in `images` of each batch item, (B,), int64; each
                image is encoded once. By default batch item i has images[i].
            reliability_logits: (B, M), in place of the estimate: in training, what was done to the images.

        Returns:
            See `NetworkOutput`. Networks of one modality ignore the other one.

        Raises:
            ValueError: sizes do not fit, or a batch item has no modality that the network uses.
        """
        return self.segment(images, self._cases(images, available, image_indices), image_indices, reliability_logits)

    def forward_coarse(self, images: Tensor, available: Tensor) -> NetworkOutput:
        """As `forward`, but with logits at stride 4, (B, K, H / 4, W / 4), in the network's dtype."""
        return self._segment(images, self._cases(images, available, None), None)

    def estimate_reliability(self, images: Tensor, available: Tensor, image_indices: Tensor | None = None) -> Tensor:
        """Only estimate the reliability: fusion and decoder do not run, and the encoder gets no gradient.

        Args:
            images: see `forward`.
            available: see `forward`.
            image_indices: see `forward`.

        Returns:
            `NetworkOutput.reliability_logits`, (B, M), float32.
        """
        cases = self._cases(images, available, image_indices)
        with torch.no_grad():
            encoded = self._encode(images, cases, image_indices)
        return in_batch_order(cases, [stack_modalities(self._estimate(group), self.axis) for group in encoded])

    @torch.no_grad()
    def figures(self, images: Tensor) -> Tensor:
        """Give the evidence of pairs, from which a sensor profile is made; fusion and decoder do not run.

        Args:
            images: see `forward`; (B, M, 3, H, W), every modality available.

        Returns:
            (B, F), float32.

        Raises:
            ProfileError: the reliability head takes no sensor profile.
        """
        encoded, = self._encode(images, [AvailabilityCase(tuple(range(len(images))), self.modalities)], None)
        return self.reliability_head.figures(encoded.images, encoded.features)

    def segment(self, images: Tensor, cases: list[AvailabilityCase], image_indices: Tensor | None = None,
                reliability_logits: Tensor | None = None) -> NetworkOutput:
        """As `forward`, where the availability is known beforehand, as an export to a fixed graph needs it.

        Args:
            images: see `forward`.
            cases: each batch item once; each with at least one modality that the network uses.
            image_indices: see `forward`.
            reliability_logits: see `forward`.
        """
        output = self._segment(images, cases, image_indices, reliability_logits)
        return replace(output, logits=enlarge(output.logits, (images.shape[-2], images.shape[-1])))

    def _segment(self, images: Tensor, cases: list[AvailabilityCase], image_indices: Tensor | None,
                 reliability_logits: Tensor | None = None) -> NetworkOutput:
        # Encode: each available image once, with the weights that all modalities share.
        encoded = self._encode(images, cases, image_indices)
        # Estimate how reliable each image is, from the image, its features and the other image of the pair.
        estimates = [self._estimate(group) if reliability_logits is None else self._given(group, reliability_logits)
                     for group in encoded]
        # Fuse the modalities at every stage, weighted by reliability.
        fused = [self._fuse(group, estimate) for group, estimate in zip(encoded, estimates)]
        # Decode the fused maps to logits.
        logits = self._decode(fused)
        # Fuse late: average in what each image of a pair shows alone.
        logits_of_cases = [self._fuse_late(group, own, estimate)
                           for group, own, estimate in zip(fused, logits, estimates)]
        return self._output(cases, logits_of_cases, estimates, fused)

    def _encode(self, images: Tensor, cases: list[AvailabilityCase], image_indices: Tensor | None) -> list[Encoded]:
        sources = list(range(len(images))) if image_indices is None else image_indices.tolist()
        needed = {modality: sorted({sources[item] for case in cases if modality in case.modalities
                                    for item in case.items}) for modality in self.modalities}
        chosen = {modality: _chosen(images[:, self.axis.index(modality)], indices)
                  for modality, indices in needed.items() if indices}
        features = self._features(chosen)
        encoded = []
        for case in cases:
            own = {modality: [needed[modality].index(sources[item]) for item in case.items]
                   for modality in case.modalities}
            encoded.append(Encoded(
                case, {modality: _chosen(chosen[modality], indices) for modality, indices in own.items()},
                {modality: [_chosen(stage, indices) for stage in features[modality]]
                 for modality, indices in own.items()}))
        return encoded

    def _features(self, images: dict[Modality, Tensor]) -> dict[Modality, list[Tensor]]:
        """For each modality (n, 3, H, W) -> each stage (n, H_s, W_s, C_s); in one batch where norms are shared."""
        if self.encoder.has_private_norms:
            return {modality: self.encoder(image, modality) for modality, image in images.items()}
        stages = self.encoder(torch.cat(tuple(images.values())))
        parts = [stage.split([len(image) for image in images.values()]) for stage in stages]
        return {modality: [part[index] for part in parts] for index, modality in enumerate(images)}

    def _estimate(self, encoded: Encoded) -> dict[Modality, Tensor]:
        """For each available modality the logit of its reliability, (b,)."""
        estimator = self.reliability_head if self.gates_on else AssumedReliability()
        estimate: dict[Modality, Tensor] = estimator(encoded.images, encoded.features)
        return estimate

    def _given(self, encoded: Encoded, reliability_logits: Tensor) -> dict[Modality, Tensor]:
        return {modality: reliability_logits[list(encoded.case.items), self.axis.index(modality)]
                for modality in encoded.features}

    def _fuse(self, encoded: Encoded, estimate: dict[Modality, Tensor]) -> Fused:
        together = self._fuse_stages(encoded.features, estimate)
        if not self.late_fusion or self.training or len(encoded.features) < 2:
            return Fused(together, {})
        return Fused(together, {modality: self._fuse_stages({modality: stages}, estimate)
                                for modality, stages in encoded.features.items()})

    def _fuse_stages(self, features: dict[Modality, list[Tensor]],
                     estimate: dict[Modality, Tensor]) -> list[FusedStage]:
        """For each modality and stage (b, H_s, W_s, C_s) -> every stage fused."""
        gates = estimate if self.gates_on else {}
        return [fusion({modality: stages[index] for modality, stages in features.items()}, gates)
                for index, fusion in enumerate(self.fusion)]

    def _decode(self, fused: list[Fused]) -> list[list[Tensor]]:
        """For each case and prediction the logits at stride 4, (b, H / 4, W / 4, K); all in one batch."""
        predictions = [[stage.features for stage in stages] for case in fused for stages in case.predictions]
        if len(predictions) == 1:
            return [[self.decoder(predictions[0])]]
        logits = self.decoder([torch.cat(stages) for stages in zip(*predictions)])
        parts = iter(logits.split([len(stages[0]) for stages in predictions]))
        return [[next(parts) for _ in case.predictions] for case in fused]

    def _fuse_late(self, fused: Fused, logits: list[Tensor], estimate: dict[Modality, Tensor]) -> Tensor:
        """The logits of each prediction, (b, H / 4, W / 4, K) -> those of the case, (b, H / 4, W / 4, K)."""
        together, *alone = logits
        return fuse_late(together, dict(zip(fused.alone, alone)), estimate) if alone else together

    def _output(self, cases: list[AvailabilityCase], logits: list[Tensor],
                estimates: list[dict[Modality, Tensor]], fused: list[Fused]) -> NetworkOutput:
        """Put the cases back in the order of the batch; the logits stay at stride 4."""
        reliability_logits = in_batch_order(cases, [stack_modalities(own, self.axis) for own in estimates])
        # Made on the device: a table sent there would make a CUDA graph impossible.
        used = in_batch_order(cases, [stack_modalities({modality: torch.ones_like(logit, dtype=torch.bool)
                                                        for modality, logit in own.items()}, self.axis)
                                      for own in estimates])
        stages = zip(*([stage.gates for stage in case.together] for case in fused))
        maps = tuple(in_batch_order(cases, [stack_modalities(gates, self.axis).squeeze(-1) for gates in of_cases])
                     for of_cases in stages if all(of_cases))
        return NetworkOutput(
            logits=in_batch_order(cases, logits).permute(0, 3, 1, 2), reliability_logits=reliability_logits,
            reliability=torch.where(used, torch.sigmoid(reliability_logits), 0.0), reliability_maps=maps)

    def _cases(self, images: Tensor, available: Tensor, image_indices: Tensor | None) -> list[AvailabilityCase]:
        batch, height, width = len(images if image_indices is None else image_indices), *images.shape[-2:]
        if images.shape[1:3] != (len(self.axis), 3) or tuple(available.shape) != (batch, len(self.axis)):
            raise ValueError(f'images are {tuple(images.shape)} and available is {tuple(available.shape)}; expected '
                             f'(B, {len(self.axis)}, 3, H, W) and (B, {len(self.axis)})')
        if height % DIVISOR or width % DIVISOR:
            raise ValueError(f'image is {height}x{width}; both sides must be multiples of {DIVISOR}. '
                             f'Pad to {-(-height // DIVISOR) * DIVISOR}x{-(-width // DIVISOR) * DIVISOR}.')
        return availability_cases(available, self.axis, self.modalities)


def _chosen(values: Tensor, indices: list[int]) -> Tensor:
    """(n, ...) -> (len(indices), ...), without a copy where all are chosen in their order."""
    return values if indices == list(range(len(values))) else values[indices]


def _initialise(module: nn.Module) -> None:
    # As VMamba and Swin: short linear weights, so that residual branches start small.
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Fusion):
        module.open_gates()
