# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of meta policy search by task: what differs from the defaults, and for whom.

default    for two cores: the step size of the published runs, iterations that fit an evening
paper      the table of the ProMP paper, with the steps that its figures go over

`all` is for every algorithm with an inner step; what is under an algorithm's name, or the first
part of it, comes upon that.
"""

from __future__ import annotations

from typing import Any

from mbmrl_ros.config import UserError, closest

Recipe = dict[str, dict[str, Any]]

# Figures go over 1.2e8 steps: 750 iterations of 160 000, 375 of 320 000.
TABLE: Recipe = {
    'all': {'alpha': 0.01, 'iterations': 750},
    # The code: 80 paths per task.
    'dice': {'rollouts': 80, 'baseline': 'time', 'iterations': 188},
    'rl2': {'iterations': 500, 'cell': 'lstm'},
}
LONGER: Recipe = {
    'all': {'iterations': 375},
    'dice': {'iterations': 94},
}
# 6e7 steps.
SHORT: Recipe = {'all': {'iterations': 375}, 'rl2': {'iterations': 500}}
SHORTER: Recipe = {'all': {'iterations': 188}}
PARAMETERS: Recipe = {
    'all': {'alpha': 0.05},
    'promp': {'outer_steps': 3, 'kl_target': 1e-2, 'kl_penalty': 1e-3},
}
NAVIGATION: Recipe = {
    'all': {'tasks': 20, 'rollouts': 20, 'iterations': 100},
    'rl2': {'tasks': 200, 'rollouts': 1, 'iterations': 200},
}


def merged(*recipes: Recipe) -> Recipe:
    """Put recipes one upon the other, section by section."""
    sections = {name for recipe in recipes for name in recipe}
    return {
        name: {k: v for recipe in recipes for k, v in recipe.get(name, {}).items()}
        for name in sections
    }


def _steps(count: int) -> Recipe:
    return {'all': {'inner_steps': count}}


WIDE: Recipe = {'all': {'hidden_sizes': [128, 128]}}
RECIPES: dict[str, dict[str, Recipe]] = {
    'half_cheetah/forward_backward': {'default': SHORT, 'paper': TABLE},
    'half_cheetah/velocity': {'default': SHORT, 'paper': TABLE},
    'ant/direction': {'default': SHORT, 'paper': TABLE},
    'ant/goal': {
        'default': merged(SHORTER, _steps(2)),
        'paper': merged(TABLE, LONGER, _steps(2)),
    },
    'humanoid/direction': {
        'default': merged(SHORTER, WIDE),
        'paper': merged(TABLE, LONGER, WIDE),
    },
    'walker2d/direction': {'default': SHORTER, 'paper': merged(TABLE, LONGER)},
    'walker2d/random_parameters': {
        'default': merged(SHORTER, PARAMETERS),
        'paper': merged(TABLE, LONGER, {'all': {'alpha': 0.05}}),
    },
    'hopper/random_parameters': {
        'default': merged(SHORTER, PARAMETERS),
        'paper': merged(TABLE, LONGER, {'all': {'alpha': 0.05}}),
    },
    'swimmer/velocity': {'default': SHORTER, 'paper': merged(TABLE, LONGER)},
    'point/corner': {'default': merged(NAVIGATION, _steps(3)), 'paper': merged(TABLE, _steps(3))},
    'point/momentum': {
        'default': merged(NAVIGATION, _steps(3)),
        'paper': merged(TABLE, _steps(3)),
    },
    'point/navigation': {'default': NAVIGATION, 'paper': TABLE},
    'point/line': {'default': NAVIGATION, 'paper': {'all': {'rollouts': 100, 'alpha': 0.1}}},
}


def recipe(task: str, name: str, algorithm: str) -> dict[str, Any]:
    """Return the settings of an algorithm in a task's recipe; none for tasks of one's own.

    UserError if a task that has recipes has none of this name.
    """
    recipes = RECIPES.get(task, {'default': {}, 'paper': TABLE})
    if name not in recipes:
        raise UserError(f'{task} has no recipe {name!r}; {closest(name, recipes)}')
    sections = recipes[name]
    # RL2 has no inner step: what is for all of the others is not for it.
    shared = {} if algorithm == 'rl2' else sections.get('all', {})
    family = algorithm.partition('_')[0]
    return shared | sections.get(family, {}) | sections.get(algorithm, {})
