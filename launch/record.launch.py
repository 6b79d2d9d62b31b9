# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record the sensors and commands of a robot to an MCAP bag, until stopped."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from mbmrl_ros.nodes.common.launching import needed

FILE = PathJoinSubstitution([FindPackageShare('mbmrl_ros'), 'config', 'nodes.params.yaml'])
BOOLEAN = ['true', 'false', 'True', 'False']
PARAMETERS = {'use_sim_time': bool, 'robot': str, 'out': str, 'autostart': bool}
ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='of nodes and topics'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='false', choices=BOOLEAN, description='take /clock'
    ),
    DeclareLaunchArgument(
        'robot', default_value='half_cheetah', description='robot file: a shipped name or a path'
    ),
    DeclareLaunchArgument(
        'out', default_value='', description='folder of the bag; empty: bags/<robot>_<time>'
    ),
    DeclareLaunchArgument(
        'params_file', default_value=FILE, description='all other node parameters'
    ),
    DeclareLaunchArgument(
        'autostart', default_value='true', choices=BOOLEAN, description='record at once'
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, ...'),
]


def generate_launch_description() -> LaunchDescription:
    """Return the recorder, which goes to active unless autostart is false."""
    recorder = LifecycleNode(
        package='mbmrl_ros',
        executable='recorder_node',
        name='recorder_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {
                name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                for name, kind in PARAMETERS.items()
            },
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    return LaunchDescription([*ARGUMENTS, *needed(recorder)])
