"""`rsgmamba convert`: VMamba's ImageNet checkpoint (.pth) -> a safetensors file that training starts from."""
from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save_file
import torch

from rsgmamba_ros.network.checkpoint import load_strictly, read_vmamba
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.vocabulary.errors import CheckpointError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rsgmamba convert`."""
    parser.add_argument('source', type=Path, help='vssm1_tiny_0230s_ckpt_epoch_264.pth of the VMamba project')
    parser.add_argument('target', type=Path, help='.safetensors file to write')


def run(arguments: argparse.Namespace) -> None:
    """Read the tensors without executing anything, check that they are the encoder of `base`, write them."""
    tensors = read_vmamba(arguments.source)
    with torch.device('meta'):
        encoder = create_network('base', classes=1).encoder
    norms = {name: torch.ones(tensor.shape) for name, tensor in encoder.state_dict().items()
             if name.startswith('outnorm')}
    load_strictly(encoder, norms | tensors, str(arguments.source))
    try:
        arguments.target.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, arguments.target,
                  metadata={'format': 'vmamba', 'model': 'vssm1_tiny_0230s'})
    except OSError as error:
        raise CheckpointError(f'cannot write {arguments.target}: {error}') from error
    count = sum(tensor.numel() for tensor in tensors.values())
    print(f'{arguments.target}: {len(tensors)} tensors, {count / 1e6:.2f}M parameters')
