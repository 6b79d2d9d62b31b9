# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the controller of a robot; sensors and motors are the robot's own drivers.

With gate:=true commands go to the motors through command_gate, a process of its own; with
rviz:=true all is shown (rviz.launch.py).
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from mbmrl_ros.nodes.common.launching import needed

FILE = PathJoinSubstitution([FindPackageShare('mbmrl_ros'), 'config', 'nodes.params.yaml'])
BOOLEAN = ['true', 'false', 'True', 'False']
# Arguments that are parameters of the controller too, and of the gate.
PARAMETERS = {
    'use_sim_time': bool,
    'robot': str,
    'bundle': str,
    'mode': str,
    'autostart': bool,
    'lockstep': bool,
    'gate': bool,
}
GATE_PARAMETERS = {'use_sim_time': bool, 'robot': str, 'autostart': bool}
# Arguments of rviz.launch.py.
SHOWN = ['namespace', 'use_sim_time', 'robot']
ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='of nodes and topics'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='false', choices=BOOLEAN, description='take /clock'
    ),
    DeclareLaunchArgument(
        'robot', default_value='half_cheetah', description='robot file: a shipped name or a path'
    ),
    DeclareLaunchArgument(
        'bundle', default_value='', description='trained bundle: a shipped name or a folder'
    ),
    DeclareLaunchArgument(
        'mode',
        default_value='control',
        choices=['control', 'collect'],
        description='collect: drive at random, to record data; needs no bundle',
    ),
    DeclareLaunchArgument(
        'params_file', default_value=FILE, description='all other node parameters'
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='true',
        choices=BOOLEAN,
        description='configure and activate at once: the robot moves',
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, ...'),
    DeclareLaunchArgument(
        'lockstep',
        default_value='false',
        choices=BOOLEAN,
        description='tick with the steps of a simulator in lockstep; never on hardware',
    ),
    DeclareLaunchArgument(
        'gate',
        default_value='false',
        choices=BOOLEAN,
        description='put command_gate between controller and motors',
    ),
    DeclareLaunchArgument(
        'rviz', default_value='false', choices=BOOLEAN, description='show it in RViz'
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Return the controller and the gate, which go to active unless autostart is false."""
    controller = LifecycleNode(
        package='mbmrl_ros',
        executable='controller_node',
        name='controller_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('params_file'), given(PARAMETERS)],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    gate = LifecycleNode(
        package='mbmrl_ros',
        executable='command_gate',
        name='command_gate',
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('params_file'), given(GATE_PARAMETERS)],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
        condition=IfCondition(LaunchConfiguration('gate')),
    )
    rviz = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/rviz.launch.py']),
        launch_arguments={name: LaunchConfiguration(name) for name in SHOWN}.items(),
        condition=IfCondition(LaunchConfiguration('rviz')),
    )
    return LaunchDescription([*ARGUMENTS, *needed(gate, controller), rviz])


def given(parameters: dict[str, type]) -> dict[str, ParameterValue]:
    """Return the launch arguments that are parameters of a node."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in parameters.items()
    }
