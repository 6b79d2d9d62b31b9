# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the controller of a robot; sensors and motors are the robot's own drivers."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

FILE = PathJoinSubstitution([FindPackageShare('mbmrl_ros'), 'config', 'nodes.params.yaml'])
BOOLEAN = ['true', 'false', 'True', 'False']
# Arguments that are parameters of the node too.
PARAMETERS = {
    'use_sim_time': bool,
    'robot': str,
    'bundle': str,
    'autostart': bool,
    'lockstep': bool,
}
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
]


def generate_launch_description() -> LaunchDescription:
    """Return the controller, which takes itself to active unless autostart is false."""
    controller = LifecycleNode(
        package='mbmrl_ros',
        executable='controller_node',
        name='controller_node',
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
    return LaunchDescription([*ARGUMENTS, controller])
