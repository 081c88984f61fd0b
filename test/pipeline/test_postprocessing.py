import numpy as np
import pytest
import torch

from rsgmamba_ros.pipeline.postprocessing import grey, label_and_confidence, overlay, resize_decision
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


@pytest.mark.parametrize('size', [(9, 14), (23, 31), (2, 3)])
def test_a_resized_label_map_holds_only_labels_that_were_there(size):
    rng = np.random.default_rng(0)
    label_map = rng.choice(np.array([0, 7, 200, 255], np.uint8), (6, 8))
    confidence = np.full((6, 8), 90, np.uint8)
    resized, resized_confidence = resize_decision(label_map, confidence, size)
    assert resized.shape == resized_confidence.shape == size
    assert set(np.unique(resized)) <= {0, 7, 200, 255}
    assert (resized_confidence == 90).all()


def test_a_resized_label_map_keeps_every_label_in_its_region():
    label_map = np.repeat([[0, 9], [4, 2]], 4, axis=0).repeat(4, axis=1).astype(np.uint8)
    resized, _ = resize_decision(label_map, label_map, (24, 24))
    np.testing.assert_array_equal(resized, label_map.repeat(3, axis=0).repeat(3, axis=1))


def test_confidence_is_resized_smoothly():
    confidence = np.array([[0, 200]], np.uint8).repeat(2, axis=0)
    _, resized = resize_decision(np.zeros((2, 2), np.uint8), confidence, (4, 8))
    assert (np.diff(resized[0].astype(int)) >= 0).all() and len(np.unique(resized[0])) > 2


def test_a_decision_of_the_right_size_is_left_as_it_is():
    label_map, confidence = np.ones((3, 4), np.uint8), np.zeros((3, 4), np.uint8)
    resized = resize_decision(label_map, confidence, (3, 4))
    assert resized[0] is label_map and resized[1] is confidence


def test_overlay_paints_only_colours_of_labels_that_are_there():
    labels = LabelSpace(('a', 'b', 'c'), palette=((0, 0, 0), (0, 255, 0), (255, 0, 0)))
    label_map = np.array([[0, 2], [2, 0]], np.uint8)
    painted = overlay(np.zeros((11, 13, 3), np.uint8), label_map, labels, alpha=1.0)
    assert {tuple(colour) for colour in painted.reshape(-1, 3).tolist()} == {(0, 0, 0), (255, 0, 0)}


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
