# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which training a measurement needs: by what recipe, from which other, with which settings."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path

from mbmrl_ros.config import UserError
from mbmrl_ros.experiments.figures import QUICK
from mbmrl_ros.experiments.grid import Recipe, Selection, Setting, Variant, slug
from mbmrl_ros.experiments.jobs import NOT_MODELS, Training
from mbmrl_ros.experiments.methods import MODELS
from mbmrl_ros.training.settings import ModelBasedConfig

BASE = Variant()


def training_of(
    model: str, setting: Setting, variant: Variant, seed: int, chosen: Selection
) -> Training:
    """Return the training of a model, with those that it starts from.

    UserError if its settings do not fit theirs.
    """
    recipe = recipe_of(model, setting.task)
    if recipe is None:
        raise ValueError(f'{model} has no training file for {setting.task}')
    made = MODELS[model]
    distribution = f'test:{setting.test}' if made.on_test else variant.distribution
    own = variant.name if variant.training or variant.distribution else ''
    label = '-'.join(filter(None, (model, setting.test if made.on_test else '', slug(own))))
    config = _config(model, recipe, setting.task, variant, chosen)
    source = None
    if recipe.start_from:
        own_data = distribution and not made.on_test
        plain = replace(variant, at_test={}, kind='', planner={}) if own_data else BASE
        source = training_of(recipe.start_from, setting, plain, seed, chosen)
        if recipe.with_data:
            config = _no_more_data(config, model, recipe, source.config, chosen)
    folder = Path('trainings') / setting.task / label / f'seed{seed}'
    return Training(
        made.algorithm, setting.task, distribution, seed, config, folder, source, recipe.with_data
    )


def _config(
    model: str, recipe: Recipe, task: str, variant: Variant, chosen: Selection
) -> ModelBasedConfig:
    """Return the settings of a training: file, --quick, the figure's variant, --set."""
    general, special = [], []
    for assignment in chosen.assignments:
        key, _, value = assignment.partition('=')
        only, separator, inner = key.rpartition(':')
        if not separator:
            general.append(assignment)
        elif only == model:
            special.append(f'{inner}={value}')
    changes = (*(QUICK if chosen.quick else ()), *variant.training)
    made = MODELS[model]
    assignments = (*changes, *general, *special)
    config = load_training_config(
        training_files(made.algorithm), task, recipe.variant, assignments
    )
    times = 1.0 if any(text.startswith('iterations=') for text in special) else made.times
    return config.model_copy(update={'iterations': math.ceil(config.iterations * times)})


def _no_more_data(
    config: ModelBasedConfig,
    model: str,
    recipe: Recipe,
    given: ModelBasedConfig,
    chosen: Selection,
) -> ModelBasedConfig:
    """Return settings with the iterations of the data that are given, unless it goes on."""
    asked = any(text.startswith(f'{model}:iterations=') for text in chosen.assignments)
    if not (recipe.goes_on or asked):
        return config.model_copy(update={'iterations': given.iterations})
    more = config.iterations - given.iterations
    if more < 0 or (more and not recipe.goes_on):
        raise UserError(
            f'{model} starts from {recipe.start_from} after {given.iterations} '
            f'iterations, so it cannot have {config.iterations}; set iterations of both'
        )
    return config


@functools.cache
def recipe_of(model: str, task: str) -> Recipe | None:
    """Return the first recipe of a model that there is a training file for."""
    for recipe in MODELS[model].recipes:
        try:
            load_training_config(training_files(MODELS[model].algorithm), task, recipe.variant)
        except UserError:
            continue
        return recipe
    return None


def training_files(algorithm: str) -> str:
    """Return whose training files an algorithm uses."""
    return 'mb' if algorithm in NOT_MODELS else algorithm


def with_sources(training: Training) -> list[Training]:
    """Return a training after those that it starts from."""
    return [*(with_sources(training.source) if training.source else []), training]


def models_for(model: str) -> set[str]:
    """Return a model and all that it may start from."""
    sources = {recipe.start_from for recipe in MODELS[model].recipes} - {''}
    return {model}.union(*map(models_for, sources))
