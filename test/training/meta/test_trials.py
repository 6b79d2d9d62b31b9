# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trials: when a recurrent policy forgets, and what it is shown."""

import torch

from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import MetaTaskEnv
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.training.meta.trials import TrialEnv, collect_trials, join
from mbmrl_ros.types import Paths

STEPS = 6


class Ending:
    """Robots that stand at their step, are paid for actions, and end after 2, 3, ... steps."""

    observation_size, action_size, tasks, rollouts, horizon = 1, 1, 2, 3, STEPS

    def __init__(self, ends=True):
        self.ends = ends

    def reset(self, goals, generator):
        self.count = 0
        return torch.zeros(2, 3, 1)

    def step(self, actions):
        self.count += 1
        after = torch.arange(2, 8).view(2, 3)
        done = (self.count >= after) & self.ends
        return torch.full((2, 3, 1), float(self.count)), actions[..., 0], done


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


POLICY = RecurrentPolicy(4, 1, 8)
PARAMS = POLICY.init(seeded(1))
GOALS = torch.zeros(2, 0)


def trial(env, episodes=3, seed=0):
    return collect_trials(TrialEnv(env), POLICY, PARAMS, GOALS, episodes, seeded(seed))


def test_a_trial_from_an_empty_state_repeats_what_was_drawn_from():
    """So the state is reset where the trial begins, and nowhere else, and rests at the ends."""
    for ends in (True, False):
        paths, _ = trial(Ending(ends))
        inputs = paths.observations.flatten(0, 1)
        _, again = POLICY.unroll(PARAMS, POLICY.empty(6), inputs)
        mean = again['mean'].view(2, 3, -1, 1)
        alive = paths.alive[..., None]
        torch.testing.assert_close(mean * alive, paths.distribution['mean'] * alive)


def test_a_new_trial_has_forgotten_and_a_new_episode_has_not():
    first, episodes = trial(Ending())
    second, _ = trial(Ending())
    assert torch.equal(first.distribution['mean'], second.distribution['mean'])
    starts = [e.distribution['mean'][:, :, 0] for e in episodes]
    assert not torch.allclose(starts[0], starts[1])
    empty = POLICY.step(PARAMS, POLICY.empty(6), torch.zeros(6, 4))[1]['mean'].view(2, 3, 1)
    torch.testing.assert_close(starts[0], empty)


def test_an_observation_comes_with_the_step_before_it():
    _, episodes = trial(Ending())
    seen = episodes[0].observations
    assert not seen[:, :, 0, 1:].any(), 'nothing came before a trial'
    alive = episodes[0].alive[:, :, 1:]
    torch.testing.assert_close(seen[:, :, 1:, 1][alive], episodes[0].actions[:, :, :-1, 0][alive])
    torch.testing.assert_close(seen[:, :, 1:, 2][alive], episodes[0].rewards[:, :, :-1][alive])
    assert not seen[:, :, 1:, 3][alive].any()
    # The first step of the second episode is shown the last one of the first.
    last = (episodes[0].alive.sum(2) - 1)[..., None]
    expected = episodes[0].actions[..., 0].gather(2, last)[..., 0]
    torch.testing.assert_close(episodes[1].observations[:, :, 0, 1], expected)
    assert (episodes[1].observations[:, :, 0, 3] == 1).all(), 'by a fall or by the time limit'


def test_trials_are_joined_without_gaps():
    paths, episodes = trial(Ending())
    lengths = sum(e.alive.sum(2) for e in episodes)
    assert torch.equal(paths.alive, torch.arange(3 * STEPS) < lengths[..., None])
    for task in range(2):
        for rollout in range(3):
            pieces = [e.rewards[task, rollout][e.alive[task, rollout]] for e in episodes]
            whole = paths.rewards[task, rollout][paths.alive[task, rollout]]
            assert torch.equal(whole, torch.cat(pieces))
    assert isinstance(join(episodes), Paths)
    assert paths.ended.all(), 'nothing comes after a trial'


def test_rows_do_not_influence_each_other():
    class Spoiled(Ending):
        def step(self, actions):
            observations, rewards, done = super().step(actions)
            observations[1, 2] += 100.0
            return observations, rewards, done

    clean, _ = trial(Ending())
    other, _ = trial(Spoiled())
    same = torch.ones(2, 3, dtype=torch.bool)
    same[1, 2] = False
    assert torch.equal(clean.distribution['mean'][same], other.distribution['mean'][same])
    assert not torch.equal(clean.distribution['mean'][1, 2], other.distribution['mean'][1, 2])


def test_what_fails_ends_its_trial_and_no_other():
    class Failing(Ending):
        episode = 0

        def reset(self, goals, generator):
            self.episode += 1
            return super().reset(goals, generator)

        def step(self, actions):
            observations, rewards, done = super().step(actions)
            if self.episode == 2 and self.count == 2:
                rewards, done = rewards.clone(), done.clone()
                rewards[0, 1], done[0, 1] = torch.nan, True
            return observations, rewards, done

    clean, _ = trial(Ending())
    other, _ = trial(Failing())
    # An episode of 3 steps, and one step of the second.
    assert int(other.alive[0, 1].sum()) == 4
    assert int(clean.alive[0, 1].sum()) == 9
    same = torch.ones(2, 3, dtype=torch.bool)
    same[0, 1] = False
    assert torch.equal(clean.rewards[same], other.rewards[same])
    assert other.observations.isfinite().all()


def test_it_runs_on_a_task():
    env = MetaTaskEnv(load_meta_task('point/navigation'), 2, 3)
    trials = TrialEnv(env)
    policy = RecurrentPolicy(trials.observation_size, env.action_size, 8, 'lstm')
    goals = env.sample_goals(seeded(), 2)
    paths, _ = collect_trials(trials, policy, policy.init(seeded()), goals, 2, seeded())
    assert paths.actions.shape == (2, 3, 2 * env.horizon, 2)
