# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Paths of policies: what is recorded, until when, and that tasks do not influence each other."""

import dataclasses
import logging

import pytest
import torch

from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.policies.gaussian import Distribution, GaussianPolicy, log_prob
from mbmrl_ros.training.rollouts import collect, roll_out
from mbmrl_ros.types import Params, Paths

CORNER = load_meta_task('point/corner')
LINE = load_meta_task('point/line')


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def per_task(params: Params, tasks: int) -> Params:
    """Return a set of parameters per task, each another one."""
    return {
        name: torch.stack([value * (1 + 0.1 * task) for task in range(tasks)])
        for name, value in params.items()
    }


def drive(task, tasks: int = 3, rollouts: int = 2, **config) -> tuple[MetaTaskEnv, Paths]:
    env = MetaTaskEnv(task, tasks, rollouts, SamplingConfig(**config), threads=1)
    policy = GaussianPolicy(env.observation_size, env.action_size, (8,))
    params = per_task(policy.init(seeded()), tasks)
    return env, collect(env, policy, params, env.sample_goals(seeded(1), tasks), seeded(2))


def test_paths_hold_what_was_seen_done_and_earned():
    env, paths = drive(CORNER)
    assert paths.observations.shape == paths.actions.shape == (3, 2, 100, 2)
    assert paths.rewards.shape == paths.alive.shape == (3, 2, 100)
    assert paths.last_observation.shape == (3, 2, 2) and paths.ended.shape == (3, 2)
    assert paths.alive.all() and not paths.ended.any(), 'cut by the time limit'
    # Where each step led to is where the next one begins: the points tell that themselves.
    following = torch.cat([paths.observations[:, :, 1:], paths.last_observation[:, :, None]], 2)
    moved = paths.observations + 0.2 * (paths.actions / 10).clamp(-1, 1)
    torch.testing.assert_close(following, moved, atol=1e-5, rtol=1e-5)
    goals = env.sample_goals(seeded(1), 3)[:, None, None].expand(3, 2, 100, 2)
    earned = CORNER.reward(paths.observations, paths.actions, following, goals)
    torch.testing.assert_close(paths.rewards, earned, atol=1e-5, rtol=1e-5)


def test_the_distribution_is_the_one_that_actions_were_drawn_from():
    _, paths = drive(LINE, tasks=2, rollouts=2000)
    policy = GaussianPolicy(1, 1, (8,))
    params = per_task(policy.init(seeded()), 2)
    again = policy.distribution(params, paths.observations)
    torch.testing.assert_close(paths.distribution['mean'], again['mean'])
    assert paths.distribution['log_std'].shape == paths.actions.shape
    deviation = (paths.actions - again['mean']) / again['log_std'].exp()
    assert float(deviation.std()) == pytest.approx(1.0, rel=0.02)
    assert log_prob(paths.distribution, paths.actions).shape == paths.rewards.shape


def test_the_same_seed_gives_the_same_paths_and_another_seed_others():
    for name in ('point/corner', 'hopper/random_parameters'):
        task = load_meta_task(name)
        first, again = drive(task)[1], drive(task)[1]
        assert torch.equal(first.observations, again.observations)
        assert torch.equal(first.rewards, again.rewards)
    env, policy = MetaTaskEnv(CORNER, 3, 2), GaussianPolicy(2, 2, (8,))
    goals, params = env.sample_goals(seeded(1), 3), policy.init(seeded())
    one, two = (collect(env, policy, params, goals, seeded(seed)) for seed in (2, 3))
    assert not torch.equal(one.actions, two.actions)


class Fixed:
    """An environment whose robots start where they are told."""

    def __init__(self, env: MetaTaskEnv, starts: torch.Tensor) -> None:
        self._env, self._starts = env, starts
        self.tasks, self.rollouts, self.horizon = env.tasks, env.rollouts, env.horizon
        self.observation_size, self.action_size = env.observation_size, env.action_size
        self.sample_goals, self.step = env.sample_goals, env.step

    def reset(self, goals, generator):
        self._env.reset(goals, generator)
        self._env.system.physics = self._starts
        self._env._state = self._env.system._states()
        return self._env._observe(self._env._moving)


