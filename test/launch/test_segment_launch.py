"""The launch file against the real launch and launch_ros, where they are installed."""
import json
import os
import sys

import pytest
import yaml

# The folder launch/ of this repository imports as an empty namespace package: launch_ros tells.
pytest.importorskip('launch_ros')

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

#: Takes the place of the node: writes down how it was called.
NODE = """#!{python}
import json, pathlib, sys
options = sys.argv[1:]
files = [pathlib.Path(value).read_text() for option, value in zip(options, options[1:]) if option == '--params-file']
pathlib.Path({result!r}).write_text(json.dumps([options, files]))
"""


@pytest.fixture
def source(project_root):
    return PythonLaunchDescriptionSource(str(project_root / 'launch' / 'segment.launch.py'))


@pytest.fixture
def launch(source, project_root, tmp_path, monkeypatch):
    """Launch with arguments; the options and the parameters that the node gets, and the exit status."""
    result = tmp_path / 'called.json'
    executable = tmp_path / 'lib' / 'rsgmamba_ros' / 'segmentation_node'
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rsgmamba_ros'
    for path in (executable, index, tmp_path / 'share' / 'rsgmamba_ros' / 'config'):
        path.parent.mkdir(parents=True, exist_ok=True)
    executable.write_text(NODE.format(python=sys.executable, result=str(result)))
    executable.chmod(0o755)
    index.touch()
    (tmp_path / 'share' / 'rsgmamba_ros' / 'config').symlink_to(project_root / 'config')
    monkeypatch.setenv('AMENT_PREFIX_PATH', os.pathsep.join([str(tmp_path), os.environ['AMENT_PREFIX_PATH']]))

    def launched(**arguments):
        service = LaunchService()
        service.include_launch_description(LaunchDescription([
            IncludeLaunchDescription(source, launch_arguments=arguments.items())]))
        status = service.run()
        if not result.exists():
            return [], {}, status
        options, files = json.loads(result.read_text())
        parameters = {}
        for file in files:
            for values in yaml.safe_load(file).values():
                parameters |= values['ros__parameters']
        return options, parameters, status

    return launched


def test_every_argument_has_a_description(source):
    arguments = source.get_launch_description(LaunchContext()).get_launch_arguments()
    assert len(arguments) >= 15
    assert [argument.name for argument in arguments if len(argument.description) < 8] == []


def test_nothing_needs_to_be_given(launch):
    options, parameters, status = launch()
    assert status == 0
    assert (parameters['modality'], parameters['autostart'], parameters['use_sim_time']) == ('depth', True, False)
    assert 'depth/image:=depth/image' in options


def test_arguments_reach_the_node(launch):
    options, parameters, _ = launch(
        modality='thermal', rgb_topic='/camera/image', auxiliary_topic='/flir/image', checkpoint='12', device='cpu',
        namespace='robot', use_sim_time='true', autostart='false', log_level='debug', input_qos='reliable')
    assert (parameters['modality'], parameters['checkpoint']) == ('thermal', '12')
    assert (parameters['device'], parameters['input_qos']) == ('cpu', 'reliable')
    assert (parameters['use_sim_time'], parameters['autostart']) == (True, False)
    assert {'rgb/image:=/camera/image', 'thermal/image:=/flir/image', '__ns:=/robot'} <= set(options)
    assert options[options.index('--log-level') + 1] == 'debug'


def test_an_argument_left_empty_leaves_the_parameter_file_alone(launch, tmp_path):
    file = tmp_path / 'robot.yaml'
    file.write_text('/**:\n  ros__parameters:\n    checkpoint: mine\n    device: cuda:1\n')
    _, parameters, _ = launch(params_file=str(file))
    assert (parameters['checkpoint'], parameters['device']) == ('mine', 'cuda:1')


def test_an_unknown_modality_is_refused(launch):
    options, _, status = launch(modality='sonar')
    assert options == []
    assert status != 0


def test_a_parameter_file_that_does_not_exist_ends_the_launch(launch, caplog):
    options, _, status = launch(params_file='/nowhere/robot.yaml')
    assert (options, status) == ([], 1)
    assert 'params_file /nowhere/robot.yaml does not exist' in caplog.text


@pytest.mark.parametrize('on_failure, expected', [('end_launch', 1), ('end_node', 0)])
def test_a_node_that_cannot_start_ends_the_launch_with_a_status_if_wanted(launch, tmp_path, on_failure, expected):
    executable = tmp_path / 'lib' / 'rsgmamba_ros' / 'segmentation_node'
    executable.write_text(f'#!{sys.executable}\nraise SystemExit(1)\n')
    assert launch(on_failure=on_failure)[2] == expected


def test_the_node_is_told_whether_to_end_when_it_cannot_start(launch):
    assert launch()[1]['exit_on_failure'] is True
    assert launch(on_failure='stay')[1]['exit_on_failure'] is False
