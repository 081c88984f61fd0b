"""The weights that a training starts from, and those that it does not train."""
from __future__ import annotations

from math import log
from pathlib import Path

from torch import Size, Tensor

from rsgmamba_ros.network.checkpoint import Checkpoint, load_checkpoint, load_strictly, load_vmamba
from rsgmamba_ros.network.encoders.efficientnet_lite import EfficientNetLiteEncoder, load_imagenet
from rsgmamba_ros.network.fusion.reliable_cross_scan import ReliableCrossScan
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import NORMALISED_RANGE, PreprocessingConfig

#: Instead of a file: the ImageNet weights of EfficientNet-Lite0, which a Python package holds.
IMAGENET = 'imagenet'
HEAD = 'reliability_head.'
STEM = 'encoder.auxiliary_stem.'


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


def load_start(network: RSGMamba, labels: LabelSpace, source: Path | None,
               preprocessing: PreprocessingConfig | None = None) -> None:
    """Start the whole network from a checkpoint; None leaves it as it is.

    A classifier of other classes and a reliability head of another kind are left out: these stay as initialised, as do
    the gates that a cross scan does not have. Private norms start from the common norms of the checkpoint.

    Raises:
        CheckpointError: the file cannot be used, or is of a network of another shape; the message lists what differs.
    """
    if source is None:
        return
    checkpoint = load_checkpoint(source)
    tensors = checkpoint.network.state_dict()
    own = network.state_dict()
    if checkpoint.labels.names != labels.names:
        tensors = _with_own(tensors, own, 'decoder.classifier.')
    if _shapes(tensors, HEAD) != _shapes(own, HEAD):
        tensors = _with_own(tensors, own, HEAD)
    gates = {name: value for name, value in own.items() if is_gate(name) and name not in tensors}
    stem = {} if any(name.startswith(STEM) for name in tensors) else \
        {name: value for name, value in own.items() if name.startswith(STEM)}
    if checkpoint.auxiliary is not network.config.auxiliary:
        tensors = _with_norms_of_rgb(tensors)
    load_strictly(network, _with_private_norms(tensors | gates | stem, own), str(source))
    if isinstance(network.encoder, EfficientNetLiteEncoder):
        _start_stem(network.encoder, checkpoint, network.config.auxiliary,
                    preprocessing or checkpoint.preprocessing, is_new=bool(stem))


def _start_stem(encoder: EfficientNetLiteEncoder, checkpoint: Checkpoint, auxiliary: Modality,
                preprocessing: PreprocessingConfig, *, is_new: bool) -> None:
    """Start an auxiliary stem that the checkpoint does not have, or has for another modality, from the common one."""
    if checkpoint.auxiliary is not auxiliary:
        encoder.start_auxiliary_stem()
    elif is_new:
        # The common stem learned from depth in another scaling.
        old, new = checkpoint.preprocessing.depth, preprocessing.depth
        gain = new.log_range / old.log_range
        offset = log(new.min_m / old.min_m) / old.log_range - 0.5 * NORMALISED_RANGE + 0.5 * NORMALISED_RANGE * gain
        encoder.start_auxiliary_stem(gain=gain, offset=offset)


def _with_norms_of_rgb(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Start the private norms of an auxiliary image where those of RGB are: a thermal image looks more like it."""
    return {name: tensors.get(name.replace('.auxiliary_', '.'), value) if name.startswith('encoder.blocks.') else value
            for name, value in tensors.items()}


def _with_private_norms(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    common = {name: name.replace('.auxiliary_', '.') for name in own if name.startswith('encoder.')}
    return tensors | {name: tensors[source] for name, source in common.items()
                      if name not in tensors and source in tensors}


def _with_own(tensors: dict[str, Tensor], own: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors, but the network's own ones under a prefix."""
    return {name: value for name, value in tensors.items() if not name.startswith(prefix)} \
        | {name: value for name, value in own.items() if name.startswith(prefix)}


def _shapes(tensors: dict[str, Tensor], prefix: str) -> dict[str, Size]:
    return {name: value.shape for name, value in tensors.items() if name.startswith(prefix)}


def is_gate(name: str) -> bool:
    """Whether a parameter is one that a `ReliableCrossScan` has and a cross scan does not."""
    return name.startswith('fusion.') and name.split('.')[2] in ReliableCrossScan.gate_names


def is_reliability_head(name: str) -> bool:
    """Whether a parameter is one of the reliability head's."""
    return name.startswith(HEAD)


def freeze(network: RSGMamba, prefixes: tuple[str, ...]) -> None:
    """Exclude parameters from the training.

    Args:
        prefixes: of parameter names.

    Raises:
        ConfigError: no parameter has such a prefix.
    """
    for prefix in prefixes:
        found = [parameter for name, parameter in network.named_parameters() if name.startswith(prefix)]
        if not found:
            raise ConfigError(f'frozen: no parameter of the network has a name with the prefix {prefix!r}')
        for parameter in found:
            parameter.requires_grad_(False)
