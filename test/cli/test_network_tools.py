"""The sub-commands that look at, convert, export and time networks."""
import json

import pytest
import torch

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.evaluation.speed import Speed
from rsgmamba_ros.network.checkpoint import Checkpoint, read_vmamba, save_checkpoint
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig


@pytest.fixture(scope='module')
def checkpoint_path(tmp_path_factory):
    path = tmp_path_factory.mktemp('checkpoint') / 'nano.safetensors'
    network = create_network('nano', classes=2, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_width=8)
    save_checkpoint(path, Checkpoint(network, LabelSpace(('floor', 'wall')), PreprocessingConfig(32, 32),
                                     info={'seed': 3}))
    return path


def test_info_gives_the_parameters_of_base_as_json(capsys):
    assert main(['info', '--preset', 'base', '--json', '--size', '64x64']) == 0
    figures = json.loads(capsys.readouterr().out)
    assert abs(figures['parameters'] - 48.6e6) <= 0.5e6
    assert {'encoder', 'rsgmb', 'lcgm', 'decoder'} <= set(figures)


def test_info_prints_what_a_checkpoint_holds(capsys, checkpoint_path):
    assert main(['info', '--checkpoint', str(checkpoint_path), '--size', '64x64']) == 0
    output = capsys.readouterr().out
    assert 'wall' in output and 'depth' in output and '"seed": 3' in output
    assert main(['info', '--checkpoint', 'nano_synthetic_thermal', '--size', '64x64']) == 0
    assert 'thermal' in capsys.readouterr().out


@pytest.mark.parametrize('size', ['64', '50x64', 'axb'])
def test_size_that_does_not_fit_is_one_line(capsys, size):
    assert main(['info', '--preset', 'nano', '--size', size]) == 1
    assert capsys.readouterr().err.count('\n') == 1


def test_convert_writes_what_training_reads(capsys, tmp_path):
    encoder = create_network('base', classes=1).encoder
    state = {name: tensor for name, tensor in encoder.state_dict().items() if not name.startswith('outnorm')}
    torch.save({'model': {**state, 'classifier.head.weight': torch.zeros(3, 3)}}, tmp_path / 'vmamba.pth')
    assert main(['convert', str(tmp_path / 'vmamba.pth'), str(tmp_path / 'vmamba.safetensors')]) == 0
    converted = read_vmamba(tmp_path / 'vmamba.safetensors')
    assert all(torch.equal(converted[name], tensor) for name, tensor in state.items())
    assert len(converted) == len(state)


def test_convert_refuses_another_model(capsys, tmp_path):
    torch.save({'model': {'conv1.weight': torch.zeros(3)}}, tmp_path / 'resnet.pth')
    assert main(['convert', str(tmp_path / 'resnet.pth'), str(tmp_path / 'out.safetensors')]) == 1
    assert 'do not fit' in capsys.readouterr().err
    assert not (tmp_path / 'out.safetensors').exists()


def test_benchmark_prints_a_row_for_each_case(capsys):
    assert main(['benchmark', '--preset', 'nano', '--size', '32x64', '--backend', 'auto', '--precision', 'float32',
                 '--modalities', 'both', '--classes', '2', '--repeats', '2', '--threads', '1', '--json']) == 0
    results = json.loads(capsys.readouterr().out)['results']
    assert [result['through'] for result in results] == ['network', 'segmenter']
    assert all(0 < result['scan_share'] < 1 and result['p50_ms'] <= result['p95_ms'] for result in results)


def test_an_interrupted_benchmark_prints_what_it_has(capsys, monkeypatch):
    def measure_one(case):
        if case.through != 'network':
            raise KeyboardInterrupt
        return Speed(1.0, 2.0, 500.0, 0.1, 100.0, 3)

    monkeypatch.setattr('rsgmamba_ros.cli.benchmark.measure_in_new_process', measure_one)
    assert main(['benchmark', '--preset', 'nano', '--backend', 'auto', '--precision', 'float32',
                 '--modalities', 'both']) == 130
    captured = capsys.readouterr()
    assert '500.00' in captured.out and captured.err.endswith('interrupted\n')
