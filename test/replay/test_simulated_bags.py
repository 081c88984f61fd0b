"""Bags whose log times are not those of the stamps: a simulation recorded without simulated time, a converted bag."""
import json

import numpy as np
import pytest

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.bags.writer import BagWriter

START_NS, COUNT = 1_700_000_000_000_000_000, 120
SECOND = 1_000_000_000


def write(path, *, log_rate_hz):
    """Stamps at 30 Hz from 5 s on; the log has them at another rate, or all at once."""
    with BagWriter(path) as bag:
        for index in range(COUNT):
            stamp_ns = 5 * SECOND + index * SECOND // 30
            log_ns = START_NS + (index * SECOND // log_rate_hz if log_rate_hz else 0)
            bag.write_image('/rgb', np.full((16, 16, 3), index, np.uint8), encoding='rgb8', stamp_ns=stamp_ns,
                            received_ns=log_ns)
            bag.write_image('/depth', np.full((16, 16), 900 + index, np.uint16), encoding='16UC1',
                            stamp_ns=stamp_ns + 3_000_000, received_ns=log_ns + (2_000_000 if log_rate_hz else 0))
    return path


def replayed(path, out, *options):
    assert main(['replay', str(path), '--sync-only', '--out', str(out), *options]) == 0
    return json.loads((out / 'summary.json').read_text())


@pytest.mark.parametrize('log_rate_hz', [10, 15, 60, 0])
def test_images_pair_from_the_first_one_and_the_option_is_named(tmp_path, capsys, log_rate_hz):
    summary = replayed(write(tmp_path / 'bag', log_rate_hz=log_rate_hz), tmp_path / 'out')
    assert summary['modalities']['depth']['presence'] == {'present': COUNT, 'late': 0, 'missing': 0, 'stale': 0}
    assert not [finding for finding in summary['health']['findings'] if 'lost' in finding['text']]
    assert '--order-by header' in capsys.readouterr().err


@pytest.mark.parametrize('log_rate_hz', [15, 60, 0])
def test_ordered_by_header_such_a_bag_is_like_any_other(tmp_path, capsys, log_rate_hz):
    summary = replayed(write(tmp_path / 'bag', log_rate_hz=log_rate_hz), tmp_path / 'out', '--order-by', 'header')
    assert summary['modalities']['depth']['presence']['present'] == COUNT
    assert summary['health'] == {'level': 'OK', 'findings': []}
    assert summary['episodes'] == []
    assert summary['bag']['duration_s'] == pytest.approx(COUNT / 30, abs=0.04)
    assert 'warning' not in capsys.readouterr().err


def test_a_bag_with_sound_log_times_needs_no_option(tmp_path, capsys):
    replayed(write(tmp_path / 'bag', log_rate_hz=30), tmp_path / 'out')
    assert '--order-by' not in capsys.readouterr().err
