# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which training a measurement needs: by which settings, and from which other one."""

from __future__ import annotations

import functools
import math
from pathlib import Path

from mbmrl_ros.config import UserError, merged, override, parse
from mbmrl_ros.experiments.jobs import Selection, Training, record_of, settings_of
from mbmrl_ros.experiments.studies import MODELS, Model, Setting, Variant, slug
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig
from mbmrl_ros.training.recipes import read_recipe

# A check of the machinery, not a result: every training and episode is as short as can be.
QUICK = (
    'iterations=2', 'rollouts=4', 'rollout_steps=160', 'past_steps=20', 'future_steps=8',
    'hidden_sizes=[16]', 'batch_size=8', 'epochs=1', 'validation_fraction=0.5',
    'planner={candidates: 8, horizon: 3}', 'control_planner={candidates: 8, horizon: 3}',
)  # fmt: skip


def training_of(
    model: str, setting: Setting, variant: Variant, seed: int, chosen: Selection
) -> Training:
    """Return the training of a model, with those that it starts from.

    UserError if its settings do not fit theirs.
    """
    made = MODELS[model]
    distribution = f'test:{setting.test}' if made.on_test else variant.distribution
    own = variant.name if variant.training or variant.distribution else ''
    label = '-'.join(filter(None, (model, setting.test if made.on_test else '', slug(own))))
    config = _config(model, setting.task, variant, chosen)
    source = None
    if made.start_from:
        own_data = distribution and not made.on_test
        plain = variant if own_data else Variant()
        source = training_of(made.start_from, setting, plain, seed, chosen)
        if made.with_data:
            config = _no_more_data(config, model, source.config, chosen)
    folder = Path('trainings') / setting.task / label / f'seed{seed}'
    return Training(
        made.algorithm, setting.task, distribution, seed, config, folder, source, made.with_data
    )


def _config(model: str, task: str, variant: Variant, chosen: Selection) -> ModelBasedConfig:
    """Return the settings of a training: recipe, its changes, --quick, the variant, --set."""
    made = MODELS[model]
    settings, source = _recipe(settings_of(made.algorithm), task, made.recipe)
    settings = merged(settings, merged(made.changes, made.by_task.get(task, {})))
    special, general = _special(model, chosen), _general(made, chosen)
    changes = (*(QUICK if chosen.quick else ()), *variant.training, *general)
    config = parse(
        record_of(made.algorithm),
        override(settings, (*changes, *special)),
        source,
        (*general, *special),
    )
    times = 1.0 if _has_iterations(special) else made.times
    return config.model_copy(update={'iterations': math.ceil(config.iterations * times)})


# A grid asks for the same few thousands of times.
_recipe = functools.cache(read_recipe)


def _general(made: Model, chosen: Selection) -> list[str]:
    """Return the assignments for all models, without what is a setting of others alone."""
    own, known = (
        {key for name in names for key in record_of(name).model_fields}
        for names in ((made.algorithm,), {model.algorithm for model in MODELS.values()})
    )
    plain = [text for text in chosen.assignments if ':' not in text.partition('=')[0]]
    return [t for t in plain if t.partition('=')[0].split('.')[0] not in known - own]


def _special(model: str, chosen: Selection) -> list[str]:
    """Return the assignments for one model."""
    prefix = f'{model}:'
    return [t.removeprefix(prefix) for t in chosen.assignments if t.startswith(prefix)]


def _has_iterations(assignments: list[str]) -> bool:
    return any(text.startswith('iterations=') for text in assignments)


def _no_more_data(
    config: ModelBasedConfig, model: str, given: ModelBasedConfig, chosen: Selection
) -> ModelBasedConfig:
    """Return settings with the iterations of the data that are given, unless it goes on."""
    made = MODELS[model]
    if not (made.goes_on or _has_iterations(_special(model, chosen))):
        return config.model_copy(update={'iterations': given.iterations})
    more = config.iterations - given.iterations
    if more < 0 or (more and not made.goes_on):
        raise UserError(
            f'{model} starts from {made.start_from} after {given.iterations} '
            f'iterations, so it cannot have {config.iterations}; set iterations of both'
        )
    return config


def with_sources(training: Training) -> list[Training]:
    """Return a training after those that it starts from."""
    return [*(with_sources(training.source) if training.source else []), training]


def with_source_models(model: str) -> list[str]:
    """Return a model and all that it starts from."""
    source = MODELS[model].start_from
    return [model, *(with_source_models(source) if source else [])]
