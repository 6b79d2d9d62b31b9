# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks without goals, for policies that are learned through a model, and for their baselines.

Gymnasium's robots with its own physics and periods, under the rewards of three sources:

    gymnasium   those of its environments v4, which published curves are of; 1000 steps
    mbbl        those of Wang et al. 2019 (MBBL), which never end an episode; 1000 steps
    thesis      those of ME-TRPO (swimmer, ant) and MB-MPO (the others); 200 steps

Velocities are those of the step that was made, by its change of position. Gymnasium's ant measures
positions a physics step late; MBBL rewards the state before a step, and not the one after it;
MB-MPO takes the velocity in the state after it.
"""

from __future__ import annotations

from dataclasses import replace

from mbmrl_ros.envs.arm_tasks import ARM_TASKS, REACHED
from mbmrl_ros.envs.goals import NO_GOALS
from mbmrl_ros.envs.locomotion_tasks import FORWARD, HOPPING, UPRIGHT, WALKING, Limits, Terms
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.point_tasks import PointDynamics, squared_norm
from mbmrl_ros.envs.task import Task, nothing_happens
from mbmrl_ros.rewards.reward import TermConfig

ALIVE = TermConfig(term='alive')
ON_FOUR_LEGS: Limits = {'z': (0.2, 1.0)}
# Of the swimmer's root, 1.5 m behind its tip, which MBBL measures (its "sensor" variant).
TIP = TermConfig(term='point_velocity', channel='x', target={'yaw': 1.5})


def _effort(weight: float) -> TermConfig:
    """Return the cost of the squared action, which counts as scaled to -1..1."""
    return TermConfig(term='action_squared', weight=-weight)


def _standing(height: float, limits: Limits) -> Terms:
    """Return MBBL's terms of those that can fall, to whom it happens without an end."""
    return (
        TermConfig(term='distance_squared', weight=-3.0, target={'z': height}),
        TermConfig(term='within', limits=limits),
    )


MBBL_EFFORT = _effort(0.1)
UPRIGHT_HOPPER: Limits = {name: HOPPING[name] for name in ('z', 'pitch')}

# By robot: its file, and by source the reward and what ends an episode.
Variants = dict[str, tuple[Terms, Limits]]
ROBOTS: dict[str, tuple[str, Variants]] = {
    'swimmer': ('swimmer', {
        'gymnasium': ((FORWARD, _effort(1e-4)), {}),
        'mbbl': ((TIP, _effort(1e-4)), {}),
        'thesis': ((FORWARD, _effort(5e-3)), {}),
    }),
    'half_cheetah': ('half_cheetah_20hz', {
        'gymnasium': ((FORWARD, _effort(0.1)), {}),
        'mbbl': ((FORWARD, MBBL_EFFORT), {}),
        'thesis': ((FORWARD, _effort(0.1)), {}),
    }),
    'hopper': ('hopper', {
        'gymnasium': ((FORWARD, *WALKING), HOPPING),
        'mbbl': ((FORWARD, MBBL_EFFORT, *_standing(1.3, UPRIGHT_HOPPER)), {}),
        'thesis': ((FORWARD, *WALKING), HOPPING),
    }),
    'walker2d': ('walker2d_125hz', {
        'gymnasium': ((FORWARD, *WALKING), UPRIGHT),
        'mbbl': ((FORWARD, MBBL_EFFORT, *_standing(1.3, UPRIGHT)), {}),
        'thesis': ((FORWARD, *WALKING), UPRIGHT),
    }),
    'ant': ('ant_20hz', {
        'gymnasium': ((FORWARD, _effort(0.5), ALIVE), ON_FOUR_LEGS),
        'mbbl': ((FORWARD, MBBL_EFFORT, *_standing(0.57, ON_FOUR_LEGS)), {}),
        'thesis': ((FORWARD, _effort(5e-3), TermConfig(term='alive', weight=0.05)), ON_FOUR_LEGS),
    }),
}  # fmt: skip
STEPS = {'gymnasium': 1000, 'mbbl': 1000, 'thesis': 200}
SOURCES = {'gymnasium': "gymnasium's", 'mbbl': "MBBL's", 'thesis': "the thesis'"}


def _locomotion(robot: str, source: str) -> Task:
    file, variants = ROBOTS[robot]
    reward, done = variants[source]
    verb = 'swim' if robot == 'swimmer' else 'run'
    return Task(
        name=f'{robot}/{source}',
        description=f'{verb} forward, {SOURCES[source]} reward',
        robot=file,
        reward=reward,
        episode_steps=STEPS[source],
        disturbances=(),
        training=nothing_happens,
        tests={},
        done=done,
    )


# Of MB-MPO (thesis, chapter 6): its point, and the PR2 that brings its hand to a pose.
POINT = MetaTask(
    'point/origin',
    'go to the origin of the plane',
    30,
    NO_GOALS,
    squared_norm,
    PointDynamics(dimensions=2, reach=0.1, start=2.0).system,
    action_scale=1.0,
)
REACHING = Task(
    name='pr2_left_arm/thesis',
    description="bring the hand to a pose, MB-MPO's reward",
    robot='pr2_left_arm',
    reward=(TermConfig(term='distance_squared', weight=-1.0, target=REACHED), _effort(0.05)),
    episode_steps=200,
    disturbances=(),
    training=nothing_happens,
    tests={},
)

# Those of asynchronous learning (thesis 8.4.5): what an arm learns while nothing is wrong with it.
ARM_ALONE = [
    replace(
        task,
        name=f'{task.name}_undisturbed',
        description=f'{task.description}, nothing is wrong',
        disturbances=(),
        training=nothing_happens,
        tests={},
    )
    for task in ARM_TASKS
]

LOCOMOTION = [_locomotion(robot, source) for robot, (_, of) in ROBOTS.items() for source in of]
LEARNING_TASKS: dict[str, Task | MetaTask] = {
    **{task.name: task for task in (*LOCOMOTION, *ARM_ALONE)},
    POINT.name: POINT,
    REACHING.name: REACHING,
}
