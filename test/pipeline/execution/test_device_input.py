"""The device's input against that of the host; on the CPU, where the same operators run."""
import numpy as np
import pytest
import torch

from rsgmamba_ros.pipeline.execution.device_input import INPUTS
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.preprocessing import (
    DepthLaw,
    DepthScaling,
    INVALID_VALUE,
    PreprocessingConfig,
    ThermalScaling,
    ThermalStretch,
)

RGB, DEPTH, THERMAL = Modality
CPU = torch.device('cpu')
#: Padded below, padded on both sides, not padded at all; the images are 48x80.
SIZES = ((40, 64), (48, 80), (64, 96))


def on_device(values, modality, config):
    device_input = INPUTS[modality](config, CPU)
    arrays = device_input.arrays(values)
    assert len(arrays) == device_input.count
    result = device_input(*map(torch.from_numpy, arrays))
    assert result.dtype == torch.float32
    return np.broadcast_to(result.numpy(), (3, *config.padded_size))


def metres():
    """A slope from nearer to farther than the limits, with specks, a ragged rim and a wide hole."""
    rng = np.random.default_rng(0)
    values = np.tile(np.linspace(0.1, 14, 80, dtype=np.float32), (48, 1)) + rng.random((48, 80), dtype=np.float32)
    values[rng.random((48, 80)) < 0.1] = np.nan
    values[10:20, 30:50] = np.nan
    values[:2, :2] = np.nan
    return values


@pytest.mark.parametrize('size', SIZES)
def test_rgb_is_that_of_the_host_to_the_bit(size):
    config = PreprocessingConfig(*size)
    pixels = np.random.default_rng(1).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    np.testing.assert_array_equal(on_device(pixels, RGB, config), network_input(pixels, RGB, config))


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('law', list(DepthLaw))
def test_depth_is_that_of_the_host(size, law):
    config = PreprocessingConfig(*size, depth=DepthScaling(law=law))
    expected = network_input(metres(), DEPTH, config)
    result = on_device(metres(), DEPTH, config)
    np.testing.assert_array_equal(result == INVALID_VALUE, expected == INVALID_VALUE)
    assert (expected == INVALID_VALUE).any()
    # float32 of order 2, after a logarithm and two divisions.
    np.testing.assert_allclose(result, expected, atol=2e-6)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('stretch', list(ThermalStretch))
@pytest.mark.parametrize('has_holes', [False, True])
def test_thermal_is_that_of_the_host(size, stretch, has_holes):
    config = PreprocessingConfig(*size, thermal=ThermalScaling(stretch=stretch, low=2, high=9))
    values = metres() if has_holes else np.nan_to_num(metres())
    # The same float32 steps in the same order; a division by a tensor is exact on a CPU, and nearly on a GPU.
    np.testing.assert_allclose(on_device(values, THERMAL, config), network_input(values, THERMAL, config), atol=1e-6)


def test_an_image_without_any_measurement_is_invalid_all_over():
    config = PreprocessingConfig(48, 80)
    empty = np.full((48, 80), np.nan, np.float32)
    for modality in (DEPTH, THERMAL):
        assert (on_device(empty, modality, config) == INVALID_VALUE).all()


def test_every_modality_has_an_input():
    assert set(INPUTS) == set(Modality)
