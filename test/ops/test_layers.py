"""Compiled layers against their plain torch definition."""
import pytest
import torch
from torch.nn import functional as F

from rsgmamba_ros.ops.cpu.library import cpu_library_problem
from rsgmamba_ros.ops.layers import add_layer_norm, depthwise_silu, gelu, layer_norm

pytestmark = pytest.mark.skipif(cpu_library_problem() is not None, reason=f'not compiled: {cpu_library_problem()}')

# float32: another order of sums, polynomials good to 2e-7. bfloat16: the result is rounded to 8 bits.
TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 1e-2}
precisions = pytest.mark.parametrize('dtype', TOLERANCE)
channel_counts = pytest.mark.parametrize('channels', [1, 13, 16, 32, 40, 96])


def features(channels, dtype):
    return torch.randn(2, 5, 7, channels, generator=torch.Generator().manual_seed(channels)).to(dtype)


def assert_close(result, expected, dtype):
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), expected.float(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@precisions
@channel_counts
def test_layer_norm_agrees(channels, dtype):
    weight, bias = torch.randn(channels), torch.randn(channels)
    expected = F.layer_norm(features(channels, dtype).float(), (channels,), weight, bias, 1e-5)
    assert_close(layer_norm(features(channels, dtype), weight, bias, 1e-5), expected, dtype)


@precisions
@channel_counts
def test_sum_and_its_layer_norm_agree(channels, dtype):
    weight, bias = torch.randn(channels), torch.randn(channels)
    first, second = features(channels, dtype), features(channels, dtype).flip(0)
    total, normalised = add_layer_norm(first, second, weight, bias, 1e-5)
    assert_close(total, first.float() + second.float(), dtype)
    assert_close(normalised, F.layer_norm(first.float() + second.float(), (channels,), weight, bias, 1e-5), dtype)


@precisions
@channel_counts
def test_depthwise_convolution_with_silu_agrees(channels, dtype):
    weight = torch.randn(channels, 1, 3, 3)
    maps = features(channels, dtype).float().permute(0, 3, 1, 2)
    expected = F.silu(F.conv2d(maps, weight, padding=1, groups=channels)).permute(0, 2, 3, 1)
    assert_close(depthwise_silu(features(channels, dtype), weight), expected, dtype)


def test_depthwise_convolution_reads_a_slice_of_channels():
    wide, weight = features(32, torch.float32), torch.randn(16, 1, 3, 3)
    part = wide.chunk(2, dim=-1)[1]
    torch.testing.assert_close(depthwise_silu(part, weight), depthwise_silu(part.contiguous(), weight))


@pytest.mark.parametrize('height, width', [(1, 1), (1, 5), (4, 1), (2, 2)])
def test_depthwise_convolution_agrees_on_the_smallest_maps(height, width):
    maps, weight = torch.randn(1, height, width, 3), torch.randn(3, 1, 3, 3)
    expected = F.silu(F.conv2d(maps.permute(0, 3, 1, 2), weight, padding=1, groups=3)).permute(0, 2, 3, 1)
    assert_close(depthwise_silu(maps, weight), expected, torch.float32)


@precisions
def test_gelu_agrees_from_end_to_end(dtype):
    values = torch.cat((torch.linspace(-12, 12, 1001), torch.tensor([-1e30, -90.0, 0.0, 90.0, 1e30]))).to(dtype)
    assert_close(gelu(values.clone()), F.gelu(values.float()), dtype)


def test_extreme_values_stay_finite():
    maps = torch.tensor([-1e30, -200.0, -88.0, 0.0, 88.0, 1e30]).view(1, 1, 6, 1)
    centre = torch.zeros(1, 1, 3, 3)
    centre[0, 0, 1, 1] = 1
    torch.testing.assert_close(depthwise_silu(maps, centre), F.silu(maps), rtol=1e-6, atol=1e-6)


def test_gradients_take_the_definition():
    weight, bias = torch.ones(4, requires_grad=True), torch.zeros(4)
    maps = features(4, torch.float32)
    assert layer_norm(maps, weight, bias, 1e-5).requires_grad
    leaf = maps.clone().requires_grad_()
    assert gelu(leaf) is not leaf
