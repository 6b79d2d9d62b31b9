# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All studies of policy search in models: arms on tasks with seeds, and what is measured of each.

As those of meta policy search (experiments/policy_studies.py): a small size that two cores work
off in an hour, and that of the thesis (`--full`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mbmrl_ros.algorithms import ALGORITHMS, MODEL_FREE
from mbmrl_ros.config import Config, merged, override, parse
from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.experiments import search_cells as cells
from mbmrl_ros.experiments.double_integrator import SOURCES
from mbmrl_ros.experiments.jobs import Job, Selection
from mbmrl_ros.experiments.policy_studies import Study, check_names, command_of
from mbmrl_ros.experiments.search_cells import SearchTraining
from mbmrl_ros.experiments.study_work import StudyCell
from mbmrl_ros.training.recipes import read_recipe

INTEGRATOR = 'double_integrator'
ORIGIN, CHEETAH = 'point/origin', 'half_cheetah/thesis'


class Arm(NamedTuple):
    """An algorithm, and what differs from its recipe.

    bias: of its models (experiments/search_cells.py). steps: real ones, as a multiple of what
    others get, since algorithms without a model need many times as many.
    """

    label: str
    algorithm: str
    changes: Mapping[str, Any] = {}
    bias: float = 0.0
    steps: int = 1


ONE = {'members': 1}
# Nothing is gained by entropy, whose weight falls from almost nothing.
NO_ENTROPY = {'init_temperature': 1e-8, 'target_entropy': -1e3}
BIASES = (0.5, 1.0, 2.0, 4.0)
ARMS = {
    'mb_mpo': Arm('MB-MPO', 'mb_mpo'),
    'me_trpo': Arm('ME-TRPO', 'me_trpo'),
    'me_ppo': Arm('ME-PPO', 'me_ppo'),
    'bptt': Arm('BPTT, one model', 'bptt', ONE),
    'sac': Arm('SAC', 'sac', steps=3),
    'ppo': Arm('PPO', 'ppo', steps=20),
    'trpo': Arm('TRPO', 'trpo', steps=20),
    'mb_mpo_still': Arm('MB-MPO without adaptation', 'mb_mpo', {'alpha': 1e-9}),
    'me_ppo_1': Arm('PPO, one model', 'me_ppo', ONE),
    'me_trpo_1': Arm('TRPO, one model', 'me_trpo', ONE),
    'me_trpo_10': Arm('ME-TRPO, 10 models', 'me_trpo', {'members': 10}),
    'me_trpo_20': Arm('ME-TRPO, 20 models', 'me_trpo', {'members': 20}),
    'me_trpo_1_unchecked': Arm(
        'TRPO, one model, no validation', 'me_trpo', ONE | {'accepted_share': 0.0}
    ),
    'me_trpo_unchecked': Arm('ME-TRPO, no validation', 'me_trpo', {'accepted_share': 0.0}),
    'maac': Arm('MAAC', 'maac'),
    'maac_sac_actor': Arm('T = 0', 'maac', {'actor': 'none', 'critic_targets': 'plain'}),
    'maac_plain_targets': Arm('targets without models', 'maac', {'critic_targets': 'plain'}),
    'maac_no_entropy': Arm('no entropy', 'maac', NO_ENTROPY),
    'maac_real_data': Arm('no model data', 'maac', {'real_ratio': 1.0}),
} | {
    f'{name}_bias_{bias:g}': Arm(f'{label}, bias {bias:g}', name, bias=bias)
    for bias in BIASES
    for name, label in (('mb_mpo', 'MB-MPO'), ('me_trpo', 'ME-TRPO'))
}  # fmt: skip

# From the same starts for all arms and seeds.
TEST = {'episodes': 40}
STUDIES = {
    'gradient-error': Study(
        "Thesis Fig. 20: error of MAAC's gradient against the horizon, on a double integrator",
        (INTEGRATOR,),
        tuple(SOURCES),
        cells.gradient_error,
        'gradient_error',
        {'transitions': 100, 'noise': 0.05, 'epochs': 200, 'updates': 2000,
         'horizons': [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]},
    ),
    'plasticity': Study(
        'Thesis Fig. 11: where models differ, and where policies of MB-MPO adapt, on the plane',
        (ORIGIN,),
        ('mb_mpo',),
        cells.plasticity,
        'plasticity',
        {'width': 2.0, 'points': 21, 'draws': 10},
    ),
    'biased-models': Study(
        'Thesis Fig. 10: MB-MPO and ME-TRPO in models that are biased',
        (ORIGIN,),
        ('mb_mpo', *(f'mb_mpo_bias_{bias:g}' for bias in BIASES),
         'me_trpo', *(f'me_trpo_bias_{bias:g}' for bias in BIASES)),
        cells.curve,
        'biases',
        TEST,
    ),
    'search-curves': Study(
        'Thesis Fig. 4, 7, 8: learning curves with models and without',
        (ORIGIN,),
        ('mb_mpo', 'me_trpo', 'me_ppo', 'bptt', 'sac', 'ppo', 'trpo'),
        cells.curve,
        'search_curves',
        TEST,
    ),
    'one-model': Study(
        'Thesis Fig. 4, 36: optimisers in one model, and what that model says of them',
        (ORIGIN,),
        ('bptt', 'me_ppo_1', 'me_trpo_1', 'me_trpo_1_unchecked'),
        cells.curve,
        'expected',
        TEST,
    ),
    'ensemble-size': Study(
        'Thesis Fig. 5: ME-TRPO by the number of models, with validation and without',
        (ORIGIN,),
        ('me_trpo_1', 'me_trpo_1_unchecked', 'me_trpo', 'me_trpo_unchecked', 'me_trpo_10'),
        cells.curve,
        'expected',
        TEST,
    ),
    'model-adaptation': Study(
        'Thesis Fig. 9: MB-MPO with and without adaptation',
        (ORIGIN,),
        ('mb_mpo', 'mb_mpo_still'),
        cells.curve,
        'search_curves',
        TEST,
    ),
    'maac-ablations': Study(
        'Thesis Fig. 21, 44: MAAC without one of its parts',
        (ORIGIN,),
        ('maac', 'maac_sac_actor', 'maac_plain_targets', 'maac_no_entropy', 'maac_real_data'),
        cells.curve,
        'search_curves',
        TEST,
    ),
    'maac-time': Study(
        'Thesis Table 4: seconds of an iteration of MAAC, and without its actor',
        (ORIGIN,),
        ('maac', 'maac_sac_actor'),
        cells.seconds,
        'seconds',
    ),
}  # fmt: skip

# Real environment steps of a training: of the point, of robots, of the thesis.
POINT_STEPS, ROBOT_STEPS, FULL_STEPS = 3000, 40_000, 400_000
# On the point, whose episodes have 30 steps.
POINT_MODELS = {'real_rollouts': 5, 'model_hidden_sizes': (64, 64)}
POINT_SIZES: dict[str, dict[str, Any]] = {
    'maac': {'initial_steps': 150, 'steps': 150, 'model_hidden_sizes': (64, 64),
             'hidden_sizes': (64, 64)},
    'mb_mpo': POINT_MODELS,
    'me_ppo': POINT_MODELS,
    # No longer than an episode.
    'me_trpo': POINT_MODELS | {'imagined_horizon': 30},
    'bptt': POINT_MODELS | {'imagined_horizon': 30},
}  # fmt: skip
# PPO learns from 2048 steps at a time.
MODEL_FREE_ROWS = {'sac': {'steps': 300}, 'ppo': {'steps': 2048}, 'trpo': {'steps': 2048}}
QUICK: dict[str, Any] = {'iterations': 2, 'horizon': 10}
QUICK_MODELS = {'members': 5, 'model_hidden_sizes': (8,), 'epochs': 2, 'batch_size': 8}
QUICK_UPDATES = {'real_rollouts': 2, 'updates': 2, 'imagined_rollouts': 4}
QUICK_OF: dict[str, dict[str, Any]] = {
    'mb_mpo': {'real_rollouts': 2, 'tasks': 5, 'rollouts': 2, 'meta_steps': 1},
    'maac': {'initial_steps': 20, 'steps': 20, 'updates_per_step': 0.2, 'members': 4},
    'me_trpo': QUICK_UPDATES,
    'me_ppo': QUICK_UPDATES,
    'bptt': QUICK_UPDATES,
}
QUICK_OPTIONS: dict[str, Any] = {
    'epochs': 2, 'updates': 5, 'horizons': [0, 2, 8], 'points': 5, 'draws': 2,
    'episodes': 2,
}  # fmt: skip
WITHOUT_MODELS = {each.name for each in MODEL_FREE}


def search_jobs(name: str, chosen: Selection) -> Iterator[Job]:
    """Yield the jobs of a study, each after those that it needs.

    UserError on a task, arm or setting that there is not.
    """
    study = STUDIES[name]
    alone = study.tasks == (INTEGRATOR,)
    tasks = study.tasks if alone else tuple(LEARNING_TASKS)
    check_names(name, chosen, tasks, study.arms if alone else tuple(ARMS))
    for task in chosen.tasks or study.tasks:
        for seed in chosen.seeds or (0, 1, 2):
            for arm in chosen.methods or study.arms:
                yield from _of_seed(name, task, arm, seed, chosen)


def _of_seed(name: str, task: str, arm: str, seed: int, chosen: Selection) -> Iterator[Job]:
    study = STUDIES[name]
    command = command_of(name, task, arm, seed, chosen)
    options = dict(study.options)
    if chosen.quick:
        options |= {key: QUICK_OPTIONS[key] for key in options.keys() & QUICK_OPTIONS.keys()}
    training = None
    if task != INTEGRATOR:
        training = training_of(task, arm, seed, chosen)
        options['steps'] = real_steps(task, chosen)
        yield Job(training, command, cells.train)
    yield Job(StudyCell(name, arm, task, seed, training, options), command, study.measure)


def real_steps(task: str, chosen: Selection) -> int:
    """Return the real steps that an arm gets, if it is not said to have more."""
    if chosen.full:
        return FULL_STEPS
    return POINT_STEPS if task.startswith('point/') else ROBOT_STEPS


def training_of(task: str, arm: str, seed: int, chosen: Selection) -> SearchTraining:
    """Return the training of an arm, of as many iterations as its steps are enough for."""
    made = ARMS[arm]
    algorithm = ALGORITHMS[made.algorithm]
    settings: dict[str, Any] = dict(MODEL_FREE_ROWS.get(made.algorithm, {}))
    source = '--set'
    if made.algorithm not in WITHOUT_MODELS:
        wanted = 'paper' if chosen.full else None
        settings, source = read_recipe(made.algorithm, task, wanted, algorithm.recipes)
        small = task.startswith('point/') and not chosen.full
        settings = merged(settings, POINT_SIZES[made.algorithm] if small else {})
    settings = merged(settings, dict(made.changes))
    settings = override(settings, chosen.assignments)
    config: Any = parse(algorithm.Config, settings, source, chosen.assignments)
    if chosen.quick:
        config = parse(algorithm.Config, config.model_dump() | _quick(made), source)
    elif not any(each.startswith('iterations=') for each in chosen.assignments):
        count = _iterations(config, task, made.steps * real_steps(task, chosen))
        config = config.model_copy(update={'iterations': count})
    return SearchTraining(arm, made.algorithm, task, seed, config, bias=made.bias)


def _quick(made: Arm) -> dict[str, Any]:
    if made.algorithm in WITHOUT_MODELS:
        return QUICK | {'steps': 20}
    shorter = QUICK | QUICK_MODELS | QUICK_OF[made.algorithm]
    return shorter | {key: value for key, value in made.changes.items() if key == 'members'}


def _iterations(config: Config, task: str, steps: int) -> int:
    """Return the iterations that make so many steps."""
    known = config.model_dump()
    horizon = known['horizon'] or load_meta_task(task).horizon
    first = int(known.get('initial_steps', 0))
    each = int(known['steps'] if 'steps' in known else known['real_rollouts'] * horizon)
    return max(1, round((steps - first) / each)) + (first > 0)
