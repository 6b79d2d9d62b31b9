# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every recipe is a valid setting of every algorithm, on tasks that exist."""

import pytest

from mbmrl_ros.algorithms.maml import MAML
from mbmrl_ros.algorithms.promp import PROMP
from mbmrl_ros.algorithms.recipes import RECIPES, recipe
from mbmrl_ros.algorithms.rl2 import RL2
from mbmrl_ros.config import UserError, parse
from mbmrl_ros.envs.meta_tasks import META_TASKS

ALGORITHMS = MAML | {'promp': PROMP, 'rl2': RL2}


@pytest.mark.parametrize('name', ['default', 'paper'])
@pytest.mark.parametrize('task', META_TASKS)
def test_all_tasks_have_recipes_that_all_algorithms_take(task, name):
    assert task in RECIPES
    for algorithm, entry in ALGORITHMS.items():
        parse(entry.Config, recipe(task, name, algorithm), f'{task} {name}')


def test_a_section_is_for_its_algorithm_or_its_family():
    task = 'half_cheetah/forward_backward'
    assert recipe(task, 'paper', 'dice_vpg')['rollouts'] == 80
    assert recipe(task, 'paper', 'lvc_vpg') == {'alpha': 0.01, 'iterations': 750}
    assert recipe('walker2d/random_parameters', 'default', 'promp')['outer_steps'] == 3
    assert 'alpha' not in recipe(task, 'paper', 'rl2')


def test_a_recipe_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="no recipe 'papr'; did you mean 'paper'"):
        recipe('ant/goal', 'papr', 'promp')
    assert recipe('own/task', 'default', 'promp') == {}
