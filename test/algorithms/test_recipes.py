# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe of meta policy search is a valid setting of every algorithm."""

import pytest

from mbmrl_ros.algorithms import ALGORITHMS, META_POLICY_SEARCH, MODEL_BASED_SEARCH
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import META_TASKS
from mbmrl_ros.training.recipes import load_recipe


def of(algorithm: str, task: str, name: str | None = None):
    chosen = ALGORITHMS[algorithm]
    return load_recipe(chosen.Config, algorithm, task, name, (), chosen.recipes)


@pytest.mark.parametrize('name', ['default', 'paper'])
@pytest.mark.parametrize('task', META_TASKS)
def test_all_tasks_have_recipes_that_all_algorithms_take(task, name):
    for algorithm in META_POLICY_SEARCH:
        assert isinstance(of(algorithm.name, task, name), algorithm.Config)


@pytest.mark.parametrize('name', ['default', 'paper'])
def test_policy_search_in_models_has_recipes_for_every_task(name):
    for algorithm in MODEL_BASED_SEARCH:
        assert isinstance(of(algorithm.name, 'own/task', name), algorithm.Config)


def test_a_section_is_for_its_algorithm_or_its_family():
    task = 'half_cheetah/forward_backward'
    dice, lvc = of('dice_vpg', task, 'paper'), of('lvc_vpg', task, 'paper')
    assert (dice.rollouts, dice.iterations, dice.alpha) == (80, 188, 0.01)
    assert (lvc.rollouts, lvc.iterations, lvc.alpha) == (20, 750, 0.01)
    assert of('promp', 'walker2d/random_parameters').outer_steps == 3
    assert of('rl2', task, 'paper').cell == 'lstm'


def test_a_recipe_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="no recipe 'papr'; did you mean 'paper'"):
        of('promp', 'ant/goal', 'papr')
    assert of('promp', 'own/task') == of('promp', 'half_cheetah/velocity')
