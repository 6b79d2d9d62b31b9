# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks in a batch: the physics of BatchWorld, rows of their own, what sensors would say."""

import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.sim.population import Population
from mbmrl_ros.spec.robot import RobotSpec, load_robot

EVERY = ('half_cheetah_20hz', 'ant_20hz', 'humanoid', 'walker2d', 'hopper', 'swimmer')
MASS = ('mass:torso', 'sliding_friction:floor', 'damping:leg_joint')


def started(
    spec: RobotSpec, tasks: int, rollouts: int, parameters=(), seed: int = 0
) -> Population:
    robots = Population(spec, tasks, rollouts, parameters, threads=1)
    robots.reset(torch.Generator().manual_seed(seed))
    return robots


def commands(spec: RobotSpec, steps: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (steps, rows, spec.action_size)) * np.array(spec.action.upper)


@pytest.mark.parametrize('name', EVERY)
def test_rows_go_and_say_what_those_of_a_batch_of_worlds_do(name):
    spec = load_robot(name)
    robots, worlds = started(spec, 2, 2), BatchWorld(spec, 4, threads=1)
    worlds.reset(np.random.default_rng(0))
    worlds._states, worlds._signals = robots.states.copy(), None
    np.testing.assert_allclose(robots.signals(), worlds.signals(), atol=1e-12)
    for command in commands(spec, 12, 4):
        assert robots.step(command, np.ones(4, bool)).all()
        worlds.step(command)
        assert np.array_equal(robots.states, worlds.states)
        # Sensors compute what the state says in another order.
        np.testing.assert_allclose(robots.signals(), worlds.signals(), atol=1e-11)
    robots.close()
    worlds.close()


def test_start_states_are_those_of_the_robot_file_with_its_noise():
    robots = started(load_robot('half_cheetah_20hz'), 40, 20)
    positions, speeds = robots.states[:, 1:10], robots.states[:, 10:]
    # U(-0.1, 0.1) and N(0, 0.1^2), as gymnasium's.
    assert np.abs(positions).max() <= 0.1 and np.abs(positions).max() > 0.099
    assert positions.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.03)
    assert speeds.std() == pytest.approx(0.1, rel=0.03) and np.abs(speeds).max() > 0.3
    ant = started(load_robot('ant_20hz'), 10, 20)
    norms = np.linalg.norm(ant.states[:, 4:8], axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=1e-9)
    assert ant.states[:, 3].mean() == pytest.approx(0.55, abs=0.02)


def test_n_tasks_in_a_batch_equal_n_runs_of_one_to_the_bit():
    spec, factors = load_robot('hopper'), np.array([[1, 1, 1], [2.0, 0.5, 3.0], [0.4, 2.0, 0.2]])
    together = started(spec, 3, 2, MASS)
    together.multiply(factors)
    starts, inputs = together.states.copy(), commands(spec, 15, 6)
    for command in inputs:
        together.step(command, np.ones(6, bool))
    for task in range(3):
        rows = slice(2 * task, 2 * task + 2)
        alone = started(spec, 1, 2, MASS)
        alone.multiply(factors[task : task + 1])
        alone.states = starts[rows].copy()
        for command in inputs:
            alone.step(command[rows], np.ones(2, bool))
        assert np.array_equal(alone.states, together.states[rows])


def test_rows_do_not_influence_each_other_and_a_bad_one_stays_where_it_was():
    spec = load_robot('half_cheetah_20hz')
    robots, other = started(spec, 2, 2), started(spec, 2, 2)
    inputs = commands(spec, 10, 4)
    moving = np.ones(4, bool)
    before = other.states[1].copy()
    changed = inputs.copy()
    changed[3, 1, 2] = np.nan
    for step in range(10):
        robots.step(inputs[step], np.ones(4, bool))
        moving = other.step(changed[step], moving)
        if step == 2:
            before = other.states[1].copy()
    assert moving.tolist() == [True, False, True, True]
    assert np.array_equal(other.states[1], before)
    assert np.array_equal(other.states[[0, 2, 3]], robots.states[[0, 2, 3]])


def test_a_row_whose_physics_blow_up_stops_and_the_others_go_on():
    spec = load_robot('half_cheetah_20hz')
    robots, other = started(spec, 2, 2), started(spec, 2, 2)
    other.states[2, 10] = 1e9
    inputs = commands(spec, 2, 4)
    robots.step(inputs[0], np.ones(4, bool))
    sound = other.step(inputs[0], np.ones(4, bool))
    assert sound.tolist() == [True, True, False, True]
    assert np.array_equal(other.states[[0, 1, 3]], robots.states[[0, 1, 3]])
    # Nobody moves any more, and nothing is asked of the physics.
    assert not other.step(inputs[1], np.zeros(4, bool)).any()


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(UserError, match='motors and sensing are not sampled'):
        Population(load_robot('millirobot'), 1, 1, (), threads=1)
    with pytest.raises(UserError, match='is no odometry of a body that floats freely'):
        Population(load_robot('half_cheetah'), 1, 1, (), threads=1)
