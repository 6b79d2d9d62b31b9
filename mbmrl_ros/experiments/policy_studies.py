# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All studies of meta policy search: arms on tasks with seeds, and what is measured of each.

Each has a small size that two cores work off in minutes to an hour, and that of the paper
(`--full`). Arms of a study get the same number of environment steps.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.config import UserError, closest, merged, override, parse
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.tasks import META_TASKS
from mbmrl_ros.experiments import policy_cells as cells
from mbmrl_ros.experiments.jobs import Job, Selection
from mbmrl_ros.experiments.policy_cells import Measure
from mbmrl_ros.experiments.study_work import PolicyTraining, StudyCell
from mbmrl_ros.experiments.toy import ESTIMATORS
from mbmrl_ros.training.meta.settings import BatchConfig
from mbmrl_ros.training.recipes import read_recipe

TOY = 'toy'
NAVIGATION, CORNER = 'point/navigation', 'point/corner'


class Arm(NamedTuple):
    """An algorithm, and what differs from its recipe."""

    label: str
    algorithm: str
    changes: Mapping[str, Any] = {}
    shows_goal: bool = False


# An inner step of nothing: the mean return over tasks, by the same optimiser.
NO_STEP = {'alpha': 1e-9}
ARMS = {
    'promp': Arm('ProMP', 'promp'),
    'maml_trpo': Arm('MAML-TRPO', 'maml_trpo'),
    'maml_vpg': Arm('MAML-VPG', 'maml_vpg'),
    'e_maml_trpo': Arm('E-MAML-TRPO', 'e_maml_trpo'),
    'e_maml_vpg': Arm('E-MAML-VPG', 'e_maml_vpg'),
    'dice_vpg': Arm('DiCE-VPG', 'dice_vpg'),
    'lvc_vpg': Arm('LVC-VPG', 'lvc_vpg'),
    'lvc_trpo': Arm('LVC-TRPO', 'lvc_trpo'),
    'rl2': Arm('RL2', 'rl2'),
    'promp_first_order': Arm('ProMP, first order', 'promp', {'first_order': True}),
    'maml_trpo_first_order': Arm('MAML-TRPO, first order', 'maml_trpo', {'first_order': True}),
    'pretrained': Arm('pretrained on all tasks', 'maml_trpo', NO_STEP),
    'random': Arm('random weights', 'maml_vpg', {'iterations': 1, 'learning_rate': 1e-12}),
    'oracle': Arm('oracle (is shown the goal)', 'maml_trpo', NO_STEP, shows_goal=True),
}


class Study(NamedTuple):
    """What is measured of which arms on which tasks. options: of the measurement; full: of the
    paper's size. plot: what draws it and makes its table (experiments/policy_pages.py).
    """

    title: str
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    measure: Measure
    plot: str
    options: Mapping[str, Any] = {}
    full: Mapping[str, Any] = {}


VPGS = ('lvc_vpg', 'dice_vpg', 'maml_vpg', 'e_maml_vpg')
TEST = {'tasks': 40, 'rollouts': 10, 'inner_steps': 5}
STUDIES = {
    'toy-gradients': Study(
        'ProMP Fig. 17: meta-gradients of the 1-D toy by both formulations, and the closed form',
        (TOY,),
        tuple(ESTIMATORS),
        cells.toy_gradients,
        'toy',
        {'batches': {'20': 500, '100': 150, '1000': 30}, 'rollouts': 100, 'updates': 150,
         'step_size': 0.03},
        {'batches': {'20': 2000, '100': 1000, '1000': 200}},
    ),
    'gradient-variance': Study(
        'ProMP Fig. 15: relative standard deviation of meta-gradients by LVC, DiCE, MAML',
        (NAVIGATION, 'point/momentum'),
        ('lvc_vpg',),
        cells.gradient_variance,
        'variance',
        {'resamplings': 10},
    ),
    'meta-curves': Study(
        'ProMP Fig. 13, 14: learning curves of meta policy search at equal steps',
        (NAVIGATION,),
        ('promp', 'maml_trpo', *VPGS, 'e_maml_trpo', 'rl2'),
        cells.curve,
        'curves',
    ),
    'exploration': Study(
        'ProMP Fig. 16: exploration before, exploitation after adaptation, on the 2-D corners',
        (CORNER,),
        ('lvc_trpo', 'maml_trpo', 'e_maml_trpo'),
        cells.exploration,
        'exploration',
    ),
    'wall-time': Study(
        'ProMP Fig. 43: seconds of an iteration, and where they go',
        ('humanoid/direction',),
        ('promp', 'lvc_vpg', 'maml_trpo'),
        cells.wall_time,
        'time',
        {'iterations': 5},
        {'iterations': 100},
    ),
    'adaptation-steps': Study(
        'First and second order, more inner steps at test, goals out of the distribution',
        (NAVIGATION,),
        ('promp', 'promp_first_order', 'maml_trpo', 'maml_trpo_first_order'),
        cells.adaptation,
        'adaptation',
        {'test': TEST},
    ),
    'oracle': Study(
        'Survey Fig. 14-16: MAML beside pretraining, random weights and an oracle',
        (NAVIGATION,),
        ('maml_trpo', 'pretrained', 'random', 'oracle'),
        cells.adaptation,
        'adaptation',
        {'test': TEST},
    ),
}  # fmt: skip
# Environment steps of a training: of points, of the corners, which are rarely felt, of robots.
STEPS, CORNER_STEPS, ROBOT_STEPS, FULL_STEPS = 3.2e5, 6.4e5, 4e6, 5e7
QUICK = {'tasks': 2, 'rollouts': 3, 'horizon': 10, 'iterations': 2}
QUICK_OPTIONS: dict[str, Any] = {
    'batches': {'20': 2}, 'updates': 5, 'resamplings': 2, 'iterations': 2,
    'test': {'tasks': 2, 'rollouts': 3, 'inner_steps': 2},
}  # fmt: skip


