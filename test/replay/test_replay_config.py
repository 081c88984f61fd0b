from dataclasses import replace
import json

import pytest

from rsgmamba_ros.pipeline.node_settings import NodeSettings
from rsgmamba_ros.replay.config import load_settings, recorded_settings
from rsgmamba_ros.vocabulary.errors import ConfigError


def write(folder, text):
    (folder / 'params.yaml').write_text(text)
    return folder / 'params.yaml'


@pytest.mark.parametrize('modality', ['depth', 'thermal'])
def test_the_parameter_files_of_the_node_configure_a_replay(project_root, modality):
    settings = load_settings(project_root / 'config' / f'segmentation_{modality}.yaml')
    assert recorded_settings(settings) == recorded_settings(NodeSettings(modality=modality))
    assert settings.modality == modality


def test_parameters_are_found_under_any_node_name(tmp_path):
    file = write(tmp_path, '/robot:\n  front:\n    ros__parameters:\n      max_wait_s: 0.2\n      device: cuda\n'
                           '      rgb: {transport: raw}\n      use_sim_time: true\n      qos_overrides: {a: {b: 1}}\n')
    assert load_settings(file) == replace(NodeSettings(), max_wait_s=0.2, device='cuda', rgb_transport='raw')


def test_in_a_file_for_several_nodes_only_the_parameters_of_this_one_count(tmp_path):
    camera = '/camera:\n  ros__parameters: {exposure: 3}\n'
    own = '/robot/segmentation:\n  ros__parameters: {max_wait_s: 0.2}\n'
    assert load_settings(write(tmp_path, camera + own)).max_wait_s == 0.2
    assert load_settings(write(tmp_path, camera + '/**:\n  ros__parameters: {max_wait_s: 0.3}\n')).max_wait_s == 0.3
    with pytest.raises(ConfigError, match=r"parameters of \['camera', 'camera'\], but none of 'segmentation'"):
        load_settings(write(tmp_path, camera + camera.replace('/camera', '/other/camera')))


@pytest.mark.parametrize(('text', 'message'), [
    ('max_wait_s: 1', 'no key ros__parameters'), ('[', 'cannot read'),
    ('a: {ros__parameters: {max_wait_s: long}}', "max_wait_s: expected float, got 'long'"),
    ('a: {ros__parameters: {max_wait_s: -1.0}}', r'max_wait_s is -1.0; it must lie in 0..10'),
    ('a: {ros__parameters: {precision: double}}', "precision is 'double'; expected one of"),
    ('a: {ros__parameters: {rgb: {transports: raw}}}',
     "unknown parameter 'rgb.transports'; did you mean 'rgb.transport'")])
def test_another_file_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_settings(write(tmp_path, text))


def test_a_value_that_is_not_set_is_null_in_the_summary():
    recorded = json.loads(json.dumps(recorded_settings(NodeSettings()), allow_nan=False))
    assert recorded['thermal_scale'] is None
    assert recorded['max_delay_s'] == 0.15
