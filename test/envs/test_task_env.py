# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks side by side: who is done, who failed, what stands between a policy and its task."""

import dataclasses

import pytest
import torch

from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.sim.population import Population
from mbmrl_ros.types import TaskEnv

CORNER = load_meta_task('point/corner')


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def begun(task: MetaTask, tasks: int, rollouts: int, **config) -> MetaTaskEnv:
    env = MetaTaskEnv(task, tasks, rollouts, SamplingConfig(**config), threads=1)
    env.reset(env.sample_goals(seeded(), tasks), seeded())
    return env


def ends_right_of(place: float) -> MetaTask:
    """Return the corners with an end: x beyond a place."""
    return dataclasses.replace(CORNER, done=lambda state: state[..., 0] > place)


def test_the_environment_is_what_algorithms_expect():
    env: TaskEnv = begun(CORNER, 3, 2)
    assert (env.tasks, env.rollouts, env.horizon) == (3, 2, 100)
    assert (env.observation_size, env.action_size) == (2, 2)
    assert env.sample_goals(seeded(), 5).shape == (5, 2)
    seen, rewards, done = env.step(torch.zeros(3, 2, 2))
    assert seen.shape == (3, 2, 2) and rewards.shape == done.shape == (3, 2)
    assert (seen.dtype, rewards.dtype, done.dtype) == (torch.float32, torch.float32, torch.bool)
    with pytest.raises(ValueError, match=r'goals are \(3, 2\), got \(2, 2\)'):
        env.reset(torch.zeros(2, 2), seeded())


def test_each_row_is_rewarded_for_the_goal_of_its_own_task():
    env = MetaTaskEnv(load_meta_task('half_cheetah/forward_backward'), 2, 3, threads=1)
    env.reset(torch.tensor([[1.0], [-1.0]]), seeded())
    # The same three robots for both tasks.
    env.system.physics = env.system.physics[[0, 1, 2, 0, 1, 2]]
    env._state = env.system._states()
    actions = 10 * torch.rand(3, 6, generator=seeded())
    seen, rewards, _ = env.step(actions.expand(2, 3, 6))
    effort = 0.05 * (actions / 10).square().sum(-1)
    assert torch.equal(seen[0], seen[1])
    torch.testing.assert_close(rewards[0] + effort, -(rewards[1] + effort), atol=1e-5, rtol=0)
    env.close()


def test_a_row_that_is_done_stays_where_it_is_and_earns_nothing_more():
    env, free = begun(ends_right_of(0.5), 2, 2), begun(CORNER, 2, 2)
    right = torch.zeros(2, 2, 2)
    right[0, 1, 0] = 10.0  # 0.2 a step
    ended = None
    for step in range(6):
        seen, rewards, done = env.step(right)
        other, earned, _ = free.step(right)
        assert torch.equal(seen[[0, 1, 1], [0, 0, 1]], other[[0, 1, 1], [0, 0, 1]])
        if ended is None:
            assert torch.equal(rewards, earned)
            ended = (step, seen[0, 1].clone()) if done[0, 1] else None
        else:
            assert rewards[0, 1] == 0 and torch.equal(seen[0, 1], ended[1])
    assert ended is not None and done.tolist() == [[False, True], [False, False]]
    env.reset(env.sample_goals(seeded(), 2), seeded())
    assert not env.step(right)[2].any(), 'a reset begins anew'


def test_robots_that_have_fallen_are_simulated_no_further(monkeypatch):
    env = begun(load_meta_task('walker2d/direction'), 4, 5)
    counts = []
    last = type(env.system._robots._physics).last

    def counting(self, models, states, controls, steps):
        counts.append(len(states))
        return last(self, models, states, controls, steps)

    monkeypatch.setattr(type(env.system._robots._physics), 'last', counting)
    expected, done = [], torch.zeros(4, 5, dtype=torch.bool)
    for _ in range(60):
        if not done.all():
            expected.append(int((~done).sum()))
        done = env.step(10 * torch.randn(4, 5, 6, generator=seeded()))[2]
    assert counts == expected and counts[-1] < 20
    env.close()


