"""Checkpoints: what is saved comes back, what does not fit is refused with the reason."""
from collections import Counter
import json
import os
import random
import time

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
import torch

from rsgmamba_ros.network.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_strictly,
    load_vmamba,
    read_metadata,
    read_vmamba,
    save_checkpoint,
)
from rsgmamba_ros.network.presets import create_network
from rsgmamba_ros.pipeline.preprocessing import network_input
from rsgmamba_ros.vocabulary.errors import CheckpointError
from rsgmamba_ros.vocabulary.images import Modality
from rsgmamba_ros.vocabulary.labels import LabelSpace
from rsgmamba_ros.vocabulary.preprocessing import PreprocessingConfig, ThermalScaling

DEPTHS = (2, 2, 8, 2)
#: `RSGMAMBA_DAMAGES=1000` takes more damages than the few that every run takes.
CHECKPOINT_DAMAGES = int(os.environ.get('RSGMAMBA_DAMAGES', '40'))
DIMS = (96, 192, 384, 768)


@pytest.fixture(scope='module')
def checkpoint():
    torch.manual_seed(0)
    return Checkpoint(
        create_network('nano', classes=3, auxiliary=Modality.THERMAL).eval(), LabelSpace(('floor', 'wall', 'person')),
        PreprocessingConfig(height=64, thermal=ThermalScaling(unit='kelvin', high=400.0)),
        {'rgb': {'x': [-1.0, 2.0], 'y': [0.1, 0.9]}}, {'seed': 7})


@pytest.fixture
def saved(checkpoint, tmp_path):
    path = tmp_path / 'network.safetensors'
    save_checkpoint(path, checkpoint, dtype=torch.float32)
    return path


def rewrite(path, *, metadata=None, tensors=None):
    save_file(tensors or load_file(path), path, metadata=metadata)


def official_keys():
    """Names and shapes as in the official vssm1_tiny_0230s, written out independently of our modules."""
    shapes = {'patch_embed.0.weight': (48, 3, 3, 3), 'patch_embed.0.bias': (48,), 'patch_embed.2.weight': (48,),
              'patch_embed.2.bias': (48,), 'patch_embed.5.weight': (96, 48, 3, 3), 'patch_embed.5.bias': (96,),
              'patch_embed.7.weight': (96,), 'patch_embed.7.bias': (96,),
              'classifier.norm.weight': (768,), 'classifier.norm.bias': (768,),
              'classifier.head.weight': (1000, 768), 'classifier.head.bias': (1000,)}
    for i, (dim, depth) in enumerate(zip(DIMS, DEPTHS)):
        rank = dim // 16
        for j in range(depth):
            block = f'layers.{i}.blocks.{j}.'
            shapes |= {block + key: shape for key, shape in {
                'norm.weight': (dim,), 'norm.bias': (dim,), 'norm2.weight': (dim,), 'norm2.bias': (dim,),
                'op.x_proj_weight': (4, rank + 2, dim), 'op.A_logs': (4 * dim, 1), 'op.Ds': (4 * dim,),
                'op.dt_projs_weight': (4, dim, rank), 'op.dt_projs_bias': (4, dim), 'op.out_norm.weight': (dim,),
                'op.out_norm.bias': (dim,), 'op.in_proj.weight': (dim, dim, 1, 1), 'op.conv2d.weight': (dim, 1, 3, 3),
                'op.out_proj.weight': (dim, dim, 1, 1), 'mlp.fc1.weight': (4 * dim, dim, 1, 1),
                'mlp.fc1.bias': (4 * dim,), 'mlp.fc2.weight': (dim, 4 * dim, 1, 1), 'mlp.fc2.bias': (dim,)}.items()}
        if i < 3:
            shapes |= {f'layers.{i}.downsample.1.weight': (2 * dim, dim, 3, 3),
                       f'layers.{i}.downsample.1.bias': (2 * dim,), f'layers.{i}.downsample.3.weight': (2 * dim,),
                       f'layers.{i}.downsample.3.bias': (2 * dim,)}
    return shapes


def test_what_is_saved_comes_back(checkpoint, saved):
    loaded = load_checkpoint(saved)
    assert loaded.network.config == checkpoint.network.config
    assert loaded.labels == checkpoint.labels and loaded.auxiliary is Modality.THERMAL
    assert loaded.preprocessing == checkpoint.preprocessing
    assert loaded.calibration == checkpoint.calibration and loaded.info == checkpoint.info
    images, available = torch.randn(1, 2, 3, 32, 64), torch.tensor([[True, True]])
    with torch.no_grad():
        assert torch.equal(loaded.network(images, available).logits, checkpoint.network(images, available).logits)
    assert not loaded.network.training and all(p.requires_grad for p in loaded.network.parameters())


