# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Studies of policies: equal steps, what is shared, what is measured, pages from their cells."""

import json
from pathlib import Path

import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.tasks import META_TASKS
from mbmrl_ros.experiments import policy_pages
from mbmrl_ros.experiments.goal_shown import with_goal_shown
from mbmrl_ros.experiments.jobs import Selection
from mbmrl_ros.experiments.outcomes import do, finished
from mbmrl_ros.experiments.policy_studies import ARMS, STUDIES, study_jobs
from mbmrl_ros.experiments.study_pages import DRAW, write_study_pages
from mbmrl_ros.experiments.study_plots import Arm
from mbmrl_ros.experiments.study_work import StudyCell
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.training.meta.loop import make_env
from mbmrl_ros.training.meta.settings import BatchConfig

NAVIGATION = 'point/navigation'


def works(name, **chosen):
    return [job.work for job in study_jobs(name, Selection(seeds=(0,), **chosen))]


def test_every_study_names_what_there_is():
    for name, study in STUDIES.items():
        assert study.plot in DRAW, name
        assert study.tasks == ('toy',) or set(study.tasks) <= set(META_TASKS), name
        assert study.tasks == ('toy',) or set(study.arms) <= set(ARMS), name
    assert all(arm.algorithm in ALGORITHMS for arm in ARMS.values())


@pytest.mark.parametrize('full', [False, True])
def test_arms_get_as_many_steps(full):
    trainings = {work.arm: work.config for work in works('meta-curves', full=full)
                 if not isinstance(work, StudyCell)}  # fmt: skip
    steps = {}
    for arm, config in trainings.items():
        rounds = config.episodes if arm == 'rl2' else config.inner_steps + 1
        steps[arm] = config.iterations * config.tasks * config.rollouts * 100 * rounds
    assert max(steps.values()) <= 1.05 * min(steps.values()), steps


def test_studies_share_trainings_and_what_has_no_step_is_tested_with_that_of_the_others():
    curves, oracle = works('meta-curves'), works('oracle')
    shared = {work.path for work in curves} & {work.path for work in oracle}
    assert {path.parts[-3] for path in shared} == {'maml_trpo'}
    tested = {work.arm: work for work in oracle if isinstance(work, StudyCell)}
    alphas = {arm: work.options['test']['alpha'] for arm, work in tested.items()}
    assert set(alphas.values()) == {tested['maml_trpo'].training.config.alpha}
    assert tested['pretrained'].training.config.alpha < 1e-6


def test_unknown_names_are_refused_with_the_closest():
    with pytest.raises(UserError, match="did you mean 'promp'"):
        works('meta-curves', methods=('prop',))
    with pytest.raises(UserError, match="did you mean 'point/corner'"):
        works('exploration', tasks=('point/corners',))
    with pytest.raises(UserError, match="did you mean 'alpha'"):
        works('meta-curves', assignments=('alhpa=1',))


def test_an_oracle_sees_the_goal_and_earns_what_others_earn():
    task = load_meta_task(NAVIGATION)
    config = BatchConfig(tasks=2, rollouts=3, horizon=4)
    goals = torch.tensor([[0.5, 0.0], [0.0, -0.5]])
    seen, rewards = [], []
    for one in (task, with_goal_shown(task)):
        env = make_env(one, config)
        seen.append(env.reset(goals, torch.Generator().manual_seed(0)))
        following, reward, _ = env.step(torch.full((2, 3, 2), 0.5))
        rewards.append(reward)
        assert torch.equal(following[..., :2], torch.full((2, 3, 2), 0.05))
    assert torch.equal(rewards[0], rewards[1])
    assert torch.equal(seen[1][..., 2:], goals[:, None].expand(2, 3, 2))


def test_a_study_is_worked_off_and_becomes_a_page_that_its_cells_alone_make_again(tmp_path):
    arms = {'oracle': ('maml_trpo', 'random', 'oracle'), 'meta-curves': ('promp', 'rl2'),
            'gradient-variance': ('lvc_vpg',), 'exploration': ('lvc_trpo',),
            'toy-gradients': ('dice', 'e_maml')}  # fmt: skip
    for name, methods in arms.items():
        tasks = (NAVIGATION,) if name == 'gradient-variance' else ()
        for job in study_jobs(name, Selection(tasks, methods, (0, 1), quick=True)):
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
        written = 'By hand.\n\n' + found[page.stem]
        page.write_text(written)
        assert write_study_pages(page.with_suffix('')) == [page]
        assert page.read_text() == written
        cells = [json.loads(line) for line in (page.with_suffix('') / 'cells.jsonl').open()]
        assert len(cells) == 2 * len(arms[name])
        assert all(cell['command'].startswith(f'mbmrl experiment {name}') for cell in cells)


def test_who_is_shown_the_goal_is_a_line_and_has_no_steps():
    tests = {'training': [-4.0, -1.0, -0.5], 'held_out': [-20.0, -9.0, -2.0]}
    arms = [Arm(name, name, style_of(name), {0: tests, 1: tests}) for name in ('promp', 'oracle')]
    plot, lines = policy_pages.adaptation({'point/navigation': arms})
    for axes, returns in zip(plot.axes, tests.values()):
        steps, oracle = axes.get_lines()[0], axes.get_lines()[-1]
        assert list(steps.get_ydata()) == returns
        # From one side of the plot to the other.
        assert list(oracle.get_ydata()) == [returns[0]] * 2
    rows = [line.split(' | ') for line in lines if 'oracle' in line]
    assert [row[-1].strip(' |') for row in rows] == ['-', '-']
    assert [row[3].startswith(('-4.00', '-20.00')) for row in rows] == [True, True]


def test_a_folder_without_cells_is_named(tmp_path):
    (tmp_path / 'studies').mkdir()
    with pytest.raises(UserError, match='holds no finished cell'):
        write_study_pages(Path(tmp_path))
