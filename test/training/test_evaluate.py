# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation: episodes, losses before and after adaptation, intervals."""

import math

import pytest
import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.models.bundle import Bundle
from mbmrl_ros.training.evaluate import evaluate, interval95

TASK = load_task('half_cheetah/disabled_joint')
EPISODES, STEPS = 3, 30


def run_test(bundle: Bundle, adaptation: str = 'auto', test: str = 'undisturbed', seed: int = 0):
    adapter = make_adapter(bundle, adaptation)
    return evaluate(bundle, adapter, TASK, test, EPISODES, STEPS, seed)


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
