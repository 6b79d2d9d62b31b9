# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the simulator, with the topics of the robot, and the controller with robot.launch.py.

With rviz:=true all is shown (rviz.launch.py).
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import (
    AndSubstitution,
    LaunchConfiguration,
    NotSubstitution,
    PathJoinSubstitution,
    ThisLaunchFileDir,
)
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from mbmrl_ros.nodes.common.launching import needed

FILE = PathJoinSubstitution([FindPackageShare('mbmrl_ros'), 'config', 'nodes.params.yaml'])
BOOLEAN = ['true', 'false', 'True', 'False']
# Arguments of robot.launch.py.
SHARED = [
    'namespace',
    'use_sim_time',
    'robot',
    'bundle',
    'mode',
    'params_file',
    'autostart',
    'log_level',
    'lockstep',
    'gate',
    'rviz',
]
# Arguments of rviz.launch.py.
SHOWN = ['namespace', 'use_sim_time', 'robot']
# Arguments that are parameters of the node too.
PARAMETERS = {'robot': str, 'lockstep': bool, 'autostart': bool}
ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='of nodes and topics'),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='true',
        choices=BOOLEAN,
        description='the controller takes the /clock of the simulator',
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
        'controller', default_value='true', choices=BOOLEAN, description='start it as well'
    ),
    DeclareLaunchArgument(
        'lockstep',
        default_value='false',
        choices=BOOLEAN,
        description='wait for a command per step: deterministic, as fast as the machine',
    ),
    DeclareLaunchArgument(
        'gate',
        default_value='false',
        choices=BOOLEAN,
        description='put command_gate between controller and simulator',
    ),
    DeclareLaunchArgument(
        'rviz', default_value='false', choices=BOOLEAN, description='show it in RViz'
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Return both nodes, which take themselves to active unless autostart is false."""
    simulator = LifecycleNode(
        package='mbmrl_ros',
        executable='sim_node',
        name='sim_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {
                name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
                for name, value_type in PARAMETERS.items()
            },
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    controller = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/robot.launch.py']),
        launch_arguments={name: LaunchConfiguration(name) for name in SHARED}.items(),
        condition=IfCondition(LaunchConfiguration('controller')),
    )
    # Otherwise robot.launch.py shows it.
    alone = NotSubstitution(LaunchConfiguration('controller'))
    rviz = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/rviz.launch.py']),
        launch_arguments={name: LaunchConfiguration(name) for name in SHOWN}.items(),
        condition=IfCondition(AndSubstitution(LaunchConfiguration('rviz'), alone)),
    )
    return LaunchDescription([*ARGUMENTS, *needed(simulator), controller, rviz])
