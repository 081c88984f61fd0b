import numpy as np
import torch

from rsgmamba_ros.pipeline.postprocessing import grey, label_and_confidence, overlay
from rsgmamba_ros.vocabulary.labels import LabelSpace


def test_labels_and_confidence_are_those_of_the_softmax():
    logits = torch.randn(1, 5, 13, 17, generator=torch.Generator().manual_seed(0)) * 3
    label_map, confidence = label_and_confidence(
        logits, input_size=(13, 17), valid_size=(13, 17), output_size=(13, 17))
    highest, labels = logits.softmax(1)[0].max(0)
    np.testing.assert_array_equal(label_map, labels.numpy())
    # Half a step of rounding, and one float32 rounding at its edge.
    np.testing.assert_allclose(confidence / 255, highest.numpy(), atol=0.51 / 255)
    assert label_map.dtype == confidence.dtype == np.uint8


def test_padding_is_cut_off_and_the_rest_enlarged():
    logits = torch.zeros(1, 2, 32, 32)
    logits[0, 1, :16, :8] = 5
    logits[0, 0, :16, 8:16] = 5
    label_map, confidence = label_and_confidence(
        logits, input_size=(32, 32), valid_size=(16, 16), output_size=(32, 40))
    assert label_map.shape == confidence.shape == (32, 40)
    assert (label_map[:, :20] == 1).all() and (label_map[:, 20:] == 0).all()


def test_overlay_leaves_unlabelled_pixels_as_they_are_and_blends_the_others():
    image = np.full((8, 8, 3), 100, np.uint8)
    labels = LabelSpace(('a', 'b'), palette=((0, 0, 0), (200, 0, 0)))
    label_map = np.full((4, 4), 255, np.uint8)
    label_map[:, :2] = 1
    painted = overlay(image, label_map, labels, alpha=0.5)
    assert painted[0, 0].tolist() == [150, 50, 50]
    assert painted[0, 7].tolist() == [100, 100, 100]


def test_overlay_of_a_depth_image_shows_it_in_grey():
    metres = np.tile(np.linspace(1, 3, 16, dtype=np.float32), (16, 1))
    metres[0, 15] = np.nan
    shown = grey(metres)
    assert shown.shape == (16, 16, 3) and shown[5, 0, 0] < shown[5, 8, 0] < shown[5, 15, 0]
    assert overlay(metres, np.zeros((16, 16), np.uint8), LabelSpace(('a',))).shape == (16, 16, 3)
