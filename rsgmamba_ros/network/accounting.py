"""What a network costs: parameters and multiply-accumulates, by part."""
from __future__ import annotations

import torch
from torch import nn, Tensor

from rsgmamba_ros.network.availability import availability_cases
from rsgmamba_ros.network.config import RSGMambaConfig
from rsgmamba_ros.network.encoders.efficientnet_lite import Convolution
from rsgmamba_ros.network.encoders.vss_block import SelectiveScan2D
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.ops.cross_scan import DIRECTIONS

PARTS = ('encoder', 'rsgmb', 'lcgm', 'decoder', 'reliability_head')


def part_of(name: str) -> str:
    """The part that a parameter or module belongs to, by its dotted name."""
    part, *rest = name.split('.')
    if part != 'fusion':
        return part
    return 'lcgm' if len(rest) > 1 and rest[1] in ('lcgm', 'merge') else 'rsgmb'


def count_parameters(network: RSGMamba) -> dict[str, int]:
    """Parameters of the network (`parameters`) and of each part in `PARTS`."""
    counts = dict.fromkeys(('parameters', *PARTS), 0)
    for name, parameter in network.named_parameters():
        counts[part_of(name)] += parameter.numel()
        counts['parameters'] += parameter.numel()
    return counts


def count_operations(config: RSGMambaConfig, height: int, width: int,
                     available: tuple[bool, bool] = (True, True)) -> dict[str, int]:
    """Multiply-accumulates of one bundle: `operations`, each part in `PARTS`, and `scan`, which is within the parts.

    Counted are matrix products, convolutions and the scan: R for the step and 4N + 1 for states and read-out, per
    direction, pixel and channel. Norms, activations and resizing are not, as is usual.

    Args:
        height: of the image, a multiple of 32.
        width: likewise.
        available: whether RGB and whether the auxiliary modality is there.
    """
    with torch.device('meta'):
        network = RSGMamba(config).eval()
        images = torch.zeros(1, 2, 3, height, width)
    network.set_scan_backend('chunked')
    counts = dict.fromkeys(('operations', *PARTS, 'scan'), 0)
    for name, module in network.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, Convolution, SelectiveScan2D)):
            _watch(module, part_of(name), counts)
    with torch.no_grad():
        network.segment(images, availability_cases(torch.tensor([available], device='cpu'), network.axis,
                                                   network.modalities))
    counts['operations'] = sum(counts[part] for part in PARTS)
    return counts


def _watch(module: nn.Module, part: str, counts: dict[str, int]) -> None:
    """Add a module's multiply-accumulates to the counts whenever it runs."""
    if isinstance(module, SelectiveScan2D):
        scan = module.scan

        def counted(features: Tensor, projected: Tensor) -> Tensor:
            states, rank = module.states, module.dt_rank
            own = features.numel() * DIRECTIONS * (rank + 4 * states + 1)
            counts['scan'] += own
            # The depth-wise 3x3 before it and the projection are no modules of their own.
            counts[part] += own + features.numel() * (9 + DIRECTIONS * (rank + 2 * states))
            return scan(features, projected)
        module.scan = counted  # type: ignore[method-assign]  # on this instance alone, to count
        return
    weight = module.weight
    assert isinstance(weight, Tensor)

    def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[part] += output.numel() * weight[0].numel()
    module.register_forward_hook(hook)
