"""LCGM against its definition, written out with plain operators."""
import torch
from torch.nn import functional as F

from rsgmamba_ros.network.fusion.lcgm import LCGM
from test.network.fusion.stages import AXIS, CHANNELS, DEPTH, random_features, RGB


def sharpened(lcgm, features, shares, modality, other):
    """One stream with the other one's local gate, and its part of the merge."""
    gate = lcgm.gates[other]
    local = F.conv2d(features[other].movedim(-1, 1), gate.local.weight, padding=1, groups=CHANNELS).movedim(1, -1)
    opened = torch.sigmoid(local @ gate.point.weight.T + gate.point.bias)
    stream = features[modality] * (1 + shares[other] * opened)
    return (shares[modality] * stream) @ lcgm.merge[modality].weight.T


def test_each_stream_is_sharpened_by_the_gate_and_the_share_of_the_other_one():
    torch.manual_seed(0)
    lcgm, features = LCGM(CHANNELS, AXIS).requires_grad_(False), random_features()
    shares = {RGB: torch.rand(1, 8, 8, 1)}
    shares[DEPTH] = 1 - shares[RGB]
    merged = sharpened(lcgm, features, shares, RGB, DEPTH) + sharpened(lcgm, features, shares, DEPTH, RGB)
    expected = F.gelu(F.layer_norm(merged, (CHANNELS,), lcgm.norm.weight, lcgm.norm.bias))
    torch.testing.assert_close(lcgm(features, shares), expected, rtol=1e-4, atol=1e-5)


def test_a_stream_alone_is_projected_and_normalised():
    torch.manual_seed(0)
    lcgm, features = LCGM(CHANNELS, AXIS).requires_grad_(False), random_features()
    merged = features[RGB] @ lcgm.merge[RGB].weight.T
    expected = F.gelu(F.layer_norm(merged, (CHANNELS,), lcgm.norm.weight, lcgm.norm.bias))
    found = lcgm({RGB: features[RGB]}, {RGB: torch.ones(1, 8, 8, 1)})
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
