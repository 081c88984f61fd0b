"""One stage's features and reliabilities for the tests of fusions. B = 1, H = W = 8, C = 16."""
import torch
from torch import Tensor

from rsgmamba_ros.network.fusion.contract import Fusion
from rsgmamba_ros.vocabulary.images import Modality

RGB, DEPTH = AXIS = (Modality.RGB, Modality.DEPTH)
CHANNELS = 16


def random_features() -> dict[Modality, Tensor]:
    """(1, 8, 8, 16) of each modality, the same at each call."""
    generator = torch.Generator().manual_seed(1)
    return {modality: torch.randn(1, 8, 8, CHANNELS, generator=generator) for modality in AXIS}


def fuse(fusion: Fusion, features: dict[Modality, Tensor], logits: dict[Modality, float]) -> Tensor:
    """The fused map, (1, 8, 8, 16), of the modalities that have a reliability logit."""
    return fusion({modality: features[modality] for modality in logits},
                  {modality: torch.tensor([logit]) for modality, logit in logits.items()}).features
