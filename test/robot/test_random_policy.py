# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random driving: uniform inside of the area, and back to its centre from outside."""

import math

import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.robot.command import to_units
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.random_policy import Collector, RandomPolicy, WayBack
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.spec.tasks import Collection
from mbmrl_ros.types import Reading

WALKER, CHEETAH = load_robot('millirobot'), load_robot('half_cheetah')
AREA = WALKER.collection.area
X, Y, COS, SIN = (WALKER.channel_index(name) for name in ('x', 'y', 'cos_yaw', 'sin_yaw'))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def at(*places: tuple[float, float, float]) -> torch.Tensor:
    """Return states of the walker at x, y [m], heading to yaw [rad]."""
    states = torch.zeros(len(places), WALKER.state_size)
    for state, (x, y, yaw) in zip(states, places):
        state[X], state[Y], state[COS], state[SIN] = x, y, math.cos(yaw), math.sin(yaw)
    return states


def with_collection(spec: RobotSpec, **changes: object) -> RobotSpec:
    return spec.model_copy(update={'collection': spec.collection.model_copy(update=changes)})


@pytest.mark.parametrize(
    ('place', 'expected'),
    [
        # The centre is straight ahead, to the right by a right angle, to the left, behind.
        ((2.0, 0.0, math.pi), AREA.forward),
        ((0.0, 2.0, 0.0), AREA.right),
        ((0.0, -2.0, 0.0), AREA.left),
        ((-1.5, 1.5, math.radians(135.1)), AREA.left),
        ((-1.5, 1.5, math.radians(134.9)), AREA.right),
        # By half of the angle from which on it only turns: half of ahead, half of turning.
        ((2.0, 0.0, math.pi - math.pi / 8), np.add(AREA.forward, AREA.left) / 2),
        ((2.0, 0.0, math.pi + math.pi / 8), np.add(AREA.forward, AREA.right) / 2),
    ],
)
def test_the_way_back_turns_towards_the_centre_and_then_drives_there(place, expected):
    distance, action = WayBack(WALKER, AREA)(at(place))
    assert distance[0] == pytest.approx(math.hypot(*place[:2]), abs=1e-6)
    command = to_units(WALKER, action[0].double().numpy())
    np.testing.assert_allclose(command, expected, atol=0.01)


def test_the_centre_may_be_anywhere():
    area = AREA.model_copy(update={'centre': (3.0, -1.0)})
    distance, action = WayBack(WALKER, area)(at((3.0, 1.0, -math.pi / 2)))
    assert distance[0] == pytest.approx(2.0)
    command = to_units(WALKER, action[0].double().numpy())
    np.testing.assert_allclose(command, area.forward, atol=0.01)


def test_a_robot_outside_is_driven_back_until_it_is_within_the_inner_circle():
    policy, plain = RandomPolicy(WALKER, generator(), 2), RandomPolicy(CHEETAH, generator(), 2)
    radii = [0.0, 0.9, 1.01, 0.9, 0.5, 0.41, 0.39, 0.9, 1.2]
    seen = []
    for radius in radii:
        # The second robot stays where it is, and is driven at random throughout.
        policy.act(at((radius, 0.0, math.pi), (0.0, 0.0, 0.0)))
        seen.append(policy.returning.tolist())
    assert [first for first, _ in seen] == [False] * 2 + [True] * 4 + [False] * 2 + [True]
    assert not any(second for _, second in seen)
    policy.reset()
    assert not policy.returning.any()
    assert plain.act(torch.zeros(2, CHEETAH.state_size)).shape == (2, 6)


def test_inside_actions_are_uniform_and_new_in_every_period():
    policy = RandomPolicy(WALKER, generator(), 4)
    actions = torch.stack([policy.act(at(*[(0.1, 0.0, 0.0)] * 4)) for _ in range(2000)])
    assert actions.abs().max() <= 1
    # Of 16 000 uniform numbers in -1..1: mean 0 and variance 1/3, each to four standard errors.
    assert abs(actions.mean()) < 4 * math.sqrt(1 / 3 / 16_000)
    assert actions.var() == pytest.approx(1 / 3, abs=4 * math.sqrt(4 / 45 / 16_000))
    assert (actions[1:] != actions[:-1]).any(-1).all()
    expected = torch.rand((4, 2), generator=generator()) * 2 - 1
    assert torch.equal(actions[0], expected), 'one draw per period, as trainings had before'


