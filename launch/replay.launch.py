"""Play a bag to the node and score it: `ros2 launch rsgmamba_ros replay.launch.py bag:=recording out:=results`.

Player, segmentation node and evaluator run in separate processes over DDS, with the time of the bag. They write the
same files as `rsgmamba replay`. Use this launch file to measure QoS, headers, latency and drops; use `rsgmamba replay`
for reproducible labels.

`ros2` runs this file with its own Python, which need not have the requirements of this package: it imports launch and
the standard library only, and asks the executable `rsgmamba` for the topics of the bag.
"""
import json
from pathlib import Path
import subprocess

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare

ARGUMENTS = {
    'bag': (None, 'folder or file of the bag'),
    'out': (None, 'folder for the results'),
    'checkpoint': ('', 'checkpoint file, or name of a shipped network; empty for the shipped default of the modality'),
    'modality': ('depth', 'auxiliary modality beside RGB'),
    'rgb_topic': ('', 'topic of the colour images; found by type if empty'),
    'auxiliary_topic': ('', 'topic of the depth or thermal images; found by type if empty'),
    'labels_topic': ('', 'topic of the ground truth; found by name if empty; none for no ground truth'),
    'rate': ('1.0', 'playback speed: bag seconds per second'),
    'start_offset_s': ('0.0', 'start this long after the beginning of the bag, seconds'),
    'input_qos': ('auto', 'auto (what the player offers, so reliable), sensor_data (best effort) or reliable (with a '
                  'queue of 100 images)'),
    'queue_size': ('1', 'bundles that may wait while the network is busy'),
    'device': ('auto', 'torch device'),
    'overwrite': ('false', 'replace existing results'),
    'log_level': ('info', 'lowest severity of log lines that the nodes write'),
}


def generate_launch_description():
    """Declare the arguments; the nodes are put together when the bag is known."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=text)
                 for name, (default, text) in ARGUMENTS.items()]
    params_file = DeclareLaunchArgument(
        'params_file', description='YAML file of node parameters', default_value=[
            FindPackageShare('rsgmamba_ros'), '/config/segmentation_', LaunchConfiguration('modality'), '.yaml'])
    return LaunchDescription([*arguments, params_file, OpaqueFunction(function=_nodes)])


def _nodes(context):
    """Give the three nodes, on the topics that the bag has."""
    values = {name: LaunchConfiguration(name).perform(context) for name in (*ARGUMENTS, 'params_file')}
    if not Path(values['params_file']).is_file():
        raise RuntimeError(f"params_file {values['params_file']} does not exist")
    auxiliary = values['modality']
    found = _find_topics(context, values)
    transports = {modality: topic['transport'] for modality, topic in found.items()}
    topics = {modality: topic['topic'] for modality, topic in found.items()}
    results_file = [FindPackageShare('rsgmamba_ros'), '/config/replay_results.yaml']
    logging = ['--ros-args', '--log-level', values['log_level']]
    common = {'package': 'rsgmamba_ros', 'output': 'screen', 'emulate_tty': True, 'arguments': logging}
    segmentation = LifecycleNode(
        executable='segmentation_node', name='segmentation', namespace='', parameters=[
            values['params_file'], results_file, {
                'use_sim_time': True, 'autostart': True, 'modality': auxiliary,
                'checkpoint': _text(values['checkpoint']), 'device': _text(values['device']),
                'input_qos': values['input_qos'], 'queue_size': int(values['queue_size']),
                'rgb.transport': transports.get('rgb', 'auto'),
                'auxiliary.transport': transports.get(auxiliary, 'auto')}],
        remappings=[(f'{modality}/image', topic) for modality, topic in topics.items()], **common)
    player = Node(
        executable='bag_player_node', name='bag_player', parameters=[{
            'bag': _text(values['bag']), 'topics': list(topics.values()), 'rate': float(values['rate']),
            'start_offset_s': float(values['start_offset_s']), 'wait_for_subscribers': 1,
            'wait_for_clock_subscribers': 2}], **common)
    evaluator = Node(
        executable='evaluator_node', name='evaluator', parameters=[{
            'bag': _text(values['bag']), 'out': _text(values['out']), 'overwrite': values['overwrite'] == 'true',
            'checkpoint': _text(values['checkpoint']), 'modality': auxiliary, 'rgb_topic': values['rgb_topic'],
            'auxiliary_topic': values['auxiliary_topic'], 'labels_topic': values['labels_topic']}], **common)
    end = RegisterEventHandler(OnProcessExit(target_action=evaluator, on_exit=[EmitEvent(event=Shutdown())]))
    return [segmentation, evaluator, player, end]


def _text(value):
    """Give a string parameter; launch would make a number of a bag that is called 12."""
    return ParameterValue(value, value_type=str)


def _find_topics(context, values):
    """Give topic and transport of each modality, as the bag has them.

    Raises:
        RuntimeError: the bag cannot be read, or a modality has no topic or several.
    """
    executable = ExecutableInPackage(executable='rsgmamba', package='rsgmamba_ros').perform(context)
    command = [executable, 'bag', 'topics', values['bag'], '--auxiliary', values['modality']]
    for option, argument in (('--rgb-topic', 'rgb_topic'), ('--aux-topic', 'auxiliary_topic')):
        command += [option, values[argument]] if values[argument] else []
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(answer.stderr.strip() or f'{command} ended with status {answer.returncode}')
    return json.loads(answer.stdout)
