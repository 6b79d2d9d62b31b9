# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learn beside a robot: a collector, a model learner, a policy learner; all of them, or some here.

On several machines start this file on each of them with the parts that are to run there, the same
namespace and the same arguments: parts:=collector on the robot, parts:=model,policy elsewhere.
Where plans are made in the model (mb, grbal, rebal) there is no policy to be learned.
"""

from typing import List  # noqa: UP035

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

from mbmrl_ros.nodes.common.launching import needed

# launch_ros knows lists by this name only.
LIST = List[str]  # noqa: UP006
# Arguments that are parameters of all three; those of the collector alone; those of the learners.
SHARED = {
    'use_sim_time': bool, 'algorithm': str, 'task': str, 'robot': str, 'config': str,
    'settings': LIST, 'seed': int, 'out': str, 'key_file': str, 'start_from': str,
    'autostart': bool,
}  # fmt: skip
PARAMETERS = {
    'steps': int, 'reset': str, 'lockstep': bool, 'gate': bool, 'realtime_priority': int,
}  # fmt: skip
LEARNER_PARAMETERS = {'threads': int, 'checkpoint_s': float, 'niceness': int}
# Algorithms that plan in their model.
WITHOUT_POLICY = ('mb', 'grbal', 'rebal')
BOOLEAN = ['true', 'false', 'True', 'False']
ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='of nodes and topics'),
    DeclareLaunchArgument(
        'use_sim_time', default_value='false', choices=BOOLEAN, description='take /clock'
    ),
    DeclareLaunchArgument(
        'parts', default_value='collector,model,policy', description='what runs on this machine'
    ),
    DeclareLaunchArgument('algorithm', default_value='mb_mpo', description='mb_mpo, grbal, ...'),
    DeclareLaunchArgument(
        'task', default_value='half_cheetah/thesis', description='see: mbmrl tasks'
    ),
    DeclareLaunchArgument(
        'robot', default_value='', description="its file, where the task is a robot file's own"
    ),
    DeclareLaunchArgument(
        'config', default_value='', description='recipe such as paper, or a .yaml file'
    ),
    DeclareLaunchArgument(
        'settings', default_value="['']", description="changes to it: ['horizon=100']"
    ),
    DeclareLaunchArgument('seed', default_value='0', description='of the random numbers'),
    DeclareLaunchArgument(
        'out', default_value='', description='folder; empty: one in runs, by task and algorithm'
    ),
    DeclareLaunchArgument(
        'key_file', default_value='', description='of a key, see mbmrl key; empty: no signatures'
    ),
    DeclareLaunchArgument(
        'start_from', default_value='', description='run of mb, grbal or rebal; empty: none'
    ),
    DeclareLaunchArgument('steps', default_value='0', description='0: until stopped'),
    DeclareLaunchArgument(
        'reset', default_value='sim_node/reset', description='service that puts the robot back'
    ),
    DeclareLaunchArgument(
        'lockstep', default_value='false', choices=BOOLEAN, description='never on hardware'
    ),
    DeclareLaunchArgument(
        'gate', default_value='false', choices=BOOLEAN, description='command_gate is started'
    ),
    DeclareLaunchArgument(
        'realtime_priority', default_value='0', description='of the collector; 0: none'
    ),
    DeclareLaunchArgument('threads', default_value='1', description='of each learner'),
    DeclareLaunchArgument(
        'checkpoint_s', default_value='30.0', description='between two checkpoints of the models'
    ),
    DeclareLaunchArgument(
        'niceness', default_value='10', description='how far control comes before learning'
    ),
    DeclareLaunchArgument(
        'autostart', default_value='true', choices=BOOLEAN, description='begin at once'
    ),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, ...'),
]


def generate_launch_description() -> LaunchDescription:
    """Return the parts; the launch ends where one of them fails."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=learn)])


def learn(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the parts that are to run here."""
    collector = LifecycleNode(
        package='mbmrl_ros',
        executable='collector_node',
        name='collector_node',
        parameters=[given(SHARED | PARAMETERS)],
        **common(),
    )
    model = LifecycleNode(
        package='mbmrl_ros',
        executable='model_learner_node',
        name='model_learner_node',
        parameters=[given(SHARED | LEARNER_PARAMETERS)],
        **common(),
    )
    policy = LifecycleNode(
        package='mbmrl_ros',
        executable='policy_learner_node',
        name='policy_learner_node',
        parameters=[given(SHARED | LEARNER_PARAMETERS)],
        **common(),
    )
    parts = LaunchConfiguration('parts').perform(context).split(',')
    nodes = needed(collector) if 'collector' in parts else []
    nodes += needed(model) if 'model' in parts else []
    planned = LaunchConfiguration('algorithm').perform(context) in WITHOUT_POLICY
    return nodes + (needed(policy) if 'policy' in parts and not planned else [])


def common() -> dict[str, object]:
    """Return what is alike for all three."""
    return {
        'namespace': LaunchConfiguration('namespace'),
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
        'output': 'screen',
    }


def given(parameters: dict[str, type]) -> dict[str, ParameterValue]:
    """Return the launch arguments that are parameters of a node."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in parameters.items()
    }
