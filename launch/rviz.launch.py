# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Show a robot in RViz: its body, the path, what it plans, where it has been.

robot_state_publisher moves the body's links with the joint states.
"""

from pathlib import Path

from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

BOOLEAN = ['true', 'false', 'True', 'False']
PACKAGES = ['rviz2', 'robot_state_publisher']
ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='of nodes and topics'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='false', choices=BOOLEAN, description='take /clock'
    ),
    DeclareLaunchArgument(
        'robot', default_value='millirobot', description='robot file: a shipped name or a path'
    ),
    DeclareLaunchArgument(
        'urdf', default_value='', description="a file; empty: the shipped one of the robot's name"
    ),
    DeclareLaunchArgument(
        'rviz_config', default_value='', description="a file; empty: as with 'urdf'"
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Return RViz and the publisher of the body."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=show)])


def show(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return both nodes, or a line that says what is missing."""
    installed = get_packages_with_prefixes()
    missing = [package for package in PACKAGES if package not in installed]
    if missing:
        return [LogInfo(msg=f'no RViz: not installed: {", ".join(missing)}')]
    share = Path(installed['mbmrl_ros']) / 'share' / 'mbmrl_ros'
    robot = Path(LaunchConfiguration('robot').perform(context)).stem
    urdf = LaunchConfiguration('urdf').perform(context) or shipped(share / 'urdf', robot, '.urdf')
    config = LaunchConfiguration('rviz_config').perform(context)
    config = config or shipped(share / 'config', robot, '.rviz')
    for argument, file in (('urdf', urdf), ('rviz_config', config)):
        if not Path(file).is_file():
            return [LogInfo(msg=f'no RViz: {file or f"none for {robot}"}: give {argument}:=FILE')]
    use_sim_time = {
        'use_sim_time': ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    }
    namespace = LaunchConfiguration('namespace')
    description = ParameterValue(Path(urdf).read_text(), value_type=str)
    body = Node(
        package='robot_state_publisher',
        executable='robot_state_publisher',
        name='robot_state_publisher',
        namespace=namespace,
        parameters=[use_sim_time, {'robot_description': description}],
        output='screen',
    )
    # Topics in the configuration are relative, so that they follow the namespace.
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        name='rviz2',
        namespace=namespace,
        parameters=[use_sim_time],
        arguments=['-d', config],
        output='screen',
    )
    return [body, rviz]


def shipped(folder: Path, robot: str, suffix: str) -> str:
    """Return the file of a robot, or of the one that its name begins with (pr2_left_arm_peg)."""
    found = [path for path in folder.glob(f'*{suffix}') if robot.startswith(path.stem)]
    return str(max(found, key=lambda path: len(path.stem))) if found else ''
