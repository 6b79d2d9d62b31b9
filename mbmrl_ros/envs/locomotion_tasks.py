# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of meta policy search on gymnasium's robots (ProMP, appendix D.2; thesis, chapter 6).

Rewards, episodes and start states are those of the ProMP authors' code, which the paper describes
in words. In all of them: the forces of contacts, which that code lets ants and humanoids see and
pay for, are neither observed nor paid for; ants and humanoids are seen through odometry and
joints, with a rotation matrix and velocities in the frame of the torso; velocities are not
clipped to -10..10 where policies see them. What else differs is said at the task. Held out are
goals beyond those of training; of directions a sector of 30 degrees that the papers train on too,
of forward and backward to stand still.
"""

from __future__ import annotations

from mbmrl_ros.envs.goals import (
    Goals,
    directions,
    forward_or_backward,
    interval,
    multipliers,
    places_in_disc,
)
from mbmrl_ros.envs.task import Task, nothing_happens
from mbmrl_ros.rewards.reward import TermConfig

Terms = tuple[TermConfig, ...]
Limits = dict[str, tuple[float, float]]

DIRECTION = TermConfig(term='goal_velocity', channel='x', goal='direction')
DIRECTIONS = (
    TermConfig(term='goal_velocity', channel='x', goal='direction_x'),
    TermConfig(term='goal_velocity', channel='y', goal='direction_y'),
)
SPEED_ERROR = TermConfig(term='goal_speed_error', weight=-1.0, channel='x', goal='speed')
FORWARD = TermConfig(term='forward_velocity', channel='x')


def _effort(weight: float) -> TermConfig:
    """Return the cost of the squared action, which counts as scaled to -1..1."""
    return TermConfig(term='action_squared', weight=-weight)


def _alive(weight: float) -> TermConfig:
    return TermConfig(term='alive', weight=weight)


def _scaled(terms: Terms, factor: float) -> Terms:
    return tuple(term.model_copy(update={'weight': factor * term.weight}) for term in terms)


WALKING = (_alive(1.0), _effort(1e-3))
UPRIGHT: Limits = {'z': (0.8, 2.0), 'pitch': (-1.0, 1.0)}
# The hopper also ends where anything is beyond 100; its position along the ground is not anything.
HOPPER_CHANNELS = ('thigh', 'leg', 'foot', 'vx', 'vz', 'pitch_rate',
                   'thigh_rate', 'leg_rate', 'foot_rate')  # fmt: skip
HOPPING: Limits = {
    'z': (0.7, 100.0),
    'pitch': (-0.2, 0.2),
    **dict.fromkeys(HOPPER_CHANNELS, (-100.0, 100.0)),
}
LEG = ('thigh', 'leg', 'foot')
LEFT_LEG = ('thigh_left', 'leg_left', 'foot_left')


def _random_parameters(bodies: tuple[str, ...]) -> Goals:
    """Return factors 1.5^U(-3, 3) of mass, inertia and friction, and 1.3^U(-3, 3) of damping.

    bodies: their names, the torso first, of which each other one has a joint. What the solver
    derives from masses is computed anew, which the published code leaves as it was.
    """
    links = [body for body in bodies if body != 'torso']
    geoms = ('floor', *(f'{body}_geom' for body in bodies))
    bases = {f'mass:{body}': 1.5 for body in bodies}
    bases |= {f'inertia_{axis}:{body}': 1.5 for body in bodies for axis in 'xyz'}
    bases |= {
        f'{kind}_friction:{geom}': 1.5
        for geom in geoms
        for kind in ('sliding', 'torsional', 'rolling')
    }
    bases |= {f'damping:{link}_joint': 1.3 for link in links}
    return multipliers(bases, limit=3.0, held_out=4.0)


def _task(
    name: str, description: str, robot: str, reward: Terms, goals: Goals, steps: int
) -> Task:
    return Task(
        name=name,
        description=description,
        robot=robot,
        reward=reward,
        episode_steps=steps,
        disturbances=(),
        training=nothing_happens,
        tests={},
        goals=goals,
        done=DONE.get(name, {}),
    )


DONE: dict[str, Limits] = {
    'ant/direction': {'z': (0.0, 1.0)},
    'humanoid/direction': {'z': (1.0, 2.0)},
    'walker2d/direction': UPRIGHT,
    'walker2d/random_parameters': UPRIGHT,
    'hopper/random_parameters': HOPPING,
}

LOCOMOTION_TASKS = (
    _task('half_cheetah/forward_backward', 'run forward or backward, whichever pays',
          'half_cheetah_20hz', (DIRECTION, _effort(0.05)), forward_or_backward(), 100),
    _task('half_cheetah/velocity', 'run at a speed that has to be found out, 0 to 3 m/s',
          'half_cheetah_20hz', (SPEED_ERROR, _effort(0.05)),
          interval('speed', (0.0, 3.0), held_out=(3.0, 4.0)), 100),
    _task('ant/direction', 'walk in a direction that has to be found out', 'ant_20hz',
          (*DIRECTIONS, _effort(0.5), _alive(1.0)), directions(), 100),
    # The code's distance is the L1 norm; the paper says "distance". Effort is not in the paper.
    _task('ant/goal', 'walk to a place within 3 m that has to be found out', 'ant_20hz',
          (TermConfig(term='goal_distance', weight=-1.0, channel='x', goal='goal_x'),
           TermConfig(term='goal_distance', weight=-1.0, channel='y', goal='goal_y'),
           _effort(0.1)), places_in_disc(3.0, beyond=4.0), 200),
    # 0.25 / timestep is 1.25 / period; the code squares controls of 0.4 at most, and takes the
    # velocity of the centre of mass, not of the torso.
    _task('humanoid/direction', 'walk upright in a direction that has to be found out', 'humanoid',
          (*_scaled(DIRECTIONS, 1.25), _effort(0.1 * 0.4**2), _alive(5.0)), directions(), 200),
    _task('walker2d/direction', 'walk forward or backward, whichever pays', 'walker2d',
          (DIRECTION, *WALKING), forward_or_backward(), 200),
    # The paper's reward is the velocity alone; the code's, as gymnasium's, has the other two.
    _task('walker2d/random_parameters', 'walk with unknown masses, inertias, friction, damping',
          'walker2d_100hz', (FORWARD, *WALKING),
          _random_parameters(('torso', *LEG, *LEFT_LEG)), 200),
    _task('hopper/random_parameters', 'hop with unknown masses, inertias, friction, damping',
          'hopper', (FORWARD, *WALKING), _random_parameters(('torso', *LEG)), 200),
    # The code pays for being off the speed (a sign is missing).
    _task('swimmer/velocity', 'swim at a speed that has to be found out, 0.1 to 0.2 m/s',
          'swimmer', (SPEED_ERROR, _effort(1e-4)),
          interval('speed', (0.1, 0.2), held_out=(0.2, 0.3)), 200),
)  # fmt: skip
