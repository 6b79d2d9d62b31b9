# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Studies of policy search in models: closed forms, equal steps, pages from their cells."""

import json

import numpy as np
import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.experiments import double_integrator as integrator
from mbmrl_ros.experiments.jobs import Selection
from mbmrl_ros.experiments.outcomes import do, finished
from mbmrl_ros.experiments.plasticity import square
from mbmrl_ros.experiments.search_cells import biased
from mbmrl_ros.experiments.search_studies import (
    ARMS,
    INTEGRATOR,
    ORIGIN,
    POINT_STEPS,
    STUDIES,
    search_jobs,
)
from mbmrl_ros.experiments.study_pages import DRAW, write_study_pages
from mbmrl_ros.experiments.study_work import StudyCell
from mbmrl_ros.training.search.stages import Search


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def works(name, **chosen):
    return [job.work for job in search_jobs(name, Selection(seeds=(0,), **chosen))]


def test_every_study_names_what_there_is():
    for name, study in STUDIES.items():
        assert study.plot in DRAW, name
        assert study.tasks == (INTEGRATOR,) or set(study.tasks) <= set(LEARNING_TASKS), name
        arms = integrator.SOURCES if study.tasks == (INTEGRATOR,) else ARMS
        assert set(study.arms) <= set(arms), name
    assert all(arm.algorithm in ALGORITHMS for arm in ARMS.values())
    with pytest.raises(UserError, match="did you mean 'mb_mpo'"):
        works('search-curves', methods=('mbmpo',))
    with pytest.raises(UserError, match="did you mean 'point/origin'"):
        works('plasticity', tasks=('point/origins',))


def test_arms_make_the_steps_that_they_are_said_to():
    for name in ('search-curves', 'maac-ablations', 'ensemble-size'):
        for work in works(name):
            if isinstance(work, StudyCell):
                continue
            known = work.config.model_dump()
            each = known.get('steps') or known['real_rollouts'] * 30
            made = known['iterations'] * each
            wanted = POINT_STEPS * ARMS[work.arm].steps
            assert abs(made - wanted) <= each / 2, work.arm


def test_studies_share_trainings():
    curves, biases = works('search-curves'), works('biased-models')
    shared = {work.path for work in curves} & {work.path for work in biases}
    assert {path.parts[-3] for path in shared} == {'mb_mpo', 'me_trpo'}


def test_the_exact_gradient_is_that_of_a_long_path_in_the_true_dynamics():
    states = integrator.draw_states(64, integrator.START, seeded())
    right, weight = integrator.exact(states)
    learner = integrator.make_learner(0)
    learner.critic = integrator.TrueValues(weight.float())
    # Of what comes after 200 steps 0.95^200 = 4e-5 counts.
    found = integrator.gradient(learner, integrator.true_dynamics(), states, 200)
    np.testing.assert_allclose(found, right, rtol=1e-3)
    # And the values are those of the feedback: what is left after one step is right as well.
    value = -(states.double() @ weight * states.double()).sum(-1)
    seen = learner.critic.smallest({}, states, states @ integrator.GAIN.T)
    np.testing.assert_allclose(seen, value, rtol=1e-4)


@pytest.mark.parametrize('arm', integrator.SOURCES)
def test_every_source_of_dynamics_and_values_gives_an_error_per_horizon(arm):
    options = {'transitions': 60, 'noise': 0.05, 'epochs': 2, 'updates': 2, 'horizons': [0, 3]}
    found = integrator.gradient_errors(integrator.SOURCES[arm], options, seed=0)
    assert len(found['error']) == 2 and all(0 < error < 10 for error in found['error'])


def test_a_biased_model_adds_what_it_is_said_to_and_leaves_the_others_as_they_were():
    config = ALGORITHMS['me_ppo'].Config(members=3, model_hidden_sizes=(8,))
    search = Search(load_meta_task(ORIGIN), config, 0)
    models = search.begin_models()
    states, actions = torch.zeros(3, 5, 2), torch.zeros(3, 5, 2)
    before, after = (
        search.dynamics(each.normalizer).predict(each.state.params, states, actions)
        for each in (models, biased(search, models, 0.5, seeded()))
    )
    added = (after - before)[:, 0]
    assert bool((added >= 0).all()) and bool((added <= 0.5).all())
    assert len({round(float(x), 6) for x in added.flatten()}) == 6
    again = search.dynamics(models.normalizer).predict(models.state.params, states, actions)
    assert torch.equal(before, again)


def test_the_grid_goes_row_by_row_from_below():
    assert square(2.0, 3).tolist()[:4] == [[-2, -2], [0, -2], [2, -2], [-2, 0]]


def test_studies_are_worked_off_and_become_pages_that_their_cells_alone_make_again(tmp_path):
    arms = {'biased-models': ('mb_mpo', 'mb_mpo_bias_1'), 'plasticity': (),
            'one-model': ('me_ppo_1',), 'maac-time': ('maac',), 'gradient-error': ('true_values',),
            'search-curves': ('mb_mpo', 'sac')}  # fmt: skip
    for name, methods in arms.items():
        for job in search_jobs(name, Selection((), methods, (0, 1), quick=True)):
            if not finished(job, tmp_path):
                do(job, tmp_path)
            assert finished(job, tmp_path)
    pages = tmp_path / 'pages'
    assert main(['report', str(tmp_path), '--out', str(pages)]) == 0
    found = {page.stem: page.read_text() for page in pages.glob('*.md')}
    assert found.keys() == {name.replace('-', '_') for name in arms}
    for name in arms:
        page = pages / f'{name.replace("-", "_")}.md'
        assert 'not a result' in found[page.stem] and '(2 seeds)' in found[page.stem]
        assert write_study_pages(page.with_suffix('')) == [page]
        assert page.read_text() == found[page.stem]
        cells = [json.loads(line) for line in (page.with_suffix('') / 'cells.jsonl').open()]
        assert all(cell['command'].startswith(f'mbmrl experiment {name}') for cell in cells)
