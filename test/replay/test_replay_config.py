import pytest

from rsgmamba_ros.pipeline.segmenter import SegmenterConfig
from rsgmamba_ros.replay.config import load_replay_config, ReplayConfig
from rsgmamba_ros.vocabulary.errors import ConfigError
from rsgmamba_ros.vocabulary.images import Modality


@pytest.mark.parametrize('modality', ['depth', 'thermal'])
def test_the_parameter_files_of_the_node_configure_a_replay(project_root, modality):
    assert load_replay_config(project_root / 'config' / f'segmentation_{modality}.yaml') == ReplayConfig()


def test_the_defaults_are_those_of_the_parts():
    config = ReplayConfig()
    assert config.min_signal_quality == SegmenterConfig().min_signal_quality
    assert config.synchroniser((Modality.DEPTH,)).leader is Modality.DEPTH


def test_parameters_are_found_under_any_node_name_and_others_are_left_out(tmp_path):
    file = tmp_path / 'params.yaml'
    file.write_text('/robot:\n  segmentation:\n    ros__parameters:\n      max_wait_s: 0.2\n      device: cuda\n'
                    '      thermal_scale: .nan\n')
    assert load_replay_config(file) == ReplayConfig(max_wait_s=0.2)


@pytest.mark.parametrize(('text', 'message'), [
    ('max_wait_s: 1', 'no key ros__parameters'), ('[', 'cannot read'),
    ('a: {ros__parameters: {max_wait_s: long}}', "max_wait_s: expected float, got 'long'")])
def test_another_file_is_refused(tmp_path, text, message):
    (tmp_path / 'params.yaml').write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_replay_config(tmp_path / 'params.yaml')
