# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the simulator, with the topics of the robot, and the controller with robot.launch.py."""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

PARAMS = PathJoinSubstitution([FindPackageShare('mbmrl_ros'), 'config', 'nodes.params.yaml'])
BOOLEAN = ['true', 'false', 'True', 'False']
SHARED = ['namespace', 'use_sim_time', 'robot', 'bundle', 'params_file', 'autostart', 'log_level']
ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='of nodes and topics'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='true', choices=BOOLEAN,
        description='the controller takes the /clock of the simulator',
    ),
    DeclareLaunchArgument(
        'robot', default_value='half_cheetah', description='robot file: a shipped name or a path'
    ),
    DeclareLaunchArgument(
        'bundle', default_value='', description='trained bundle: a shipped name or a folder'
    ),
    DeclareLaunchArgument(
        'params_file', default_value=PARAMS, description='all other node parameters'
    ),
    DeclareLaunchArgument(
        'autostart', default_value='true', choices=BOOLEAN,
        description='configure and activate at once: the robot moves',
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, ...'),
    DeclareLaunchArgument(
        'controller', default_value='true', choices=BOOLEAN, description='start it as well'
    ),
    DeclareLaunchArgument(
        'lockstep', default_value='false', choices=BOOLEAN,
        description='wait for a command per step: deterministic, as fast as the machine',
    ),
]  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    """Return simulator and controller, and what takes each to active."""
    simulator = LifecycleNode(
        package='mbmrl_ros',
        executable='sim_node',
        name='sim_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {
                'robot': ParameterValue(LaunchConfiguration('robot'), value_type=str),
                'lockstep': ParameterValue(LaunchConfiguration('lockstep'), value_type=bool),
            },
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    autostart = IfCondition(LaunchConfiguration('autostart'))
    matcher = matches_action(simulator)
    configure = ChangeState(
        lifecycle_node_matcher=matcher, transition_id=Transition.TRANSITION_CONFIGURE
    )
    activate = ChangeState(
        lifecycle_node_matcher=matcher, transition_id=Transition.TRANSITION_ACTIVATE
    )
    # Only after configuring: a deactivated node stays inactive.
    configured = OnStateTransition(
        target_lifecycle_node=simulator,
        start_state='configuring',
        goal_state='inactive',
        entities=[EmitEvent(event=activate)],
    )
    controller = IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/robot.launch.py']),
        launch_arguments={name: LaunchConfiguration(name) for name in SHARED}.items(),
        condition=IfCondition(LaunchConfiguration('controller')),
    )
    return LaunchDescription([
        *ARGUMENTS,
        RegisterEventHandler(configured, condition=autostart),
        simulator,
        EmitEvent(event=configure, condition=autostart),
        controller,
    ])  # fmt: skip
