"""One or several processes: what `torchrun` started, and sums over all of them."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import os
from typing import TypeVar

import torch
from torch import distributed, nn, Tensor
from torch.nn.parallel import DistributedDataParallel

from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.pipeline.execution.engine import choose_device

Result = TypeVar('Result')


#: A method of a network with the arguments of `RSGMamba.forward`.
Method = Callable[..., Result]


class NetworkCaller(nn.Module):
    """Calls a method of a network in its own `forward`, the only one that `DistributedDataParallel` wraps."""

    def __init__(self, network: RSGMamba):
        super().__init__()
        self.network = network

    def forward(self, method: Method[Result], images: Tensor, available: Tensor, image_indices: Tensor,
                *more: Tensor | None) -> Result:
        """Call a method.

        Args:
            method: `RSGMamba.forward` or `RSGMamba.estimate_reliability`.
            images: see `RSGMamba.forward`, (R, M, 3, H, W).
            available: see `RSGMamba.forward`, (B, M).
            image_indices: see `RSGMamba.forward`, (B,).
            more: further arguments of the method.

        Returns:
            What the method returns.
        """
        return method(self.network, images, available, image_indices, *more)


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; a single one if `torchrun` did not start it."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes; no gradient."""
        values = values.detach().clone()
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def wrap(self, network: RSGMamba) -> nn.Module:
        """A `NetworkCaller` of the network, with gradients averaged over all processes."""
        caller = NetworkCaller(network)
        # A batch without one modality leaves that modality's parameters without a gradient in that process.
        return DistributedDataParallel(caller, find_unused_parameters=True) if self.count > 1 else caller

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            distributed.barrier()


def join_processes(device: str) -> tuple[Processes, torch.device]:
    """Join the processes that `torchrun` started, over NCCL on CUDA, else gloo.

    Args:
        device: as for `choose_device`; of several processes each takes the CUDA device of its own.

    Returns:
        this process among them, and its own device.

    Raises:
        BackendUnavailableError: no such device here.
    """
    count, rank = int(os.environ.get('WORLD_SIZE', '1')), int(os.environ.get('RANK', '0'))
    own = choose_device(device)
    cuda = own.type == 'cuda'
    if cuda and (count > 1 or own.index is None):
        own = torch.device('cuda', int(os.environ.get('LOCAL_RANK', '0')))
    if cuda:
        torch.cuda.set_device(own)
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group('nccl' if cuda else 'gloo')
    return Processes(rank, count), own
