# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the nodes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from mbmrl_ros.algorithms.adapters import DYNAMIC_EVALUATION_STEP
from mbmrl_ros.nodes.common.params import Settings
from mbmrl_ros.robot.gate import LONGEST_SILENCE_S
from mbmrl_ros.spec.channels import TopicName


def _realtime_priority() -> Any:
    return Field(
        0,
        ge=0,
        le=99,
        description='of the process, served before all that have none (SCHED_FIFO); 0: none',
    )


def _joint_margin() -> Any:
    return Field(
        0.5,
        ge=-1,
        le=100,
        description='how far a joint may be beyond the limits of the URDF or MJCF, as a share of '
        'their distance, where the robot file has no plausible range; negative: not held against',
    )


class SimSettings(Settings):
    """Parameters of sim_node."""

    robot: str = Field('half_cheetah', description='robot file: a shipped name or a path')
    task: str = Field('', description="services for this task's disturbances only; empty: for all")
    lockstep: bool = Field(
        False, description='wait for a command per step: deterministic, as fast as the machine'
    )
    lockstep_timeout_s: float = Field(
        5.0, gt=0, le=3600, description='without a command, after the first: fallback, real time'
    )
    speed_factor: float = Field(
        1.0,
        ge=0.01,
        le=100,
        description='simulated per real seconds, without lockstep; the time-outs of the '
        "controller's sensors stay in real seconds",
    )
    wall_time: bool = Field(
        False,
        description='stamp with the present, as a robot does, and not with simulated time; no '
        '/clock then; without lockstep, at speed factor 1',
    )
    viewer: bool = Field(False, description="show the robot in MuJoCo's viewer; needs a display")
    seed: int = Field(0, ge=0, description='of the start states; changed, the stream starts anew')
    schedule: tuple[str, ...] = Field(
        (), description='disturbances by control step: kind:target@from or kind:target@from-to'
    )
    training_steps: int = Field(
        0,
        ge=0,
        description='steps of an episode, for which every reset draws what goes wrong as in '
        'training for the task; 0: nothing is drawn',
    )
    realtime_priority: int = _realtime_priority()
    autostart: bool = Field(True, description='configure and activate without being asked')


class GateSettings(Settings):
    """Parameters of command_gate."""

    robot: str = Field('half_cheetah', description='robot file: a shipped name or a path')
    timeout_s: float = Field(
        LONGEST_SILENCE_S,
        gt=0,
        le=60,
        description='longest silence of controller and sensors, where the robot file has no '
        'shorter one; slow topics apart',
    )
    check_s: float = Field(0.02, ge=0.001, le=0.05, description='between two checks for silence')
    joint_margin: float = _joint_margin()
    deadman_topic: str = Field('', description='Bool or Joy of a switch to be held; empty: none')
    deadman_button: int = Field(
        -1, ge=-1, le=255, description='of a Joy; -1: the topic is a std_msgs/msg/Bool'
    )
    deadman_timeout_s: float = Field(
        LONGEST_SILENCE_S, gt=0, le=60, description='a silent switch counts as let go after this'
    )
    realtime_priority: int = _realtime_priority()
    autostart: bool = Field(True, description='configure and activate without being asked')


class RecorderSettings(Settings):
    """Parameters of recorder_node."""

    robot: str = Field('half_cheetah', description='robot file: a shipped name or a path')
    out: str = Field('', description='folder of the bag; empty: bags/<robot>_<time>')
    also: tuple[TopicName, ...] = Field(
        (), description='further topics, such as controller_node/stats or /diagnostics'
    )
    autostart: bool = Field(True, description='configure and activate without being asked')


class PlayerSettings(Settings):
    """Parameters of player_node."""

    bag: str = Field('', description='a folder or a file, MCAP or SQLite')
    robot: str = Field('half_cheetah', description='robot file: a shipped name or a path')
    namespace: str = Field('', description='of the robot, where the bag holds several')
    rate: float = Field(1.0, ge=0.01, le=100, description='times the pace of the recording')
    loop: bool = Field(False, description='from the begin again, and again')
    commands: bool = Field(
        False,
        description='the recorded commands too, for a controller in shadow mode; never where '
        'motors listen',
    )
    restamp: bool = Field(
        False, description='stamp messages with the present, and leave /clock alone'
    )
    autostart: bool = Field(True, description='configure and activate without being asked')


class PlannerSettings(Settings):
    """Changes to the planner of the bundle; 0 or empty means: as in the bundle.

    A kind that is not the bundle's begins with defaults of its own.
    """

    renamed: ClassVar[dict[str, str]] = {'inertia': 'alpha', 'minimum_noise': 'min_std'}

    kind: Literal['', 'mppi', 'random_shooting', 'cem'] = Field(
        '', description="mppi, random_shooting or cem; empty: the bundle's"
    )
    candidates: int = Field(0, ge=0, le=100_000, description="rollouts per plan; 0: the bundle's")
    horizon: int = Field(0, ge=0, le=1000, description="steps to look ahead; 0: the bundle's")
    temperature: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="mppi: in standard deviations of the returns; 0: the bundle's",
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="mppi, cem: standard deviation, actions in -1..1; 0: the bundle's",
    )
    knots: int = Field(
        0, ge=0, le=1000, description="mppi: points that noise is drawn for; 0: the bundle's"
    )
    smoothing: float = Field(
        0.0,
        ge=0,
        le=1,
        description="mppi, in place of knots: 1 is white noise, small slow noise; 0: the bundle's",
    )
    policy_share: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="mppi, cem: of the candidates, what a policy proposes; 0: the bundle's",
    )
    iterations: int = Field(
        0, ge=0, le=100, description="cem: refits of the distribution; 0: the bundle's"
    )
    elites: int = Field(
        0, ge=0, le=100_000, description="cem: candidates to refit to; 0: the bundle's"
    )
    alpha: float = Field(
        0.0, ge=0, le=1, description="cem: share of the old mean and std; 0: the bundle's"
    )
    min_std: float = Field(0.0, ge=0, le=10, description="cem: floor of the std; 0: the bundle's")