def test_half_precision_file_is_small_and_close(checkpoint, tmp_path):
    path = tmp_path / 'half.safetensors'
    save_checkpoint(path, checkpoint)
    assert path.stat().st_size < 12e6
    for name, tensor in load_checkpoint(path).network.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, checkpoint.network.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_loading_draws_no_random_numbers(saved):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_checkpoint(saved)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize('content, message', [
    (b'', 'bytes'), (b'PK\x03\x04 not safetensors at all', 'not a safetensors file'),
    ((2 ** 60).to_bytes(8, 'little') + b'{}', 'not a safetensors file'),
    ((2).to_bytes(8, 'little') + b'[]', 'no JSON object'), ((3).to_bytes(8, 'little') + b'{"a', 'no JSON')])
def test_file_of_another_kind_is_refused(tmp_path, content, message):
    path = tmp_path / 'other.safetensors'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match='No such file'):
        load_checkpoint(tmp_path / 'none.safetensors')
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


def test_file_cut_short_is_refused(saved):
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match='damaged'):
        load_checkpoint(saved)


def test_safetensors_of_another_program_are_refused(saved):
    rewrite(saved)
    with pytest.raises(CheckpointError, match='not a checkpoint of this package'):
        load_checkpoint(saved)


@pytest.mark.parametrize('change, message', [
    ({'version': '1'}, "format version '1'"),
    ({'config': '{"classes": 3, "auxiliary": "rgb"}'}, 'auxiliary modality'),
    ({'config': '{"classes": 3, "auxiliary": "radar"}'}, 'radar'),
    ({'preprocessing': '{"height": 8}'}, 'network input is 8x320'),
    ({'config': '{"classes": 3, "wings": 2}'}, "unknown key 'wings'"), ({'config': 'null'}, 'expected an object'),
    ({'labels': '{"names": ["a"]}'}, '1 labels for a network of 3'), ({'info': '{'}, 'no JSON'),
    ({'preprocessing': '{"height": 100000}'}, 'at most 8192'),
    ({'preprocessing': '{"rgb_std": [0.2, 0.0, 0.2]}'}, 'rgb_std above 0'),
    ({'preprocessing': '{"rgb_mean": [NaN, 0.4, 0.4]}'}, 'must be finite'),
    ({'preprocessing': '{"depth": {"max_m": Infinity}}'}, 'depth limits'),
    ({'preprocessing': '{"thermal": {"scale": NaN}}'}, 'finite numbers'),
    ({'calibration': '{"rgb": {"x": [0, 1], "y": [0.9, 0.1]}}'}, 'calibration of rgb'),
    ({'calibration': '{"rgb": {"x": [0, 1], "y": [0.9]}}'}, 'calibration of rgb'),
    ({'calibration': '{"rgb": {"x": [0, NaN], "y": [0, 1]}}'}, 'calibration of rgb'),
    ({'calibration': '{"rgb": [1]}'}, 'calibration of rgb'),
    ({'calibration': '{"depth": {"x": [0, 1], "y": [0, 1]}}'}, "calibration of 'depth'"),
    ({'config': '{"classes": 3, "auxiliary": "thermal", "depths": [2, 2, 1000000, 2]}'}, 'at most'),
    ({'config': '{"classes": 3, "auxiliary": "thermal", "mlp_ratio": Infinity}'}, 'mlp_ratio')])
def test_wrong_metadata_is_refused(saved, change, message):
    rewrite(saved, metadata=read_metadata(saved) | change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)


def test_config_of_another_size_is_refused_with_the_list_of_what_does_not_fit(saved):
    metadata = read_metadata(saved)
    config = json.loads(metadata['config']) | {'decoder_width': 32}
    rewrite(saved, metadata=metadata | {'config': json.dumps(config)})
    with pytest.raises(CheckpointError, match=r'decoder.laterals.0.weight is \(64, 32\), expected \(32, 32\).*more'):
        load_checkpoint(saved)


def test_missing_left_over_and_not_finite_tensors_are_refused(saved):
    metadata, tensors = read_metadata(saved), load_file(saved)
    tensors['extra'] = tensors.pop('decoder.norm.bias')
    tensors['decoder.norm.weight'][0] = float('nan')
    rewrite(saved, metadata=metadata, tensors=tensors)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(saved)
    for part in ('decoder.norm.bias is missing', 'extra is left over', 'decoder.norm.weight holds values'):
        assert part in str(error.value)


def test_labels_that_do_not_fit_the_network_are_not_saved(checkpoint, tmp_path):
    wrong = Checkpoint(checkpoint.network, LabelSpace(('a', 'b')))
    with pytest.raises(CheckpointError, match='2 labels for a network of 3'):
        save_checkpoint(tmp_path / 'wrong.safetensors', wrong)


def test_official_vmamba_weights_load_strictly_into_base(tmp_path):
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) for name, shape in official_keys().items()}
    path = tmp_path / 'vssm1_tiny_0230s_ckpt_epoch_264.pth'
    torch.save({'model': state}, path)
    network = create_network('base', classes=40)
    load_vmamba(network, path)
    loaded = network.encoder.state_dict()
    assert torch.equal(loaded['layers.2.blocks.7.op.A_logs'], state['layers.2.blocks.7.op.A_logs'])
    assert torch.equal(loaded['layers.0.blocks.1.mlp.fc1.weight'], state['layers.0.blocks.1.mlp.fc1.weight'][..., 0, 0])
    assert set(loaded) - set(state) == {f'outnorm{i}.{kind}' for i in range(4) for kind in ('weight', 'bias')}


