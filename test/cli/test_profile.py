"""`rsgmamba profile` with a network whose head takes a profile."""
import cv2
import numpy as np
import pytest

from rsgmamba_ros.cli import profile as command
from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.bags.sources import synthetic_shots, write_shots
from rsgmamba_ros.network.checkpoint import load_checkpoint
from rsgmamba_ros.network.shipped import checkpoint_path
from rsgmamba_ros.pipeline.segmenter import Segmenter
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.sensor_profile import load_profile
from test.pipeline.profiled_heads import FIGURES, with_profiled_head

NETWORK = ['--checkpoint', 'nano_synthetic_depth', '--device', 'cpu']


@pytest.fixture
def profiled(monkeypatch):
    """Let the command's network have a head that takes a profile."""
    monkeypatch.setattr(command, 'Segmenter', lambda path, **options: Segmenter(
        with_profiled_head(load_checkpoint(path)), **options))


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bags') / 'office'
    write_shots(path, synthetic_shots(14, seed=1, rate_hz=2, height=96, width=128, auxiliary=Modality.DEPTH),
                auxiliary=Modality.DEPTH, rate_hz=2)
    return path


def test_a_bag_gives_a_profile_and_a_summary(profiled, bag, tmp_path, capsys):
    out = tmp_path / 'front.yaml'
    assert main(['profile', str(bag), '-o', str(out), '--images', '7', *NETWORK]) == 0
    printed = capsys.readouterr().out
    assert '14 pairs of rgb and depth' in printed and f'7 pairs, {FIGURES} figures' in printed
    profile = load_profile(out)
    assert (profile.images, profile.auxiliary) == (7, Modality.DEPTH)
    assert profile.source == 'office: /rgb/image and /depth/image'


def test_a_folder_of_a_covered_camera_is_refused_and_writes_nothing(profiled, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ('rgb', 'depth'):
        (tmp_path / name).mkdir()
    for index in range(6):
        cv2.imwrite(str(tmp_path / 'rgb' / f'{index}.png'), rng.integers(0, 3, (96, 128, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / 'depth' / f'{index}.png'), rng.integers(500, 4000, (96, 128), dtype=np.uint16))
    assert main(['profile', str(tmp_path), '-o', str(tmp_path / 'front.yaml'), *NETWORK]) == 1
    assert 'rgb is covered or dark (6 of 6 images)' in capsys.readouterr().err
    assert not (tmp_path / 'front.yaml').exists()


def test_a_network_that_takes_no_profile_is_one_line(bag, tmp_path, capsys):
    if load_checkpoint(checkpoint_path('nano_synthetic_depth', Modality.DEPTH)).network.reliability_head.takes_profile:
        pytest.skip('every head takes a profile')
    assert main(['profile', str(bag), '-o', str(tmp_path / 'front.yaml'), *NETWORK]) == 1
    assert 'takes no sensor profile' in capsys.readouterr().err


def test_a_bag_that_is_read_in_part_gives_a_profile_with_a_warning_and_status_3(profiled, bag, tmp_path, capsys):
    cut = tmp_path / 'cut.mcap'
    data = next(bag.glob('*.mcap')).read_bytes()
    cut.write_bytes(data[:len(data) * 9 // 10])
    assert main(['profile', str(cut), '-o', str(tmp_path / 'front.yaml'), '--images', '7', *NETWORK]) == 3
    assert 'warning: cut.mcap is cut off' in capsys.readouterr().err
    assert (tmp_path / 'front.yaml').is_file()