class BudgetSettings(Settings):
    """How candidates follow the time that ticks take; in lockstep they do not."""

    share: float = Field(
        0.6,
        ge=0,
        le=0.9,
        description='of the control period, for a tick: candidates are imagined as fit; 0: as '
        'many as the planner says',
    )
    min_candidates: int = Field(32, ge=2, le=100_000, description='that a plan is worth')
    max_candidates: int = Field(
        0, ge=0, le=100_000, description="where more would fit; 0: the planner's number"
    )


class BoundsSettings(Settings):
    """What no state can be, where the robot file has no plausible range for a channel."""

    deviations: float = Field(
        100.0,
        ge=0,
        le=1e9,
        description='standard deviations from the mean of what the model was trained on, beyond '
        'which a state is no measurement: fallback; 0: not held against',
    )
    joint_margin: float = _joint_margin()


class ControllerSettings(Settings):
    """Parameters of controller_node."""

    robot: str = Field('half_cheetah', description='robot file: a shipped name or a path')
    bundle: str = Field(
        '', description="trained bundle: a shipped name or a folder; empty: the robot's own"
    )
    mode: Literal['control', 'collect'] = Field(
        'control',
        description='collect: drive at random, within the area of the robot file, to record data; '
        'no bundle is needed',
    )
    task: str = Field(
        '',
        description='whose reward is planned for, such as another path, or adapted by; empty: the '
        "bundle's",
    )
    goal: str = Field(
        '',
        description="of a policy's task, for its reward: numbers in the order of its goals, as in "
        "'0.5 1'",
    )
    exploration: Literal['auto', 'always', 'never'] = Field(
        'auto',
        description='of a policy, whether actions are drawn: auto, while there are rollouts to '
        'adapt from, and then the mean; never: nor is there an inner step',
    )
    adaptation: Literal['auto', 'none', 'grbal', 'rebal', 'dynamic_evaluation'] = Field(
        'auto', description='auto (as trained), none, grbal, rebal, or dynamic_evaluation (MB+DE)'
    )
    step_size: float = Field(
        DYNAMIC_EVALUATION_STEP, gt=0, le=10, description='of dynamic_evaluation'
    )
    path: str = Field(
        '',
        description="shape to follow, or way-points as in '0 0, 1 0, 1 2' [m]; empty: the task's; "
        'paths that come on reference_path take its place',
    )
    planner: PlannerSettings = PlannerSettings()
    budget: BudgetSettings = BudgetSettings()
    bounds: BoundsSettings = BoundsSettings()
    even_commands: bool = Field(
        True,
        description='send at the time of the period at which almost all ticks are done, and '
        'not when each is done',
    )
    follow_sensors: bool = Field(
        True,
        description='begin periods just after the readings that they need; not in lockstep, nor '
        'with use_sim_time',
    )
    compensate_latency: bool = Field(
        True, description='plan from the state predicted for when the command takes effect'
    )
    seed: int = Field(
        0, ge=0, description='of planner or policy; the stream starts anew at ~/reset'
    )
    device: Literal['auto', 'cpu', 'cuda'] = Field(
        'cpu', description='where to adapt and plan; auto: on the GPU if there is one'
    )
    precision: Literal['auto', 'float32', 'bfloat16', 'int8'] = Field(
        'auto',
        description='of imagined rollouts; auto: bfloat16 where the processor has it, else '
        'float32; int8: docs/precision.md',
    )
    threads: int = Field(
        2, ge=1, le=1024, description='of the processor, for adapting and planning'
    )
    lockstep: bool = Field(
        False,
        description='tick when all topics have the same new stamp; needs a lockstep sim_node',
    )
    lockstep_timeout_s: float = Field(
        5.0, gt=0, le=3600, description='in lockstep, without readings: fallback'
    )
    gate: bool = Field(False, description='commands go to wanted_commands, for command_gate')
    shadow: bool = Field(
        False,
        description='drive nothing: plan for a robot that somebody else drives (a bag, a person), '
        'say on ~/shadow_commands what would have been sent, and score predictions in ~/stats',
    )
    publish_tf: bool = Field(
        True, description='say on /tf, for RViz, where the body is; false where somebody else does'
    )
    realtime_priority: int = _realtime_priority()
    autostart: bool = Field(True, description='configure and activate without being asked')

    @field_validator('goal', mode='before')
    @classmethod
    def _numbers_as_text(cls, value: Any) -> Any:
        """Take what ROS reads as numbers: `-p goal:=1.0`, `-p goal:=[0.5, 1.0]`."""
        values = value if isinstance(value, tuple) else (value,)
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        return ' '.join(map(repr, values)) if numbers else value
