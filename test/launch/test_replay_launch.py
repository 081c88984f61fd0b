"""The launch file of the online replay against the real launch and launch_ros, where they are installed."""
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

from rsgmamba_ros.data.bags.sources import synthetic_shots, write_shots
from rsgmamba_ros.vocabulary.images import Modality

#: Takes the place of a node: writes down how it was called. The evaluator ends when all have, the others wait for it.
NODE = """#!{python}
import json, pathlib, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
options = sys.argv[1:]
files = [pathlib.Path(value).read_text() for option, value in zip(options, options[1:]) if option == '--params-file']
pathlib.Path({result!r}).write_text(json.dumps([options, files]))
while {name!r} != 'evaluator_node' or len(list(pathlib.Path({folder!r}).glob('*_node.json'))) < 3:
    time.sleep(0.05)
"""
PROGRAM = '#!{python}\nimport sys\nfrom rsgmamba_ros.cli.main import main\nsys.exit(main())\n'
NODES = ('segmentation_node', 'bag_player_node', 'evaluator_node')


@pytest.fixture
def source(project_root):
    return PythonLaunchDescriptionSource(str(project_root / 'launch' / 'replay.launch.py'))


@pytest.fixture(params=[False, True], ids=['raw', 'compressed'])
def bag(request, tmp_path):
    shots = synthetic_shots(2, seed=0, rate_hz=10, height=16, width=16, auxiliary=Modality.DEPTH)
    write_shots(tmp_path / '12', shots, auxiliary=Modality.DEPTH, rate_hz=10, compressed=request.param)
    return tmp_path / '12', request.param


@pytest.fixture
def launched(source, project_root, tmp_path, monkeypatch):
    """Launch with arguments; options and parameters of each node."""
    for name in NODES:
        executable = tmp_path / 'lib' / 'rsgmamba_ros' / name
        executable.parent.mkdir(parents=True, exist_ok=True)
        executable.write_text(NODE.format(python=sys.executable, name=name, folder=str(tmp_path),
                                          result=str(tmp_path / f'{name}.json')))
        executable.chmod(0o755)
    # The launch file asks it for the topics.
    program = tmp_path / 'lib' / 'rsgmamba_ros' / 'rsgmamba'
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rsgmamba_ros'
    for path in (index, tmp_path / 'share' / 'rsgmamba_ros' / 'config'):
        path.parent.mkdir(parents=True, exist_ok=True)
    index.touch()
    (tmp_path / 'share' / 'rsgmamba_ros' / 'config').symlink_to(project_root / 'config')
    monkeypatch.setenv('AMENT_PREFIX_PATH', os.pathsep.join([str(tmp_path), os.environ['AMENT_PREFIX_PATH']]))

    def launch(**arguments):
        service = LaunchService()
        service.include_launch_description(LaunchDescription([
            IncludeLaunchDescription(source, launch_arguments=arguments.items())]))
        assert service.run() == 0
        called = {}
        for name in NODES:
            options, files = json.loads((tmp_path / f'{name}.json').read_text())
            parameters = {}
            for file in files:
                # launch_ros writes lists with a tag that ROS ignores.
                for values in yaml.safe_load(file.replace('!!python/tuple', '')).values():
                    parameters |= values['ros__parameters']
            called[name] = options, parameters
        return called

    return launch


def test_every_argument_has_a_description(source):
    arguments = source.get_launch_description(LaunchContext()).get_launch_arguments()
    assert len(arguments) >= 12
    assert [argument.name for argument in arguments if len(argument.description) < 8] == []


def test_the_three_nodes_get_the_topics_of_the_bag_and_end_with_the_evaluator(launched, bag, tmp_path):
    path, compressed = bag
    rgb, depth = ('/rgb/image/compressed', '/depth/image/compressedDepth') if compressed else (
        '/rgb/image', '/depth/image')
    called = launched(bag=str(path), out=str(tmp_path / 'out'), checkpoint='34', rate='0.5')
    options, parameters = called['segmentation_node']
    assert {f'rgb/image:={rgb}', f'depth/image:={depth}'} <= set(options)
    assert (parameters['use_sim_time'], parameters['autostart'], parameters['checkpoint']) == (True, True, '34')
    assert parameters['qos_overrides']['/segmentation']['publisher']['depth'] == 100
    assert parameters['rgb.transport'] == parameters['auxiliary.transport'] == ('compressed' if compressed else 'raw')
    _, parameters = called['bag_player_node']
    assert (parameters['bag'], sorted(parameters['topics']), parameters['rate']) == (str(path), [depth, rgb], 0.5)
    _, parameters = called['evaluator_node']
    assert (parameters['out'], parameters['checkpoint']) == (str(tmp_path / 'out'), '34')
