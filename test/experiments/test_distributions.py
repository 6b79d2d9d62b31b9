# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that are trained on other schedules than their own."""

import numpy as np
import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.experiments.distributions import with_distribution

TASK = load_task('pr2_left_arm/reach')


def draws(task):
    return [task.training(np.random.default_rng(seed), 100) for seed in range(20)]


def test_the_empty_name_is_the_tasks_own():
    assert with_distribution(TASK, '') is TASK


def test_the_schedules_of_a_test_are_those_it_is_tested_on():
    changed = with_distribution(TASK, 'test:mid_run')
    assert set(draws(changed)) == {TASK.test('mid_run')(100)}
    assert changed.tests is TASK.tests
    with pytest.raises(UserError, match="did you mean 'mid_run'"):
        with_distribution(TASK, 'test:midrun')


def test_a_scaled_task_has_the_same_moments_and_other_strengths():
    for plain, scaled in zip(draws(TASK), draws(with_distribution(TASK, 'scaled:0.5'))):
        assert [event.step for event in plain] == [event.step for event in scaled]
        assert [0.5 * e.disturbance.value for e in plain] == [e.disturbance.value for e in scaled]


def test_scaled_disturbances_are_among_those_that_steps_can_name():
    changed = with_distribution(TASK, 'scaled:0.5')
    happened = {event.disturbance for schedule in draws(changed) for event in schedule}
    assert happened <= set(changed.disturbances)
    assert changed.disturbances[: len(TASK.disturbances)] == TASK.disturbances


def test_scaled_by_nothing_nothing_happens():
    assert set(draws(with_distribution(TASK, 'scaled:0'))) == {()}


def test_an_unknown_distribution_is_refused():
    with pytest.raises(UserError, match="unknown distribution 'narrow:1'"):
        with_distribution(TASK, 'narrow:1')