def study_jobs(name: str, chosen: Selection) -> Iterator[Job]:
    """Yield the jobs of a study, each after those that it needs.

    UserError on a task, arm or setting that there is not.
    """
    study = STUDIES[name]
    on_toy = TOY in study.tasks
    valid_tasks = (TOY,) if on_toy else tuple(META_TASKS)
    check_names(name, chosen, valid_tasks, study.arms if on_toy else tuple(ARMS))
    for task in chosen.tasks or study.tasks:
        for seed in chosen.seeds or (0, 1, 2):
            for arm in chosen.methods or study.arms:
                yield from _of_seed(name, task, arm, seed, chosen)


def check_names(
    study: str, chosen: Selection, tasks: tuple[str, ...], arms: tuple[str, ...]
) -> None:
    """Raise UserError on a task or an arm that a study cannot have."""
    for kind, wanted, valid in (('task', chosen.tasks, tasks), ('method', chosen.methods, arms)):
        for one in wanted:
            if one not in valid:
                raise UserError(f'{study}: no {kind} {one!r}; {closest(one, valid)}')


def _of_seed(name: str, task: str, arm: str, seed: int, chosen: Selection) -> Iterator[Job]:
    study = STUDIES[name]
    command = command_of(name, task, arm, seed, chosen)
    options = dict(study.options) | (dict(study.full) if chosen.full else {})
    if chosen.quick:
        options |= {key: QUICK_OPTIONS[key] for key in options.keys() & QUICK_OPTIONS.keys()}
    training = None
    if task != TOY:
        training = training_of(task, arm, seed, chosen, options.get('iterations'))
        yield Job(training, command, cells.train)
    if study.measure is cells.adaptation and training is not None:
        # What trained without a step is tested with that of the others.
        known = training_of(task, 'maml_trpo', seed, chosen).config.model_dump()
        options['test'] = options['test'] | {'alpha': known['alpha']}
    if study.measure is cells.gradient_variance and training is not None:
        assert isinstance(training.config, BatchConfig)
        last = training.config.iterations
        options['iterations'] = sorted({1, (1 + last) // 2, last})
    yield Job(StudyCell(name, arm, task, seed, training, options), command, study.measure)


def training_of(
    task: str, arm: str, seed: int, chosen: Selection, iterations: int | None = None
) -> PolicyTraining:
    """Return the training of an arm; iterations: None for those that its steps are enough for."""
    made = ARMS[arm]
    algorithm = ALGORITHMS[made.algorithm]
    record, name = algorithm.Config, 'paper' if chosen.full else None
    recipe = read_recipe(made.algorithm, task, name, algorithm.recipes)
    settings = merged(recipe.settings, {} if chosen.full else _small(made.algorithm, task))
    settings = merged(settings, QUICK if chosen.quick else {})
    config = parse(
        record, override(settings, chosen.assignments), recipe.source, chosen.assignments
    )
    assert isinstance(config, BatchConfig)
    if not chosen.quick and not any(a.startswith('iterations=') for a in chosen.assignments):
        config = config.model_copy(
            update={'iterations': iterations or _iterations(config, task, chosen)}
        )
    config = parse(record, config.model_dump() | dict(made.changes), recipe.source)
    assert isinstance(config, BatchConfig)
    return PolicyTraining(arm, made.algorithm, task, seed, config, made.shows_goal)


def _small(algorithm: str, task: str) -> dict[str, Any]:
    if not task.startswith('point/'):
        size: dict[str, Any] = {'tasks': 20, 'rollouts': 10}
    else:
        size = {'tasks': 8, 'rollouts': 8, 'horizon': 50 if task == CORNER else 25}
    if algorithm == 'rl2':
        return size
    return size if task == CORNER or not task.startswith('point/') else size | {'inner_steps': 1}


def _iterations(config: BatchConfig, task: str, chosen: Selection) -> int:
    """Return the iterations that take as many environment steps as those of other arms."""
    small = CORNER_STEPS if task == CORNER else STEPS if task.startswith('point/') else ROBOT_STEPS
    steps = FULL_STEPS if chosen.full else small
    horizon = config.horizon or load_meta_task(task).horizon
    known = config.model_dump()
    rounds: int = known['episodes'] if 'episodes' in known else known['inner_steps'] + 1
    return max(1, round(steps / float(config.tasks * config.rollouts * horizon * rounds)))


def command_of(name: str, task: str, arm: str, seed: int, chosen: Selection) -> str:
    """Return the command that asks for one cell."""
    words = ['mbmrl', 'experiment', name, '--tasks', task, '--methods', arm, '--seeds', str(seed)]
    for assignment in chosen.assignments:
        words += ['--set', assignment]
    return shlex.join(words + ['--full'] * chosen.full + ['--quick'] * chosen.quick)
