"""What a training starts from, what it leaves as it is, and what is fitted instead of learned."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rsgmamba_ros.data.samples import Dataset
from rsgmamba_ros.network.checkpoint import load_checkpoint, load_strictly, load_vmamba
from rsgmamba_ros.network.efficientnet import EfficientNetLiteEncoder, load_imagenet
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.pipeline.preprocessing import network_input, PreprocessingConfig
from rsgmamba_ros.training.validation import spread
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.labels import LabelSpace

#: In place of a file: the ImageNet weights of EfficientNet-Lite0, which a package holds.
IMAGENET = 'imagenet'

#: Clean images of the training that the typicality is fitted to.
TYPICAL_IMAGES = 256
HEAD = 'reliability_head.'


def load_encoder(network: RSGMamba, source: Path | None) -> None:
    """Start the encoder from a file or from `IMAGENET`; None leaves it as it is.

    Raises:
        BackendUnavailableError: the package with the weights is not installed.
        CheckpointError: the weights do not fit.
        ConfigError: `IMAGENET` for an encoder whose weights come as a file.
    """
    if source is None:
        return
    if str(source) != IMAGENET:
        load_vmamba(network, source)
    elif isinstance(network.encoder, EfficientNetLiteEncoder):
        load_imagenet(network.encoder)
    else:
        raise ConfigError(f'{IMAGENET!r} names the weights of the encoder efficientnet_lite0 (preset lite); '
                          f'this network has {network.config.encoder}: name a file')


def load_start(network: RSGMamba, labels: LabelSpace, source: Path | None) -> None:
    """Start the whole network from a checkpoint; None leaves it as it is.

    The classifier of other classes is left out, and a reliability head of another kind: they stay as initialised.

    Raises:
        CheckpointError: the file cannot be used, or is of a network of another shape; the message lists what differs.
    """
    if source is None:
        return
    checkpoint = load_checkpoint(source)
    tensors = checkpoint.network.state_dict()
    if checkpoint.labels.names != labels.names:
        own = network.state_dict()
        tensors |= {name: own[name] for name in tensors if name.startswith('decoder.classifier.')}
    if network.reliability_head is not None and _shapes(tensors) != _shapes(network.state_dict()):
        own = network.state_dict()
        tensors = {name: value for name, value in tensors.items() if not name.startswith(HEAD)}
        tensors |= {name: value for name, value in own.items() if name.startswith(HEAD)}
    load_strictly(network, tensors, str(source))


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items() if name.startswith(HEAD)}


def fit_typicality(networks: tuple[RSGMamba, ...], dataset: Dataset, preprocessing: PreprocessingConfig) -> None:
    """Tell the reliability heads what clean auxiliary images look like, those that have not been told."""
    typicalities = [network.reliability_head.typicality for network in networks if network.reliability_head is not None]
    typicalities = [item for item in typicalities if item is not None and not item.is_fitted]
    if typicalities:
        images = [network_input(sample.auxiliary, dataset.auxiliary, preprocessing)
                  for sample in spread(dataset, TYPICAL_IMAGES)]
        for typicality in typicalities:
            typicality.fit(torch.from_numpy(np.stack(images)).to(typicality.centre.device))


def freeze(network: RSGMamba, beginnings: tuple[str, ...]) -> None:
    """Take the parameters whose names begin so out of the training.

    Raises:
        ConfigError: no parameter begins so.
    """
    for beginning in beginnings:
        found = [parameter for name, parameter in network.named_parameters() if name.startswith(beginning)]
        if not found:
            raise ConfigError(f'frozen: no parameter of the network has a name that begins with {beginning!r}')
        for parameter in found:
            parameter.requires_grad_(False)