def test_n_tasks_in_a_batch_equal_n_runs_of_one():
    task = load_meta_task('hopper/random_parameters')
    env = MetaTaskEnv(task, 3, 2, threads=1)
    policy = GaussianPolicy(env.observation_size, env.action_size, (8,))
    params = per_task(policy.init(seeded()), 3)
    goals = env.sample_goals(seeded(1), 3)
    env.reset(goals, seeded())
    starts = env.system.physics

    def run(number: slice) -> Paths:
        """Run some of the tasks by the means of their policies, without noise."""
        own = {name: value[number] for name, value in params.items()}
        env = MetaTaskEnv(task, len(goals[number]), 2, threads=1)
        rows = slice(2 * number.start, 2 * number.stop)
        certain = torch.tensor(-torch.inf)

        def act(seen: torch.Tensor) -> Distribution:
            mean = policy.distribution(own, seen)['mean']
            return {'mean': mean, 'log_std': certain.expand_as(mean)}

        paths = roll_out(Fixed(env, starts[rows]), act, goals[number], seeded())
        env.close()
        return paths

    together = run(slice(0, 3))
    for number in range(3):
        alone = run(slice(number, number + 1))
        assert torch.equal(alone.alive[0], together.alive[number])
        # Products of another number of rows may round otherwise, which contacts magnify.
        for one, two in ((alone.observations, together.observations),
                         (alone.rewards, together.rewards)):  # fmt: skip
            torch.testing.assert_close(one[0], two[number], atol=1e-4, rtol=1e-4)
    assert len({int(steps) for steps in together.alive.sum(-1).flatten()}) > 1
    env.close()


def test_a_path_is_alive_through_the_step_that_ends_it_and_told_from_one_that_was_cut():
    right = dataclasses.replace(CORNER, done=lambda state: state[..., 0] > 0.9)
    env = MetaTaskEnv(right, 1, 2)
    speeds = torch.tensor([[[10.0, 0.0], [0.0, 0.0]]])
    still = torch.full((2,), -20.0)
    goals = torch.tensor([[2.0, 2.0]])
    paths = roll_out(env, lambda seen: {'mean': speeds, 'log_std': still}, goals, seeded())
    steps = int(paths.alive[0, 0].sum())
    # From within 0.2 of 0, 0.2 a step: beyond 0.9 after 4 or 5 steps.
    assert steps in (4, 5) and paths.alive[0, 0, :steps].all()
    assert paths.ended.tolist() == [[True, False]] and paths.alive[0, 1].all()
    assert (paths.rewards[0, 0, steps:] == 0).all() and paths.rewards[0, 0, steps - 1] != 0
    assert paths.last_observation[0, 0, 0] > 0.9 and paths.last_observation[0, 1, 0] < 0.3
    # What is not alive is 0, whatever became of the others.
    for values in (paths.observations, paths.actions, *paths.distribution.values()):
        assert (values[0, 0, steps:] == 0).all() and (values[0, 0, : steps - 1] != 0).any()


def test_a_batch_in_which_all_have_ended_goes_on_no_longer():
    first = dataclasses.replace(CORNER, done=lambda state: state[..., 0] > -9)
    calls = []
    env = MetaTaskEnv(first, 2, 2)

    def act(seen):
        calls.append(seen)
        return {'mean': torch.zeros(2, 2, 2), 'log_std': torch.zeros(2)}

    paths = roll_out(env, act, torch.zeros(2, 2), seeded())
    assert len(calls) == 1 and paths.ended.all()
    assert paths.alive.sum(-1).tolist() == [[1, 1], [1, 1]]


def test_a_path_that_fails_ends_before_that_step_is_counted_and_leaves_only_finite_numbers(
    caplog,
):
    env = MetaTaskEnv(CORNER, 2, 3)
    goals, step = torch.zeros(2, 2), iter(range(100))

    def act(seen):
        mean = torch.zeros(2, 3, 2)
        if next(step) == 4:
            mean[1, 2] = torch.nan
        return {'mean': mean, 'log_std': torch.zeros(2)}

    with caplog.at_level(logging.WARNING):
        paths = roll_out(env, act, goals, seeded())
    assert caplog.messages == [
        '1 of 6 paths, in 1 tasks, ended by an action, state or reward that is not finite'
    ]
    assert paths.alive[1, 2].sum() == 4 and paths.ended[1, 2]
    others = torch.ones(2, 3, dtype=torch.bool)
    others[1, 2] = False
    assert paths.alive[others].all() and not paths.ended[others].any()
    for values in (paths.observations, paths.actions, paths.rewards, paths.last_observation,
                   *paths.distribution.values()):  # fmt: skip
        assert values.isfinite().all()


def test_no_gradients_are_kept():
    env = MetaTaskEnv(LINE, 1, 1)
    policy = GaussianPolicy(1, 1, (4,))
    params = {name: value.requires_grad_() for name, value in policy.init(seeded()).items()}
    paths = collect(env, policy, params, torch.ones(1, 1), seeded())
    assert not paths.actions.requires_grad and not paths.distribution['mean'].requires_grad
