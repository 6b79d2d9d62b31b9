# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the controller of a robot; sensors and motors are the robot's own drivers."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

PARAMS = PathJoinSubstitution([FindPackageShare('mbmrl_ros'), 'config', 'nodes.params.yaml'])
BOOLEAN = ['true', 'false', 'True', 'False']
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
        'params_file', default_value=PARAMS, description='all other node parameters'
    ),
    DeclareLaunchArgument(
        'autostart', default_value='true', choices=BOOLEAN,
        description='configure and activate at once: the robot moves',
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, ...'),
]  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    """Return the controller, and what takes it to active."""
    controller = LifecycleNode(
        package='mbmrl_ros',
        executable='controller_node',
        name='controller_node',
        namespace=LaunchConfiguration('namespace'),
        parameters=[
            LaunchConfiguration('params_file'),
            {
                'use_sim_time': ParameterValue(
                    LaunchConfiguration('use_sim_time'), value_type=bool
                ),
                'robot': ParameterValue(LaunchConfiguration('robot'), value_type=str),
                'bundle': ParameterValue(LaunchConfiguration('bundle'), value_type=str),
            },
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    autostart = IfCondition(LaunchConfiguration('autostart'))
    matcher = matches_action(controller)
    configure = ChangeState(
        lifecycle_node_matcher=matcher, transition_id=Transition.TRANSITION_CONFIGURE
    )
    activate = ChangeState(
        lifecycle_node_matcher=matcher, transition_id=Transition.TRANSITION_ACTIVATE
    )
    # Only after configuring: a deactivated node stays inactive.
    configured = OnStateTransition(
        target_lifecycle_node=controller,
        start_state='configuring',
        goal_state='inactive',
        entities=[EmitEvent(event=activate)],
    )
    return LaunchDescription([
        *ARGUMENTS,
        RegisterEventHandler(configured, condition=autostart),
        controller,
        EmitEvent(event=configure, condition=autostart),
    ])  # fmt: skip
