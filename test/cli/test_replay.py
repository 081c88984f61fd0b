"""`rsgmamba replay` as it is typed."""
from dataclasses import replace
import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from rsgmamba_ros.cli import replay as command
from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.bags.sources import file_shots, find_image_files, write_shots
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.network.shipped import DEFAULTS
from rsgmamba_ros.vocabulary.errors import BagError
from rsgmamba_ros.vocabulary.images import Modality

SHARED = Path(__file__).resolve().parents[3] / 'shared' / 'data'
START_NS = 1_700_000_000_000_000_000


def write_bag(path, *, auxiliary='depth', encoding='16UC1', unread=0):
    with BagWriter(path) as bag:
        for index in range(6):
            header = {'stamp_ns': START_NS + index * 10**8, 'received_ns': START_NS + index * 10**8}
            bag.write_image('/rgb/image', np.full((48, 64, 3), index, np.uint8), encoding='rgb8', **header)
            bag.write_image(f'/{auxiliary}/image', np.ones((48, 64), np.uint8 if encoding == 'mono8' else np.uint16),
                            encoding='strange12' if index < unread else encoding, **header)
    return path


@pytest.mark.parametrize(('auxiliary', 'encoding'), [('depth', '16UC1'), ('thermal', 'mono8')])
def test_a_bag_alone_is_enough(tmp_path, auxiliary, encoding):
    bag = write_bag(tmp_path / 'drive.one', auxiliary=auxiliary, encoding=encoding)
    with patch.object(command, 'ReplaySession', side_effect=BagError('enough')) as session:
        assert main(['replay', str(bag)]) == 1
    options = session.call_args.args[0]
    assert options.checkpoint.stem == DEFAULTS[Modality(auxiliary)]
    assert options.out == tmp_path / 'drive.one_replay'
    assert options.settings.auxiliary is Modality(auxiliary)


def test_the_last_line_is_the_path_of_the_report(tmp_path, capsys):
    assert main(['replay', str(write_bag(tmp_path / 'bag')), '--sync-only']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '6 bundles, 0 of 6 leading images missed'
    assert Path(lines[-1]) == tmp_path / 'bag_replay' / 'report.html'
    assert Path(lines[-1]).is_file()


def test_what_is_read_in_part_is_said_and_is_status_3(tmp_path, capsys):
    bag = write_bag(tmp_path / 'bag', unread=4)
    assert main(['replay', str(bag), '--sync-only', '--rgb-topic', '/rgb/image', '--aux-topic', '/depth/image']) == 3
    cause = "/depth/image: depth image has encoding 'strange12'"
    assert f'warning: 4 skipped: {cause}' in capsys.readouterr().err
    summary = json.loads((tmp_path / 'bag_replay' / 'summary.json').read_text())
    assert [(count, name.startswith(cause)) for name, count in summary['skipped'].items()] == [(4, True)]
    assert 'strange12' in (tmp_path / 'bag_replay' / 'report.html').read_text()


def test_a_bag_of_which_nothing_is_read_is_status_1_with_the_encoding(tmp_path, capsys):
    bag = write_bag(tmp_path / 'bag', unread=6)
    assert main(['replay', str(bag), '--sync-only', '--rgb-topic', 'none', '--aux-topic', '/depth/image']) == 1
    assert "encoding 'strange12'" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason='the folder of real images (../shared/data) is absent')
@pytest.mark.parametrize('scaled', [False, True])
def test_a_bag_of_real_images_is_replayed_without_options(tmp_path, capsys, scaled):
    """With the shipped network; depth in 0.1 mm is named, and read with the parameter."""
    shots = []
    for shot in file_shots(find_image_files(SHARED / 'sevenscenes', Modality.DEPTH)[:3], Modality.DEPTH):
        depth = np.where(shot.auxiliary < 6500, shot.auxiliary * 10, 0).astype(np.uint16) if scaled else shot.auxiliary
        shots.append(replace(shot, auxiliary=depth))
    write_shots(tmp_path / 'bag', shots, auxiliary=Modality.DEPTH, rate_hz=10)
    assert main(['replay', str(tmp_path / 'bag')]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == '3 bundles, 0 of 3 leading images missed'
    out = tmp_path / 'bag_replay'
    assert Path(printed.out.splitlines()[-1]) == out / 'report.html'
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['checkpoint']['name'].startswith(DEFAULTS[Modality.DEPTH])
    assert {path.name for path in out.iterdir()} == {'summary.json', 'bundles.jsonl', 'report.html', 'results'}
    assert ('set depth_unit_m' in printed.err) == scaled
    if scaled:
        (tmp_path / 'params.yaml').write_text('/**:\n  ros__parameters: {depth_unit_m: 0.0001}\n')
        assert main(['replay', str(tmp_path / 'bag'), '--overwrite', '--params-file',
                     str(tmp_path / 'params.yaml')]) == 0
        assert 'depth_unit_m' not in capsys.readouterr().err