def test_vmamba_weights_of_another_size_are_refused(tmp_path):
    path = tmp_path / 'wrong.safetensors'
    save_file({'patch_embed.0.weight': torch.zeros(64, 3, 3, 3), 'head.weight': torch.zeros(3)}, path)
    with pytest.raises(CheckpointError) as error:
        load_vmamba(create_network('nano', classes=3), path)
    for part in ('patch_embed.0.bias is missing', 'and'):
        assert part in str(error.value)


def test_pickle_with_code_is_not_executed(tmp_path):
    class Exploit:
        def __reduce__(self):
            return print, ('executed',)
    path = tmp_path / 'exploit.pth'
    torch.save({'model': Exploit()}, path)
    with pytest.raises(CheckpointError, match='as tensors only'):
        read_vmamba(path)


def test_pth_without_a_state_dict_is_refused(tmp_path):
    path = tmp_path / 'list.pth'
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CheckpointError, match='expected a state dict'):
        read_vmamba(path)


def test_strict_loading_names_every_kind_of_problem():
    module = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match='bias is missing.*other is left over.*weight is'):
        load_strictly(module, {'weight': torch.zeros(3, 2), 'other': torch.zeros(1)}, 'here')


@pytest.mark.parametrize('size, message', [(4 * 2 ** 30, 'not a safetensors file'),
                                           (4 * 2 ** 30 + 1, '7 bytes; a safetensors file has 9 to 4294967296')])
def test_a_file_of_more_than_4_gib_is_refused_before_it_is_read(tmp_path, size, message):
    path = tmp_path / 'large.safetensors'
    with path.open('wb') as file:
        file.truncate(size)  # a hole: it takes no room
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize('length, message', [(16 * 2 ** 20, 'its header is no JSON'),
                                             (16 * 2 ** 20 + 1, 'its header would be 16777217 bytes')])
def test_a_header_of_more_than_16_mib_is_refused_before_it_is_read(tmp_path, length, message):
    path = tmp_path / 'header.safetensors'
    with path.open('wb') as file:
        file.write(length.to_bytes(8, 'little'))
        file.truncate(8 + length)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize('count, end', [(8, '7.weight is missing'), (10, '7.weight is missing; and 2 more')])
def test_an_error_shows_eight_names_and_how_many_more_there_are(count, end):
    module = torch.nn.ModuleList(torch.nn.Linear(1, 1, bias=False) for _ in range(count))
    with pytest.raises(CheckpointError) as error:
        load_strictly(module, {}, 'here')
    assert str(error.value).endswith(end)


def test_a_path_that_cannot_be_written_is_an_error_that_names_the_file(checkpoint, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(CheckpointError, match=r'cannot write .*file/network\.safetensors'):
        save_checkpoint(tmp_path / 'file' / 'network.safetensors', checkpoint)


VALUES = [None, True, -1, 0, 1, 3, 7, 33, 10**6, 10**12, 0.5, -2.5, 1e300, float('nan'), float('inf'), '', 'depth',
          'vmamba', [], [1, 2], [[0.1] * 3], {}, {'x': [1]}]


def changed(value, rng):
    """JSON with one value or key changed somewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {('strange' if name == key else name): item for name, item in value.items()}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(len(value))
        return [*value[:index], changed(value[index], rng), *value[index + 1:]]
    return rng.choice(VALUES)


def test_random_damage_of_a_checkpoint_is_refused_in_one_line_or_leaves_sound_values(saved):
    original, metadata, tensors = saved.read_bytes(), read_metadata(saved), load_file(saved)
    outcomes = Counter()
    for seed in range(CHECKPOINT_DAMAGES):
        rng = random.Random(seed)
        if seed % 2:
            part = rng.choice(['config', 'labels', 'preprocessing', 'calibration'])
            rewrite(saved, metadata=metadata | {part: json.dumps(changed(json.loads(metadata[part]), rng))},
                    tensors=tensors)
        else:
            data = bytearray(original)
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(min(len(data), 60_000))] = rng.randrange(256)
            saved.write_bytes(data[:rng.choice([len(data), rng.randrange(len(data))])])
        start = time.process_time()  # not wall time: the machine may have more to do
        try:
            loaded = load_checkpoint(saved)
        except CheckpointError as error:
            assert '\n' not in str(error)
            outcomes['refused'] += 1
        else:
            values = network_input(np.full((48, 64), 20, np.float32), Modality.THERMAL, loaded.preprocessing)
            assert np.isfinite(values).all(), f'seed {seed}'
            outcomes['loaded'] += 1
        assert time.process_time() - start < 10, f'seed {seed}'
    print(dict(outcomes))
    assert outcomes['refused'] > CHECKPOINT_DAMAGES // 4
