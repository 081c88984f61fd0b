import pytest
import torch

from rsgmamba_ros.network.encoders import vss_block
from rsgmamba_ros.network.encoders.vss_block import Mlp


@pytest.mark.parametrize('pieces', [1, 3, 7])
def test_a_large_map_made_in_pieces_is_the_same(monkeypatch, pieces):
    torch.manual_seed(0)
    mlp, features = Mlp(8, 32), torch.randn(1, 10, 11, 8)
    expected = mlp(features).detach()
    hidden_bytes = 110 * 32 * 4
    monkeypatch.setattr(vss_block, 'LARGE_BYTES', hidden_bytes - 1)
    monkeypatch.setattr(vss_block, 'PIECE_BYTES', -(-hidden_bytes // pieces))
    with torch.no_grad():
        torch.testing.assert_close(mlp(features), expected)
