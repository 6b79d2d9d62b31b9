# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.robot.command import to_units
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.disturbances import Disturbance, Event, Schedule
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
BACK, FRONT = Disturbance('disabled_joint', 'bthigh'), Disturbance('disabled_joint', 'fshin')
ACTIONS = torch.rand(60, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1


def rollout(schedules: list[Schedule], actions: torch.Tensor = ACTIONS, seed: int = 0):
    """States [N, T + 1, S] of robots that all get the same actions [T, A]."""
    env = RobotEnv(SPEC, len(schedules))
    states = [env.reset(np.random.default_rng(seed), schedules)]
    states += [env.step(action.expand(len(schedules), -1)) for action in actions]
    assert env.healthy.all()
    return torch.stack(states, 1)


def test_states_are_what_the_robot_itself_would_make_of_a_single_worlds_sensors():
    env, worlds = RobotEnv(SPEC, 2), [World(SPEC), World(SPEC)]
    rng = np.random.default_rng(3)
    states = env.reset(np.random.default_rng(3), [(), ()])
    for world in worlds:
        world.reset(rng)
    for action in ACTIONS:
        expected = np.stack([encode(SPEC, world.signals()) for world in worlds])
        assert states.dtype == torch.float32
        assert torch.equal(states, torch.from_numpy(expected).float())
        states = env.step(torch.stack([action, -action]))
        for world, row in zip(worlds, (action, -action)):
            world.step(to_units(SPEC, row.double().numpy()))


def test_the_seed_decides():
    assert torch.equal(rollout([(), ()]), rollout([(), ()]))
    assert not torch.equal(rollout([()]), rollout([()], seed=1))


def test_a_disturbance_acts_from_its_step_on_and_on_its_row_only():
    disturbed, healthy = rollout([(), (Event(20, BACK),)]), rollout([(), ()])
    assert torch.equal(disturbed[0], healthy[0])
    # States 0 to 20 come from actions 0 to 19.
    assert torch.equal(disturbed[1, :21], healthy[1, :21])
    assert not torch.equal(disturbed[1, 21], healthy[1, 21])


def test_a_schedule_is_the_same_as_zero_torque_at_its_steps():
    events = (Event(0, BACK), Event(10, FRONT), Event(25, BACK, on=False))
    silenced = ACTIONS.clone()
    silenced[:25, SPEC.action.joints.index('bthigh')] = 0.0
    silenced[10:, SPEC.action.joints.index('fshin')] = 0.0
    expected = rollout([()], silenced)
    assert torch.equal(rollout([events]), expected)
    assert torch.equal(rollout([tuple(reversed(events))]), expected)


def test_a_reset_forgets_what_was_wrong_and_counts_anew():
    env = RobotEnv(SPEC, 1)
    env.reset(np.random.default_rng(0), [(Event(0, BACK), Event(1, FRONT))])
    for action in ACTIONS[:5]:
        env.step(action[None])
    states = [env.reset(np.random.default_rng(0), [(Event(20, BACK),)])]
    states += [env.step(action[None]) for action in ACTIONS]
    assert torch.equal(torch.stack(states, 1), rollout([(Event(20, BACK),)]))


def test_an_action_that_is_not_finite_stops_its_row_until_the_reset():
    env = RobotEnv(SPEC, 3)
    states = env.reset(np.random.default_rng(0), [()] * 3)
    actions = ACTIONS[:3].clone()
    actions[1, 4] = torch.nan
    following = env.step(actions)
    after = env.step(ACTIONS[:3])
    assert env.healthy.tolist() == [True, False, True]
    assert torch.equal(following[1], states[1])
    assert torch.equal(after[1], states[1])
    assert not torch.equal(after[0], following[0])
    env.reset(np.random.default_rng(0), [()] * 3)
    assert env.healthy.all()


def test_health_is_told_as_of_now():
    env = RobotEnv(SPEC, 1)
    env.reset(np.random.default_rng(0), [()])
    at_first = env.healthy
    env.step(torch.full((1, 6), torch.inf))
    then = env.healthy
    env.reset(np.random.default_rng(0), [()])
    assert [at_first.item(), then.item(), env.healthy.item()] == [True, False, True]


def test_a_schedule_for_another_robot_is_refused_before_the_start():
    env = RobotEnv(SPEC, 1)
    with pytest.raises(UserError, match=r"no target 'hip_1'.*valid: bfoot"):
        env.reset(
            np.random.default_rng(0), [(Event(500, Disturbance('disabled_joint', 'hip_1')),)]
        )


def test_as_many_schedules_as_robots():
    with pytest.raises(ValueError, match='2 robots need as many schedules, got 1'):
        RobotEnv(SPEC, 2).reset(np.random.default_rng(0), [()])
