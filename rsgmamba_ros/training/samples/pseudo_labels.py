"""Images of real sensors that have no labels, labelled by the network itself: self-training. [Lee, ICML-W 2013]

The network sees a whole, healthy pair, once as it is and once mirrored. What it is confident of becomes the label of
harder views of the same pair: one sensor alone, another camera, failures.

H, W image, K classes.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from rsgmamba_ros.data.samples import Sample
from rsgmamba_ros.network.rsgmamba import RSGMamba
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.training.samples.real_sensors import RealSensors
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig

#: Logit of the reliability of a healthy image.
HEALTHY = 4.0


class PseudoLabelled:
    """Samples of real sensors; every sensor is equally likely, however many images it has.

    Args:
        groups: folders of the sensors.
        folder: for the label maps; those that are there are used.
        width: of the samples, pixels; larger images are reduced to it.
    """

    def __init__(self, groups: Sequence[RealSensors], folder: Path, *, width: int):
        self.folder, self.width = folder, width
        self.sensors = [(name, group.images(name)) for group in groups for name in group.names]

    def label(self, network: RSGMamba, preprocessing: PreprocessingConfig, *, confidence: float,
              ignore_index: int) -> None:
        """Label every image that has no label map yet.

        Args:
            confidence: pixels below it are ignored.
        """
        network.eval()
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, images in self.sensors:
            for index in tqdm(images.indices, desc=name, unit='image', leave=False):
                sample = self._reduced(images.dataset[index])
                path = self._path(name, sample)
                if not path.exists():
                    cv2.imwrite(str(path), _label_map(network, sample, preprocessing, images.dataset.auxiliary,
                                                      confidence=confidence, ignore_index=ignore_index))

    def draw(self, rng: np.random.Generator) -> Sample:
        """A random image of a random sensor, with its label map."""
        name, images = self.sensors[int(rng.integers(len(self.sensors)))]
        sample = self._reduced(images.dataset[images.indices[int(rng.integers(len(images.indices)))]])
        label_map = cv2.imread(str(self._path(name, sample)), cv2.IMREAD_GRAYSCALE)
        assert label_map is not None
        return replace(sample, label_map=label_map)

    def _path(self, sensor: str, sample: Sample) -> Path:
        return self.folder / f'{sensor}__{sample.name}.png'

    def _reduced(self, sample: Sample) -> Sample:
        height, width = sample.rgb.shape[:2]
        if width <= self.width:
            return sample
        size = (self.width, max(1, round(height * self.width / width)))
        rgb = cv2.resize(sample.rgb, size, interpolation=cv2.INTER_AREA)
        auxiliary, label_map = (cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
                                for image in (sample.auxiliary, sample.label_map))
        return replace(sample, rgb=rgb, auxiliary=auxiliary, label_map=label_map)


@torch.inference_mode()
def _label_map(network: RSGMamba, sample: Sample, preprocessing: PreprocessingConfig, auxiliary: Modality, *,
               confidence: float, ignore_index: int) -> np.ndarray:
    """Classes of which the network is confident, (H, W) uint8."""
    height, width = sample.rgb.shape[:2]
    fitted = preprocessing.for_image(height, width)
    images = torch.stack([torch.from_numpy(network_input(values, modality, fitted)).expand(3, -1, -1)
                          for modality, values in ((Modality.RGB, sample.rgb), (auxiliary, sample.auxiliary))])
    device = next(network.parameters()).device
    both = torch.stack((images, images.flip(-1))).to(device)
    available = torch.ones(2, len(images), dtype=torch.bool, device=device)
    # A healthy pair, by assumption: what the head of this network thinks of it is not fitted yet.
    given = torch.full((2, len(images)), HEALTHY, device=device)
    logits = network(both, available, torch.arange(2, device=device), given).logits
    probabilities = logits.float().softmax(1)
    mean = (probabilities[0] + probabilities[1].flip(-1)) / 2
    mean = F.interpolate(mean[None], (height, width), mode='bilinear', align_corners=False)[0]
    value, label = mean.max(0)
    result: np.ndarray = torch.where(value >= confidence, label, ignore_index).to(torch.uint8).cpu().numpy()
    return result
