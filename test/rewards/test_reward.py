# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rewards: sums of named, weighted terms, the same for every leading dimension."""

import math

import pytest
import torch

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.envs.tasks import TASKS
from mbmrl_ros.rewards.reward import TermConfig, build_done, build_reward
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
WALK, REACH = 'ant/crippled_leg', 'arm_7dof/force'
FORWARD = TermConfig(term='forward_velocity', channel='x')
EFFORT = TermConfig(term='action_squared', weight=-0.05)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_papers_reward_by_worked_numbers():
    reward = build_reward(SPEC, (FORWARD, EFFORT))
    state, next_state = torch.zeros(SPEC.state_size), torch.zeros(SPEC.state_size)
    next_state[SPEC.channel_index('x')] = 0.03
    action = torch.tensor([1.0, -1.0, 0.5, 0.0, 0.0, 0.0])
    # 0.03 m in 0.01 s are 3 m/s; 0.05 times (1 + 1 + 0.25) is 0.1125.
    torch.testing.assert_close(reward(state, action, next_state), torch.tensor(3 - 0.1125))
    terms = reward.terms(state, action, next_state)
    assert list(terms) == ['forward_velocity', 'action_squared']
    torch.testing.assert_close(terms['forward_velocity'], torch.tensor(3.0))
    torch.testing.assert_close(terms['action_squared'], torch.tensor(-0.1125))


def test_batches_of_any_shape_get_what_each_entry_would():
    reward = build_reward(SPEC, (FORWARD, EFFORT))
    state, next_state = draw(2, 3, 4, SPEC.state_size), draw(2, 3, 4, SPEC.state_size, seed=1)
    action = draw(2, 3, 4, SPEC.action_size, seed=2)
    result = reward(state, action, next_state)
    assert result.shape == (2, 3, 4)
    torch.testing.assert_close(
        result[1, 2, 3], reward(state[1, 2, 3], action[1, 2, 3], next_state[1, 2, 3])
    )
    torch.testing.assert_close(sum(reward.terms(state, action, next_state).values()), result)


def test_a_broken_state_breaks_only_its_own_reward():
    reward = build_reward(SPEC, (FORWARD, EFFORT))
    state, action = draw(3, SPEC.state_size), draw(3, SPEC.action_size)
    whole = reward(state, action, state + 1)
    state[1] = torch.nan
    broken = reward(state, action, state + 1)
    assert broken.isnan().tolist() == [False, True, False]
    assert torch.equal(broken[[0, 2]], whole[[0, 2]])


def test_the_same_term_on_two_channels_is_two_terms():
    terms = (FORWARD, TermConfig(term='forward_velocity', channel='z', weight=-2.0))
    reward = build_reward(SPEC, terms)
    state, next_state = torch.zeros(SPEC.state_size), torch.zeros(SPEC.state_size)
    next_state[SPEC.channel_index('x')], next_state[SPEC.channel_index('z')] = 0.01, 0.02
    action = torch.zeros(SPEC.action_size)
    # 1 m/s forward, and twice the 2 m/s upward against it.
    torch.testing.assert_close(reward(state, action, next_state), torch.tensor(-3.0))
    assert len(reward.terms(state, action, next_state)) == 2


@pytest.mark.parametrize(
    ('terms', 'said'),
    [
        (
            (TermConfig(term='forward_velocty', channel='x'),),
            "unknown reward term 'forward_velocty'; did you mean 'forward_velocity'",
        ),
        (
            (TermConfig(term='forward_velocity', channel='y'),),
            "half_cheetah has no channel 'y'; .*valid: .*vx",
        ),
        ((EFFORT, EFFORT), 'action_squared is listed twice'),
        ((FORWARD, FORWARD, FORWARD), 'forward_velocity is listed twice'),
    ],
)
def test_a_reward_that_cannot_be_is_refused_in_one_line(terms, said):
    with pytest.raises(UserError, match=said) as caught:
        build_reward(SPEC, terms)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('weight', [float('nan'), float('inf'), 'heavy'])
def test_a_weight_is_a_finite_number(weight):
    with pytest.raises(UserError, match='weight'):
        parse(TermConfig, {'term': 'action_squared', 'weight': weight}, 'reward')


