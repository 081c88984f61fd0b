"""What the model cards promise of the shipped networks, on a few rooms that no training has seen."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.data.synthetic.dataset import SyntheticDataset
from rsgmamba_ros.evaluation.protocols import conditions_of
from rsgmamba_ros.evaluation.scoring import score_conditions
from rsgmamba_ros.network.shipped import checkpoint_path, FOLDER, SYNTHETIC
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.images import (
    AUXILIARY_MODALITIES,
    BundleSlot,
    ImageBundle,
    Modality,
    Presence,
    StampedImage,
)


@pytest.fixture(scope='module', params=AUXILIARY_MODALITIES, ids=str)
def scores(request, tmp_path_factory):
    """For each condition of the protocol `missing`, by the modalities that it takes away."""
    torch.set_num_threads(1)
    dataset = SyntheticDataset(request.param, first_seed=3_000_000, rooms=8, cache=tmp_path_factory.mktemp('rooms'))
    segmenter = Segmenter(checkpoint_path(SYNTHETIC[request.param], request.param), device='cpu')
    conditions = [item for item in conditions_of('missing', request.param, has_earlier=False)
                  if item.group in ('clean', 'missing')]
    scored = score_conditions(segmenter, dataset, conditions, indices=range(len(dataset)), seed=0)
    return {score.condition.hit: score for score in scored}, request.param


def test_clean_rooms_are_segmented_and_have_a_high_reliability(scores):
    by_missing, auxiliary = scores
    clean = by_missing[()]
    assert clean.confusion.miou() > 0.8
    assert all(clean.mean_reliability(modality) > 0.8 for modality in (Modality.RGB, auxiliary))


def test_a_missing_sensor_costs_little_and_has_reliability_zero(scores):
    by_missing, auxiliary = scores
    for missing in (Modality.RGB, auxiliary):
        without = by_missing[(missing,)]
        assert without.mean_reliability(missing) == 0
        assert without.confusion.miou() > by_missing[()].confusion.miou() - 0.15  # 16 images: the card has 128


def test_every_shipped_network_has_a_model_card():
    networks = sorted(FOLDER.glob('*.safetensors'))
    assert networks
    assert all(path.with_suffix('.md').is_file() and path.stat().st_size < 12e6 for path in networks)


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.safetensors')), ids=lambda path: path.stem)
def test_every_shipped_network_goes_on_with_either_sensor_alone(path):
    torch.set_num_threads(1)
    segmenter = Segmenter(path, device='cpu')
    rng = np.random.default_rng(0)
    rgb = StampedImage(Modality.RGB, 1, 1, rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), 'rgb8')
    scales = {Modality.DEPTH: ('16UC1', 1000, 5000), Modality.THERMAL: ('mono8', 0, 255)}
    encoding, low, high = scales[segmenter.auxiliary]
    pixels = rng.integers(low, high, (240, 320)).astype(np.uint8 if encoding == 'mono8' else np.uint16)
    auxiliary = StampedImage(segmenter.auxiliary, 1, 1, pixels, encoding)
    for images in ((rgb, auxiliary), (rgb,), (auxiliary,)):
        slots = {image.modality: BundleSlot(Presence.PRESENT, image, 0.0, 0.0) for image in images}
        result = segmenter.segment(ImageBundle(images[0].modality, slots, 1))
        assert result.label_map.shape == (240, 320) and result.label_map.max() < len(segmenter.labels)
        assert {modality for modality, entry in result.reliability.items() if entry.reliability > 0} <= set(slots)
