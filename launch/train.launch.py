# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train by trainer_node; with `data`, on recordings by the command. Started again, it goes on."""

from pathlib import Path
from typing import List  # noqa: UP035

import yaml
from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

from mbmrl_ros.nodes.common.launching import needed

# launch_ros knows lists by this name only.
LIST = List[str]  # noqa: UP006
# Arguments that are parameters of the node too.
PARAMETERS = {
    'algorithm': str, 'task': str, 'robot': str, 'config': str, 'settings': LIST, 'seed': int,
    'out': str, 'threads': int, 'autostart': bool,
}  # fmt: skip
# Options of the command where it trains on recordings, where they are not empty.
OPTIONS = ['task', 'robot', 'data', 'config', 'seed', 'out', 'threads']
BOOLEAN = ['true', 'false', 'True', 'False']
ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='of the node'),
    DeclareLaunchArgument('algorithm', default_value='grbal', description='see: mbmrl algorithms'),
    DeclareLaunchArgument(
        'task', default_value='', description='to train on in simulation; see: mbmrl tasks'
    ),
    DeclareLaunchArgument(
        'robot', default_value='', description="its file, where the task is a robot file's own"
    ),
    DeclareLaunchArgument(
        'data', default_value='', description='folder of recordings to train on instead'
    ),
    DeclareLaunchArgument(
        'config', default_value='', description='recipe such as paper, or a .yaml file'
    ),
    DeclareLaunchArgument(
        'settings', default_value="['']", description="changes to it: ['iterations=5', 'alpha=1']"
    ),
    DeclareLaunchArgument('seed', default_value='0', description='of the random numbers'),
    DeclareLaunchArgument(
        'out',
        default_value='',
        description='run folder; empty: runs/<task>/<algorithm>/seed<seed>',
    ),
    DeclareLaunchArgument('threads', default_value='2', description='of the processor'),
    DeclareLaunchArgument(
        'autostart', default_value='true', choices=BOOLEAN, description='train at once'
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, ...'),
]


def generate_launch_description() -> LaunchDescription:
    """Return the training; the launch ends with it."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=train)])


def train(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node, or the command where there are recordings."""
    if LaunchConfiguration('data').perform(context):
        return train_on_recordings(context)
    trainer = LifecycleNode(
        package='mbmrl_ros',
        executable='trainer_node',
        name='trainer_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            {
                name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                for name, kind in PARAMETERS.items()
            }
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    return needed(trainer)


def train_on_recordings(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the command with the options that are not empty."""
    mbmrl = Path(get_package_prefix('mbmrl_ros')) / 'lib' / 'mbmrl_ros' / 'mbmrl'
    command = [str(mbmrl), 'train', LaunchConfiguration('algorithm').perform(context)]
    for name in OPTIONS:
        value = LaunchConfiguration(name).perform(context)
        command += [f'--{name}', value] if value else []
    for change in yaml.safe_load(LaunchConfiguration('settings').perform(context)):
        command += ['--set', change] if change else []
    # A terminal of its own keeps the progress bar on one line.
    process = ExecuteProcess(cmd=command, name='train', output='screen', emulate_tty=True)
    return needed(process)
