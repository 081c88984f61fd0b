import pytest
import torch

from rsgmamba_ros.network.encoders import vss_block
from rsgmamba_ros.network.encoders.vmamba import VMambaEncoder
from rsgmamba_ros.network.encoders.vss_block import DropPath, Mlp


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


def test_blocks_are_left_out_the_more_often_the_deeper_they_lie():
    encoder = VMambaEncoder((8, 8, 8, 8), (1, 1, 2, 1), states=1, ratio=1.0, mlp_ratio=2.0, drop_path=0.4)
    rates = [module.probability for module in encoder.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_branch_is_left_out_for_whole_batch_items_and_its_mean_stays():
    torch.manual_seed(0)
    drop, branch = DropPath(0.25).train(), torch.ones(4000, 2, 3)
    found = drop(branch)
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(found.amax((1, 2)), found.amin((1, 2)))
    assert found.mean() == pytest.approx(1, abs=0.05)
    assert drop.eval()(branch) is branch
