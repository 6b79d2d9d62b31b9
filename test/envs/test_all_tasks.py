# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every task: same seed same run, sound states, one reward, real disturbances."""

import functools
from collections import Counter

import numpy as np
import pytest
import torch

from mbmrl_ros.envs.gym import TaskEnv
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.tasks import TASKS, Task
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.command import to_units
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.sim.disturbances import Disturbance, active, check
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

STEPS = 24
# Of what is drawn at random there is more than can be tried.
MOST_OF_A_KIND = 6
ROBOTS = sorted({task.robot for task in TASKS.values()})


def what_happens(task: Task) -> tuple[object, ...]:
    """Return all of a task but its reward."""
    tests = [(name, schedule(900)) for name, schedule in task.tests.items()]
    return task.robot, task.training(np.random.default_rng(0), 900), *tests


# Tasks that differ in more than their reward, on which what robots do does not depend.
PLAYED = list({what_happens(task): name for name, task in TASKS.items()}.values())


@pytest.fixture(params=list(TASKS))
def task(request):
    return TASKS[request.param]


@pytest.fixture(params=PLAYED)
def played(request):
    return TASKS[request.param]


@functools.cache
def disturbances(robot: str) -> tuple[Disturbance, ...]:
    """Return what can happen to a robot in any of its tasks, of each kind the first ones."""
    tasks = [task for task in TASKS.values() if task.robot == robot]
    found = dict.fromkeys(d for task in tasks for d in task.disturbances)
    counts: Counter[str] = Counter()
    for disturbance in list(found):
        counts[disturbance.kind] += 1
        if counts[disturbance.kind] > MOST_OF_A_KIND:
            del found[disturbance]
    return tuple(found)


def one_of_each_kind(robot: str) -> list[Disturbance]:
    return list({disturbance.kind: disturbance for disturbance in disturbances(robot)}.values())


def run(task, seed: int, steps: int = STEPS) -> torch.Tensor:
    """Drive three robots at random, one in training, two in tests; return states [T+1, 3, S]."""
    spec = load_robot(task.robot)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    tests = [task.test('mid_run')(steps), task.test(list(task.tests)[1])(steps)]
    env = RobotEnv(spec, 3)
    states = [env.reset(rng, [task.training(rng, steps), *tests])]
    for _ in range(steps):
        states.append(env.step(torch.rand(3, spec.action_size, generator=generator) * 2 - 1))
    assert env.healthy.all()
    env.close()
    return torch.stack(states)


@functools.cache
def first_run(name: str) -> torch.Tensor:
    return run(TASKS[name], 0)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(played):
    first = first_run(played.name)
    assert torch.equal(first, run(played, 0))
    other = run(played, 1, steps=2)
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[2], other[2])


def test_states_are_finite_and_what_their_channels_can_be(played):
    spec, states = load_robot(played.robot), first_run(played.name)
    assert states.shape == (STEPS + 1, 3, spec.state_size) and states.isfinite().all()
    bounded = [c.encoding.startswith(('sin', 'cos', 'matrix')) for c in spec.state]
    assert (states[..., bounded].abs() <= 1 + 1e-6).all()
    commands = to_units(spec, np.array([[-1.0] * spec.action_size, [1.0] * spec.action_size]))
    assert commands.tolist() == pytest.approx(np.array([spec.action.lower, spec.action.upper]))


def test_the_reward_of_the_environment_is_the_one_that_the_planner_imagines(task):
    env = TaskEnv(task.name)
    env.action_space.seed(0)
    state, _ = env.reset(seed=0)
    states, actions, given = [state], [], []
    for _ in range(20):
        actions.append(env.action_space.sample())
        state, reward, *_ = env.step(actions[-1])
        states.append(state)
        given.append(reward)
    env.close()
    track, driven = torch.tensor(np.stack(states)), torch.tensor(np.stack(actions))
    # All steps at once, as a planner's candidates.
    imagined = build_reward(env.robot, task.reward)(track[:-1], driven, track[1:])
    assert given == pytest.approx(imagined.tolist(), rel=1e-5, abs=1e-5)
    assert len(set(given)) > 10


def test_what_is_drawn_and_tested_is_what_the_task_lists(task):
    spec, rng = load_robot(task.robot), np.random.default_rng(0)
    schedules = [task.training(rng, STEPS) for _ in range(100)]
    schedules += [task.test(name)(STEPS) for name in task.tests]
    happened = {d for schedule in schedules for s in range(STEPS) for d in active(schedule, s)}
    assert happened and happened <= set(task.disturbances)
    for disturbance in happened:
        check(spec, disturbance)


def track(world: World, wrong: Disturbance | None, steps: int) -> np.ndarray:
    """Drive a robot at random from the same start; return states without its place [T, S']."""
    spec, rng = world.spec, np.random.default_rng(0)
    world.set_disturbances([])
    world.reset(np.random.default_rng(0))
    if spec.simulation.slopes is not None:
        # To where the slopes are.
        world.data.qpos[0] = 2.5
    world.set_disturbances([wrong] if wrong else [])
    signals = np.empty((steps, len(spec.signals)))
    for step in range(steps):
        world.step(to_units(spec, rng.uniform(-1, 1, spec.action_size)))
        signals[step] = world.signals()
    assert world.healthy
    shown = [c.name not in ('x', 'y', 'z') for c in spec.state]
    return encode(spec, signals, np.zeros_like(signals))[:, shown]


@pytest.mark.parametrize('robot', ROBOTS)
def test_every_disturbance_changes_what_the_robot_does(robot):
    spec = load_robot(robot)
    world = World(spec)
    usual = next(iter(spec.simulation.terrains), None)
    steps = 10 if robot == 'millirobot' else 60
    healthy = track(world, None, steps)
    scale = healthy.std(0) + 1e-3
    for disturbance in disturbances(robot):
        if disturbance == Disturbance('terrain', usual):
            continue
        change = np.abs((track(world, disturbance, steps) - healthy) / scale).max()
        # There is no noise between the two: what is not rounding is the disturbance.
        assert change > 1e-3, disturbance
    assert np.array_equal(track(world, None, steps), healthy), 'something stayed'


@pytest.mark.parametrize('robot', ROBOTS)
def test_what_comes_and_goes_does_so_in_the_batch_as_in_the_single_world(robot):
    spec = load_robot(robot)
    batch, world = BatchWorld(spec, 1), World(spec)
    batch.reset(np.random.default_rng(0))
    world.reset(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for wrong in (*([d] for d in one_of_each_kind(robot)), [], one_of_each_kind(robot), []):
        batch.set_disturbances(0, wrong)
        world.set_disturbances(wrong)
        for _ in range(8):
            command = to_units(spec, rng.uniform(-1, 1, spec.action_size))
            batch.step(command[None])
            world.step(command)
            assert np.array_equal(batch.signals()[0], world.signals()), wrong
    assert world.healthy and batch.healthy.all()
    batch.close()