ARM = load_robot('pr2_left_arm')


def test_the_lorentzian_by_worked_numbers():
    target = {'tip_x': 0.5, 'tip_y': -0.5}
    reward = build_reward(ARM, (TermConfig(term='lorentzian', weight=-1.0, target=target),))
    state, action = torch.zeros(3, ARM.state_size), torch.zeros(3, ARM.action_size)
    x, y = (ARM.channel_index(name) for name in target)
    # Off by 0.3 and 0.4 m: d^2 = 0.25, log(0.25001) = -1.3862544; at the goal: log 1e-5.
    state[0, x], state[0, y] = 0.8, -0.1
    state[1, x], state[1, y] = 0.5, -0.5
    state[2, x], state[2, y] = 0.5, -0.499
    result = reward(torch.zeros_like(state), action, state)
    expected = [-0.25 + 1.3862544, 11.5129255, -1e-6 - math.log(1.1e-5)]
    torch.testing.assert_close(result, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_the_lorentzian_pulls_harder_the_nearer_it_is():
    reward = build_reward(ARM, (TermConfig(term='lorentzian', weight=-1.0, target={'tip_x': 0}),))
    state = torch.zeros(3, ARM.state_size)
    state[:, ARM.channel_index('tip_x')] = torch.tensor([0.4, 0.1, 0.01])
    state.requires_grad_()
    reward(state, torch.zeros(3, 7), state).sum().backward()
    slopes = state.grad[:, ARM.channel_index('tip_x')]
    assert (slopes < 0).all() and slopes[2] < slopes[1] < slopes[0]


def test_joint_speeds_are_all_seven_and_nothing_else():
    reward = build_reward(ARM, (TermConfig(term='joint_speed_squared', weight=-0.01),))
    state = torch.arange(23.0)
    # Channels 7 to 13.
    expected = -0.01 * sum(value**2 for value in range(7, 14))
    assert reward(state, torch.zeros(7), state).item() == pytest.approx(expected)


def test_a_target_that_is_no_channel_is_refused():
    with pytest.raises(UserError, match="no channel 'tip_w'; did you mean"):
        build_reward(ARM, (TermConfig(term='lorentzian', target={'tip_w': 1.0}),))


def test_the_rewards_of_ant_and_arm_by_worked_numbers():
    ant, arm = (load_robot(TASKS[name].robot) for name in (WALK, REACH))
    state, after = torch.zeros(ant.state_size), torch.zeros(ant.state_size)
    after[ant.channel_index('x')] = 0.01
    walk = build_reward(ant, TASKS[WALK].reward)
    # 0.01 m in 0.02 s, less 0.005 times 8, and 0.05 for being alive (thesis, Table 5).
    expected = torch.tensor(0.5 - 0.04 + 0.05)
    torch.testing.assert_close(walk(state, torch.ones(8), after), expected)
    state, after = torch.zeros(arm.state_size), torch.zeros(arm.state_size)
    after[arm.channel_index('object_y')] = 0.55
    # (0.3, 0.15, 0) is where it should be: 0.3^2 + 0.4^2 off.
    reach = build_reward(arm, TASKS[REACH].reward)
    torch.testing.assert_close(reach(state, torch.ones(7), after), torch.tensor(-0.25))
    published = build_reward(arm, TASKS['published/arm_7dof_force'].reward)
    expected = torch.tensor(-0.5 - 0.005 * 7)
    torch.testing.assert_close(published(state, torch.ones(7), after), expected)


def test_every_term_has_a_finite_gradient_at_its_target():
    # A root has none there: the distance to a target, and that from a path.
    for robot, terms in (
        ('pr2_left_arm', ('distance', 'distance_squared', 'lorentzian')),
        ('millirobot', ('path_distance', 'path_heading', 'path_progress')),
    ):
        spec = load_robot(robot)
        for term in terms:
            state = torch.zeros(1, spec.state_size)
            if robot == 'millirobot':
                state[0, spec.channel_index('cos_yaw')] = 1.0
                settings = {'path': 'straight'}
            else:
                settings = {'target': {spec.state[0].name: 0.0}}
            state.requires_grad_()
            reward = build_reward(spec, (TermConfig(term=term, **settings),))
            reward(state, torch.zeros(1, spec.action_size), state).sum().backward()
            assert state.grad.isfinite().all(), term


def test_a_distance_and_its_gradient_by_worked_numbers():
    spec = load_robot('pr2_left_arm')
    first, second = spec.state[0].name, spec.state[1].name
    state = torch.zeros(spec.state_size)
    state[0], state[1] = 3.0, 5.0
    state.requires_grad_()
    target = {first: 0.0, second: 1.0}
    reward = build_reward(spec, (TermConfig(term='distance', target=target),))
    value = reward(state, torch.zeros(spec.action_size), state)
    value.backward()
    assert value.item() == 5.0
    torch.testing.assert_close(state.grad[:2], torch.tensor([0.6, 0.8]))


SPEED = TermConfig(term='goal_speed_error', weight=-1.0, channel='x', goal='speed')
SIDE = TermConfig(term='goal_velocity', channel='z', goal='side')


def test_terms_of_goals_take_the_column_of_their_name():
    reward = build_reward(SPEC, (SPEED, SIDE, EFFORT), goals=('side', 'speed'))
    state, next_state = torch.zeros(SPEC.state_size), torch.zeros(SPEC.state_size)
    next_state[SPEC.channel_index('x')], next_state[SPEC.channel_index('z')] = 0.03, -0.01
    action, goal = torch.zeros(6), torch.tensor([0.5, 1.0])
    # 3 m/s are 2 off the speed of 1; -1 m/s times 0.5.
    torch.testing.assert_close(reward(state, action, next_state, goal), torch.tensor(-2.5))
    names = ['action_squared', 'goal_speed_error', 'goal_velocity']
    assert sorted(reward.terms(state, action, next_state, goal)) == names
    # A goal per row.
    goals = torch.tensor([[0.5, 1.0], [-1.0, 3.0]])
    rows = reward(state.expand(2, -1), action.expand(2, -1), next_state.expand(2, -1), goals)
    torch.testing.assert_close(rows, torch.tensor([-2.5, 1.0]))


def test_a_goal_that_is_missing_is_told_of():
    reward = build_reward(SPEC, (SPEED,), goals=('speed',))
    state = torch.zeros(SPEC.state_size)
    with pytest.raises(ValueError, match='goal_speed_error depends on a goal, and got none'):
        reward(state, torch.zeros(6), state)
    with pytest.raises(UserError, match="no goal 'speed'; did you mean 'speeds'"):
        build_reward(SPEC, (SPEED,), goals=('speeds',))
    with pytest.raises(UserError, match='takes channel, goal, got channel'):
        build_reward(SPEC, (TermConfig(term='goal_velocity', channel='x'),), goals=('speed',))


def test_an_end_is_a_channel_beyond_its_limits_and_never_without_any():
    done = build_done(SPEC, {'z': (0.5, 1.0), 'vx': (-1.0, 2.0)})
    states = torch.zeros(4, SPEC.state_size)
    states[:, SPEC.channel_index('z')] = torch.tensor([0.7, 0.4, 0.7, 1.1])
    states[:, SPEC.channel_index('vx')] = torch.tensor([2.0, 0.0, -1.5, 3.0])
    assert done(states).tolist() == [False, True, True, True]
    assert done(states.view(2, 2, -1)).shape == (2, 2)
    assert not build_done(SPEC, {})(states).any()
    with pytest.raises(UserError, match="no channel 'height'"):
        build_done(SPEC, {'height': (0.0, 1.0)})


def test_a_reward_first_asked_in_inference_mode_has_gradients_later():
    reward = build_reward(
        SPEC,
        (
            TermConfig(term='forward_velocity', weight=0.3, channel='x'),
            TermConfig(term='action_squared', weight=-0.7),
        ),
    )
    state, action = torch.zeros(2, SPEC.state_size), torch.ones(2, SPEC.action_size)
    with torch.inference_mode():
        reward(state, action, state)
    action.requires_grad_()
    reward(state, action, state).sum().backward()
    # d/da of -0.7 a^2 at 1.
    torch.testing.assert_close(action.grad, torch.full_like(action, -1.4))
