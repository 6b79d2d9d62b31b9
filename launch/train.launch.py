# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train a model: `mbmrl train` with the arguments of this file. Started again, it goes on.

It is a process and no node: training has no topics, and what it reports goes to its run folder.
"""

import shlex
from pathlib import Path

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration

from mbmrl_ros.nodes.common.launching import needed

# Arguments that are options of the command too, where they are not empty.
OPTIONS = ['task', 'data', 'config', 'seed', 'out']
ARGUMENTS = [
    DeclareLaunchArgument('algorithm', default_value='grbal', description='see: mbmrl algorithms'),
    DeclareLaunchArgument(
        'task', default_value='', description='to train on in simulation; see: mbmrl tasks'
    ),
    DeclareLaunchArgument(
        'data', default_value='', description='folder of recordings to train on instead'
    ),
    DeclareLaunchArgument(
        'config', default_value='', description='recipe such as paper, or a .yaml file'
    ),
    DeclareLaunchArgument('seed', default_value='0', description='of the random numbers'),
    DeclareLaunchArgument(
        'out',
        default_value='',
        description='run folder; empty: runs/<task>/<algorithm>/seed<seed>',
    ),
    DeclareLaunchArgument(
        'more', default_value='', description="more of the command line: '--set iterations=5'"
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Return the training; the launch ends with it."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=train)])


def train(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the command with the options that are not empty."""
    mbmrl = Path(get_package_prefix('mbmrl_ros')) / 'lib' / 'mbmrl_ros' / 'mbmrl'
    command = [str(mbmrl), 'train', LaunchConfiguration('algorithm').perform(context)]
    for name in OPTIONS:
        value = LaunchConfiguration(name).perform(context)
        command += [f'--{name}', value] if value else []
    command += shlex.split(LaunchConfiguration('more').perform(context))
    # A terminal of its own keeps the progress bar on one line.
    return needed(ExecuteProcess(cmd=command, name='train', output='screen', emulate_tty=True))
