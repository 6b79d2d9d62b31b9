# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation: episodes, losses before and after adaptation, intervals."""

import json
import math
from dataclasses import replace

import pytest
import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle, save_bundle
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.episodes import (
    IDLE_EPISODES,
    Trial,
    endings_summary,
    evaluate,
    fails_at,
    idle_returns,
    interval95,
    returns_summary,
)

TASK = load_task('half_cheetah/disabled_joint')
EPISODES, STEPS = 3, 30


def run_test(bundle: Bundle, adaptation: str = 'auto', test: str = 'undisturbed', seed: int = 0):
    adapter = make_adapter(bundle, adaptation)
    return evaluate(bundle, adapter, Trial(open_task(TASK), test, EPISODES, STEPS, seed))


def test_episodes_are_counted_and_adaptations_too(bundle):
    outcome = run_test(bundle)
    assert outcome.rewards.shape == (STEPS, EPISODES)
    assert [trajectory.steps for trajectory in outcome.trajectories] == [STEPS] * EPISODES
    assert len(outcome.adapt_s) == len(outcome.plan_s) == STEPS
    # From the moment on when there are 8 transitions, every tick adapts or refuses to.
    assert outcome.accepted + outcome.refused == EPISODES * (STEPS - 8)
    assert outcome.accepted > 0
    unadapted = run_test(bundle, 'none')
    assert unadapted.accepted + unadapted.refused == 0


def test_methods_start_from_the_same_states_and_seeds_differ(bundle):
    ours, theirs = run_test(bundle), run_test(bundle, 'none')
    other = run_test(bundle, seed=1)
    for one, two, three in zip(ours.trajectories, theirs.trajectories, other.trajectories):
        assert torch.equal(one.states[0], two.states[0])
        assert not torch.equal(one.states[0], three.states[0])


def test_a_robot_that_does_nothing_earns_what_the_fallback_does():
    trial = Trial(open_task(TASK), 'mid_run', 5, STEPS, 0)
    idle = idle_returns(trial)
    assert idle.shape == (IDLE_EPISODES,)
    # It neither runs nor spends effort: what is left is the noise of its start.
    assert idle.abs().max() < STEPS * 0.2
    assert fails_at(trial, TASK.failure_step(STEPS)) and not fails_at(trial, 1)
    assert not fails_at(replace(trial, test='undisturbed'), TASK.failure_step(STEPS))


def test_equal_seeds_give_equal_episodes(bundle):
    first, again = run_test(bundle), run_test(bundle)
    assert torch.equal(first.rewards, again.rewards)


def test_tests_of_the_task_break_the_robot_when_they_say(bundle):
    outcomes = {test: run_test(bundle, test=test) for test in TASK.tests}
    labels = {test: o.trajectories[0].disturbance.tolist() for test, o in outcomes.items()}
    assert labels['undisturbed'] == [-1] * 30
    assert labels['held_out'] == [0] * 30
    assert labels['mid_run'] == [-1] * 10 + [0] * 20
    with pytest.raises(UserError, match="no test 'midrun'; did you mean 'mid_run'"):
        run_test(bundle, test='midrun')


def test_the_interval_is_students_by_worked_numbers():
    # Mean 2, deviation 1, and the 0.975 quantile of t with 2 degrees of freedom is 4.302653.
    mean, half = interval95([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert interval95(torch.tensor([5.0, 5.0])) == (5.0, 0.0)


def test_one_value_has_no_interval():
    mean, half = interval95([4.0])
    assert mean == 4.0
    assert math.isnan(half)


def test_intervals_hold_the_truth_in_95_of_100_cases():
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(2000, 5, generator=generator)
    held = sum(abs(mean) <= half for mean, half in map(interval95, samples))
    # Binomial: 2000 trials with p = 0.95 have a deviation of 9.7.
    assert abs(held - 1900) < 4 * 9.7


def ending_at(monkeypatch, *ends: int) -> None:
    """Let the physics of each robot fail at its step, without MuJoCo's help."""
    reset, step = RobotEnv.reset, RobotEnv.step
    count = [0]

    def began(self, rng, schedules):
        count[0] = 0
        return reset(self, rng, schedules)

    def stepped(self, actions):
        count[0] += 1
        return step(self, actions)

    monkeypatch.setattr(RobotEnv, 'reset', began)
    monkeypatch.setattr(RobotEnv, 'step', stepped)
    healthy = property(lambda self: torch.tensor([count[0] <= end for end in ends]))
    monkeypatch.setattr(RobotEnv, 'healthy', healthy)


def test_adaptations_of_a_robot_that_ended_are_not_counted(bundle, monkeypatch):
    ending_at(monkeypatch, STEPS, 12, 3)
    outcome = run_test(bundle)
    assert [one.steps for one in outcome.trajectories] == [STEPS, 12, 3]
    # Windows of 8 transitions; the state after the 12th is the last that is adapted to.
    assert outcome.accepted + outcome.refused == (STEPS - 8) + (12 - 8 + 1)
    assert endings_summary(outcome.trajectories, STEPS) == {
        'ended_early': 2, 'steps_done': [STEPS, 12, 3],
    }  # fmt: skip


def test_returns_of_one_model_have_a_spread_and_no_interval():
    rewards = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    found = returns_summary(rewards, 1)
    assert found['returns'] == [1.0, 2.0, 3.0] and found['mean_before'] == 2.0
    assert found['std_over_episodes'] == found['std_over_episodes_before'] == 1.0
    assert not any('interval' in name for name in found)
    assert math.isnan(returns_summary(rewards[:, :1], 1)['std_over_episodes'])


@pytest.mark.parametrize('ends', [(STEPS, 3), (3, 2)])
def test_an_episode_shorter_than_a_window_costs_no_return(bundle, monkeypatch, tmp_path, ends):
    # Windows are 8 + 6 transitions; of the second pair no episode has one.
    save_bundle(tmp_path / 'bundle', bundle)
    ending_at(monkeypatch, *ends)
    words = ['evaluate', '--bundle', tmp_path / 'bundle', '--test', 'undisturbed', '--episodes', 2,
             '--steps', STEPS, '--json', tmp_path / 'out.json']  # fmt: skip
    assert main([str(word) for word in words]) == 0

    def no_constant(name):
        raise AssertionError(f'{name} is no JSON')

    written = json.loads((tmp_path / 'out.json').read_text(), parse_constant=no_constant)
    result = written['tests']['undisturbed']
    assert len(result['returns']) == 2 and all(map(math.isfinite, result['returns']))
    assert result['ended_early'] == sum(end < STEPS for end in ends)
    assert result['steps_done'] == list(ends)
    assert (result['loss_after'] is None) == (STEPS not in ends)
