# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a figure's grid to what has to be done: trainings, and measurements that need them.

Figures share both: what two of them need is trained and measured once.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.tasks import TASKS
from mbmrl_ros.experiments.jobs import TRUE_PHYSICS, Job, Measurement, Selection, Training, Work
from mbmrl_ros.experiments.measure import perform
from mbmrl_ros.experiments.studies import FIGURES, METHODS, MODELS, Figure, Setting, Variant
from mbmrl_ros.experiments.trainings import training_of, with_source_models, with_sources

# Of a test. Returns of ants vary as much as their mean is.
EPISODES = 10
MORE_EPISODES = {'ant/crippled_leg': 20}
QUICK_EPISODES, QUICK_STEPS = 2, 150


def expand(names: Sequence[str], chosen: Selection) -> list[Job]:
    """Return the jobs of experiments, each after those that it needs.

    UserError on a name, task, method or setting that there is not.
    """
    jobs: dict[Path, Job] = {}
    _check(names, chosen)
    for name in names:
        for work in _measurements(FIGURES[name], chosen):
            command = _command(name, work, chosen)
            needed: list[Work] = [*with_sources(work.training), work]
            for one in needed:
                jobs.setdefault(one.path, Job(one, command, perform))
    return list(jobs.values())


def _check(names: Sequence[str], chosen: Selection) -> None:
    for name in names:
        if name not in FIGURES:
            raise UserError(f'unknown experiment {name!r}; {closest(name, FIGURES)}')
    figures = [FIGURES[name] for name in names]
    tasks = {setting.task for figure in figures for setting in figure.settings}
    methods = {method for figure in figures for method in figure.methods}
    for kind, wanted, valid in (
        ('task', chosen.tasks, tasks),
        ('method', chosen.methods, methods),
    ):
        for one in wanted:
            if one not in valid:
                raise UserError(f'{" ".join(names)}: no {kind} {one!r}; {closest(one, valid)}')
    for assignment in chosen.assignments:
        model, separator, _ = assignment.partition('=')[0].partition(':')
        used = [METHODS[method].model for method in chosen.methods or methods]
        trained = {one for model in used for one in with_source_models(model)}
        if separator and model not in trained:
            hint = closest(model, trained)
            raise UserError(f'--set {assignment}: no model {model!r} is trained for this; {hint}')


def _measurements(figure: Figure, chosen: Selection) -> Iterator[Measurement]:
    settings = [one for one in figure.settings if one.task in (chosen.tasks or (one.task,))]
    methods = [one for one in figure.methods if one in (chosen.methods or (one,))]
    for setting, method, variant in itertools.product(settings, methods, figure.variants):
        for seed in _seeds(figure, method, chosen):
            yield from _of_seed(figure, setting, method, variant, seed, chosen)


def _seeds(figure: Figure, method: str, chosen: Selection) -> Sequence[int]:
    """Return training seeds; where nothing is trained, all would give the same."""
    seeds = chosen.seeds or figure.seeds
    return seeds[:1] if MODELS[METHODS[method].model].algorithm == TRUE_PHYSICS else seeds


def _of_seed(
    figure: Figure, setting: Setting, method: str, variant: Variant, seed: int, chosen: Selection
) -> Iterator[Measurement]:
    training = training_of(METHODS[method].model, setting, variant, seed, chosen)
    points = _iterations(training) if figure.curve else [None]
    for iteration in points:
        own = bool(variant.name) or iteration is not None
        episodes, steps = _length(figure if own else None, setting.task, chosen)
        yield Measurement(
            training,
            method,
            setting.test,
            variant,
            iteration,
            episodes,
            steps,
            figure.test_seed,
            figure.scored_from,
            chosen.candidates,
        )


def _length(figure: Figure | None, task: str, chosen: Selection) -> tuple[int, int]:
    """Return how many episodes of how many steps are measured; figure: whose own cell it is."""
    longest = TASKS[task].episode_steps
    usual = MORE_EPISODES.get(task, EPISODES), longest
    if figure:
        usual = figure.episodes or usual[0], min(figure.steps or longest, longest)
    if chosen.quick:
        usual = QUICK_EPISODES, QUICK_STEPS
    return chosen.episodes or usual[0], chosen.steps or usual[1]


def _iterations(training: Training) -> list[int | None]:
    """Return whose bundles a curve shows: 1, 2, 4... and the last.

    Of a training that starts from the data of another one, those that are its own.
    """
    given = training.source.config.iterations if training.source and training.with_data else 0
    last = training.config.iterations
    return [*(2**n for n in range(last.bit_length()) if given < 2**n < last), None]


def _command(name: str, work: Measurement, chosen: Selection) -> str:
    """Return the command that does this alone."""
    words = ['mbmrl', 'experiment', name, '--tasks', work.training.task]
    words += ['--methods', work.method, '--seeds', str(work.training.seed)]
    for assignment in chosen.assignments:
        words += ['--set', assignment]
    for option in ('episodes', 'steps', 'candidates'):
        value = getattr(chosen, option)
        words += [f'--{option}', str(value)] if value else []
    return shlex.join(words + ['--quick'] * chosen.quick)