def test_a_command_can_last_for_several_periods():
    policy = RandomPolicy(with_collection(WALKER, action_repeat=3), generator())
    actions = torch.cat([policy.act(at((0.0, 0.0, 0.0))) for _ in range(9)])
    for begin in (0, 3, 6):
        assert (actions[begin : begin + 3] == actions[begin]).all()
    assert len({tuple(action.tolist()) for action in actions}) == 3


def radii(env: RobotEnv, steps: int) -> torch.Tensor:
    """Return how far from the origin [m] robots were that were driven at random: [steps, N]."""
    policy = RandomPolicy(env.spec, generator(), env.batch)
    states = env.reset(np.random.default_rng(0), [()] * env.batch)
    found = []
    for _ in range(steps):
        states = env.step(policy.act(states))
        found.append(states[:, [X, Y]].norm(dim=1))
    return torch.stack(found)


def test_in_the_simulator_the_robot_stays_in_its_area_and_leaves_it_without():
    kept = radii(RobotEnv(WALKER, 6, threads=1), 250)
    # Ahead it makes 0.9 m/s at most. A period passes before it is seen outside; then, heading
    # out, it turns at 3 rad/s, so that it moves on for a third of a second.
    assert kept.max() < AREA.radius_m + 0.9 * (0.1 + 0.33)
    left = radii(RobotEnv(with_collection(WALKER, area=None), 6, threads=1), 250)
    assert left.max(0).values.median() > 2 * AREA.radius_m
    # Not in a corner of it: it is driven over all of the circle.
    assert (kept < AREA.inner_radius_m).any(0).all() and (kept > 0.8 * AREA.radius_m).any(0).all()


def test_a_controller_drives_at_random_without_a_model_and_says_so():
    controller = Controller(CHEETAH, Collector(CHEETAH, generator()), clock=lambda: 0.0)
    commands = []
    for step in range(20):
        now_s = step * CHEETAH.period_s
        for topic in CHEETAH.topics:
            values = [0.5] * len(CHEETAH.topic_signals(topic))
            controller.on_reading(Reading(topic, now_s, now_s, tuple(values)))
        tick = controller.tick(now_s)
        assert (tick.diagnostics.mode, tick.command.fallback) == ('collecting', False)
        assert math.isnan(tick.diagnostics.loss_before) and not tick.diagnostics.adapted
        commands.append(tick.command.values)
    actions = torch.rand((1, 6), generator=generator()) * 2 - 1
    np.testing.assert_allclose(commands[0], to_units(CHEETAH, actions[0].double().numpy()))
    assert len({tuple(command) for command in commands}) == 20
    late = controller.tick(20 * CHEETAH.period_s + 1.0)
    assert late.command.fallback and 'stale' in late.command.reason
    assert controller.candidates == 0 and controller.pace(1.0)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'radius_m': 0.3}, 'collection.area: inner_radius_m must be smaller than radius_m'),
        ({'position': ['x', 'yy']}, "collection.area: no channel 'yy'; did you mean 'y'"),
        ({'forward': [1.0]}, r'collection.area.forward needs one value per joint \(2\)'),
        ({'left': [1.0, 900.0]}, 'collection.area.left: 900 is outside 0 to 800'),
        ({'rigth': [1, 2]}, "unknown key 'collection.area.rigth'; did you mean 'right'"),
    ],
)
def test_an_area_that_cannot_be_is_refused_in_one_line(changes, said):
    data = WALKER.model_dump(mode='json')
    data['collection']['area'] |= changes
    with pytest.raises(UserError, match=said) as caught:
        parse(RobotSpec, data, 'walker')
    assert '\n' not in str(caught.value)


def test_an_area_is_no_part_of_what_a_model_depends_on():
    assert with_collection(WALKER, area=None).hash == WALKER.hash


def test_the_old_name_of_the_action_repeat_is_read():
    assert parse(Collection, {'hold_steps': 3}, 'robot.yaml').action_repeat == 3
    assert 'hold_steps' not in parse(Collection, {'hold_steps': 3}, 'robot.yaml').model_dump()