@pytest.mark.parametrize('name', ['point/corner', 'half_cheetah/velocity'])
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_an_action_that_is_not_finite_ends_its_row_alone(name, bad):
    env, other = (begun(load_meta_task(name), 2, 2) for _ in range(2))
    actions = torch.rand(2, 2, env.action_size, generator=seeded())
    before = env.step(actions)[0]
    other.step(actions)
    spoilt = actions.clone()
    spoilt[1, 0, 0] = bad
    seen, rewards, done = env.step(spoilt)
    expected, earned, _ = other.step(actions)
    rest = torch.tensor([[True, True], [False, True]])
    assert torch.equal(seen[rest], expected[rest]) and torch.equal(rewards[rest], earned[rest])
    if bad == float('inf'):
        # It is clipped like any other that is too large.
        assert rewards.isfinite().all() and not done.any()
    else:
        assert rewards[1, 0].isnan() and done.tolist() == [[False, False], [True, False]]
        assert torch.equal(seen[1, 0], before[1, 0])
        assert env.step(actions)[1][1, 0] == 0
    env.close()


def test_a_reward_that_is_not_finite_ends_its_row_alone():
    def reward(state, action, next_state, goal):
        return torch.where(next_state[..., 0] > 0.5, torch.nan, next_state[..., 0])

    env = begun(dataclasses.replace(CORNER, reward=reward), 1, 2)
    right = torch.tensor([[[10.0, 0.0], [0.0, 0.0]]])
    said = [env.step(right) for _ in range(5)]
    failed = torch.stack([rewards[0, 0].isnan() for _, rewards, _ in said])
    assert failed.sum() == 1 and not torch.stack([r[0, 1] for _, r, _ in said]).isnan().any()
    step = int(failed.int().argmax())
    assert [bool(done[0, 0]) for *_, done in said] == [False] * step + [True] * (5 - step)


def test_actions_are_scaled_to_the_limits_and_clipped_there(monkeypatch):
    sent = []
    step = Population.step
    monkeypatch.setattr(Population, 'step', lambda self, commands, moving: (
        sent.append(commands.copy()), step(self, commands, moving))[1])  # fmt: skip
    task = load_meta_task('half_cheetah/velocity')
    for scale, action, share in ((None, 5.0, 0.5), (None, -20.0, -1.0), (1.0, 0.5, 0.5)):
        env = begun(task, 1, 1, action_scale=scale)
        env.step(torch.full((1, 1, 6), action))
        expected = share * torch.tensor([120.0, 90, 60, 120, 60, 30], dtype=torch.float64)
        assert sent[-1][0].tolist() == pytest.approx(expected.tolist())
        env.close()


def test_normalised_observations_follow_the_running_moments_of_the_rows_that_move():
    env, raw = begun(CORNER, 2, 50, normalize_observations=True), begun(CORNER, 2, 50)
    mean, variance = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)

    def follow(rows: torch.Tensor) -> torch.Tensor:
        nonlocal mean, variance
        rows = rows.double().flatten(0, 1)
        mean = 0.999 * mean + 0.001 * rows.mean(0)
        variance = 0.999 * variance + 0.001 * (rows - mean).square().mean(0)
        return ((rows - mean) / variance.sqrt()).float().view(2, 50, 2)

    goals = env.sample_goals(seeded(), 2)
    # The first reset of `begun` has been seen too.
    follow(raw.reset(goals, seeded()))
    torch.testing.assert_close(env.reset(goals, seeded()), follow(raw.reset(goals, seeded())))
    for _ in range(3):
        actions = torch.randn(2, 50, 2, generator=seeded())
        seen = env.step(actions)[0]
        torch.testing.assert_close(seen, follow(raw.step(actions)[0]), atol=1e-5, rtol=1e-5)
    assert env.observations is not None and raw.observations is None


def test_normalised_rewards_are_divided_by_their_running_deviation():
    task = dataclasses.replace(CORNER, reward=lambda s, a, n, g: 5.0 + n[..., 0])
    env, raw = begun(task, 1, 100, normalize_rewards=True), begun(task, 1, 100)
    mean, variance = 0.0, 1.0
    for _ in range(5):
        actions = torch.randn(1, 100, 2, generator=seeded())
        scaled, plain = env.step(actions)[1], raw.step(actions)[1].double()
        mean = 0.999 * mean + 0.001 * float(plain.mean())
        variance = 0.999 * variance + 0.001 * float((plain - mean).square().mean())
        torch.testing.assert_close(scaled, (plain / variance**0.5).float())


def test_the_whole_state_is_shown_where_it_is_asked_for():
    task = load_meta_task('half_cheetah/velocity')
    whole, inputs = begun(task, 1, 2, whole_state=True), begun(task, 1, 2)
    seen, less = (env.step(torch.zeros(1, 2, 6))[0] for env in (whole, inputs))
    assert whole.observation_size == 18 and torch.equal(seen[..., 1:], less)
    assert whole.physics_s > 0
    whole.close()
    inputs.close()
