"""Segment the images of two cameras: `ros2 launch rsgmamba_ros segment.launch.py rgb_topic:=... auxiliary_topic:=...`.

Only arguments that are given override the parameter file; `ros2 launch rsgmamba_ros segment.launch.py -s` lists them.
"""
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

#: Node parameters that have a launch argument of their own; '' leaves the value to the parameter file.
PARAMETER_ARGUMENTS = {
    'checkpoint': 'checkpoint file, or name of a shipped network',
    'device': 'torch device: auto, cpu, cuda, cuda:1, ...',
    'sensor_profile': 'file of the sensor profile, made by rsgmamba profile or the service learn_sensor of the node',
    'input_qos': 'auto (what the publishers offer), sensor_data (best effort) or reliable',
}

#: Topics: name in the node, launch argument, description.
TOPIC_ARGUMENTS = {
    'rgb/image': ('rgb_topic', 'colour images; CompressedImage if the name ends in /compressed'),
    '{modality}/image': ('auxiliary_topic', 'depth or thermal images; CompressedImage if the name ends in /compressed '
                                            'or /compressedDepth'),
    'segmentation': ('segmentation_topic', 'label map'),
    'segmentation/confidence': ('confidence_topic', 'confidence of each pixel'),
    'segmentation/overlay': ('overlay_topic', 'label colours over the image; as JPEG with /compressed behind it'),
    'segmentation/label_info': ('label_info_topic', 'class names'),
    'segmentation/reliability': ('reliability_topic', 'reliability of each modality'),
}


def generate_launch_description():
    """Declare the arguments; the node is put together when their values are known."""
    arguments = [
        DeclareLaunchArgument('modality', default_value='depth', choices=['depth', 'thermal'],
                              description='auxiliary modality beside RGB'),
        DeclareLaunchArgument('params_file', description='YAML file of node parameters', default_value=[
            FindPackageShare('rsgmamba_ros'), '/config/segmentation_', LaunchConfiguration('modality'), '.yaml']),
        DeclareLaunchArgument('namespace', default_value='', description='namespace of the node and its topics'),
        DeclareLaunchArgument('node_name', default_value='segmentation', description='name of the node'),
        DeclareLaunchArgument('use_sim_time', default_value='false', choices=['true', 'false'],
                              description='use the time from /clock'),
        DeclareLaunchArgument('on_failure', default_value='end_launch', choices=['end_launch', 'end_node', 'stay'],
                              description='if the node cannot start: end the launch with status 1, end the node only, '
                              'or let it stay unconfigured'),
        DeclareLaunchArgument('autostart', default_value='true', choices=['true', 'false'],
                              description='configure and activate the node; false if a lifecycle manager does so'),
        DeclareLaunchArgument('log_level', default_value='info', choices=['debug', 'info', 'warn', 'error', 'fatal'],
                              description='lowest severity of log lines that the node writes'),
    ]
    arguments += [DeclareLaunchArgument(name, default_value='',
                                        description=f'{text}; empty for the value in the parameter file')
                  for name, text in PARAMETER_ARGUMENTS.items()]
    arguments += [DeclareLaunchArgument(argument, default_value=topic.format(modality='auxiliary'), description=text)
                  for topic, (argument, text) in TOPIC_ARGUMENTS.items() if argument != 'auxiliary_topic']
    arguments.append(DeclareLaunchArgument('auxiliary_topic', default_value=[LaunchConfiguration('modality'), '/image'],
                                           description=TOPIC_ARGUMENTS['{modality}/image'][1]))
    return LaunchDescription([*arguments, OpaqueFunction(function=_node)])


def _node(context):
    """Give the node; a function, because an argument that is empty must leave no trace in the parameters."""
    def value(name):
        return LaunchConfiguration(name).perform(context)

    def is_true(name):
        return value(name) == 'true'

    if not Path(value('params_file')).is_file():
        raise RuntimeError(f"params_file {value('params_file')} does not exist")
    modality = value('modality')
    overrides = {name: ParameterValue(value(name), value_type=str) for name in PARAMETER_ARGUMENTS if value(name)}
    overrides |= {'modality': modality, 'use_sim_time': is_true('use_sim_time'), 'autostart': is_true('autostart'),
                  'exit_on_failure': value('on_failure') != 'stay'}
    remappings = [(topic.format(modality=modality), value(argument))
                  for topic, (argument, _) in TOPIC_ARGUMENTS.items()]
    remappings.append(('segmentation/overlay/compressed', f'{value("overlay_topic")}/compressed'))
    node = LifecycleNode(
        package='rsgmamba_ros', executable='segmentation_node', name=value('node_name'), namespace=value('namespace'),
        parameters=[value('params_file'), overrides], remappings=remappings,
        arguments=['--ros-args', '--log-level', value('log_level')], output='screen', emulate_tty=True)
    if value('on_failure') != 'end_launch':
        return [node]
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=_end_if_it_failed))]


def _end_if_it_failed(event, context):
    """End the launch with status 1 if the node ended with an error.

    Raises:
        RuntimeError: it did; launch has no other way to a status.
    """
    if event.returncode:
        raise RuntimeError(f'{event.process_name} ended with status {event.returncode}')
