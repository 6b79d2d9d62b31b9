# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Grids: how many cells, what they share, what is left out, what is refused."""

import itertools
import re
from pathlib import Path

import pytest

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.algorithms.adapters import ADAPTATIONS
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import TASKS
from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.jobs import NOT_MODELS, Measurement, Selection, Training
from mbmrl_ros.experiments.plots import PLOTS
from mbmrl_ros.experiments.studies import FIGURES, METHODS, MODELS, slug
from mbmrl_ros.experiments.tables import TABLES

JOINT = 'half_cheetah/disabled_joint'
FAR = [name for name in FIGURES['far'].methods if name.endswith('_far')]
LONG = METHODS['mb_far'].planner


def works(names, **chosen):
    return [job.work for job in expand(names, Selection(**chosen))]


def split(found):
    trainings = [work for work in found if isinstance(work, Training)]
    return trainings, [work for work in found if isinstance(work, Measurement)]


def test_every_figure_names_what_there_is():
    for name, figure in FIGURES.items():
        assert figure.settings and figure.variants and figure.seeds, name
        assert set(figure.methods) <= set(METHODS), name
        assert figure.draw in TABLES and figure.draw in PLOTS, name
        names = [variant.name for variant in figure.variants]
        assert len(set(map(slug, names))) == len(names), name
        assert all(one.test in TASKS[one.task].tests for one in figure.settings), name
        assert works([name], seeds=(0,)), name
    for method in METHODS.values():
        assert method.model in MODELS and method.adaptation in ADAPTATIONS
    for model in MODELS.values():
        assert model.algorithm in (*ALGORITHMS, *NOT_MODELS)
        assert model.start_from in {'', *MODELS}


def test_a_grid_is_settings_times_methods_times_seeds_and_trains_each_model_once():
    methods = ('mb', 'mb_de', 'grbal')
    trainings, measured = split(works(['generalisation'], tasks=(JOINT,), methods=methods))
    # Two tests of this task, three methods, three seeds; MB and MB+DE share a model.
    assert len(measured) == 2 * 3 * 3
    # MB is what collected the first data and went on to more, which GrBAL is fitted to.
    models = ['grbal_more'] * 3 + ['mb'] * 3 + ['mb_more'] * 3
    assert sorted(work.folder.parent.name for work in trainings) == models
    for work in trainings:
        name = {'mb_more': 'mb', 'grbal_more': 'mb_more'}.get(work.folder.parent.name)
        assert (work.source and work.source.folder.parent.name) == name
        assert work.with_data


def test_the_oracle_has_data_of_its_test_alone_after_the_weights_of_mb_with_all_data():
    found = works(['generalisation'], tasks=(JOINT,), methods=('mb', 'mb_oracle'), seeds=(0,))
    trainings, measured = split(found)
    named = {work.folder.parent.name: work for work in trainings}
    ordinary = named['mb_more']
    oracles = {work.test: work.training for work in measured if work.method == 'mb_oracle'}
    assert oracles.keys() == {'mid_run', 'held_out'}
    for test, oracle in oracles.items():
        assert oracle.distribution == f'test:{test}' and ordinary.distribution == ''
        assert oracle.source == ordinary and not oracle.with_data
        # Its fits go on from those weights, and it plans like MB.
        assert not oracle.config.reinitialize and ordinary.config.reinitialize
        assert oracle.config.planner == ordinary.config.planner
        assert oracle.config.control_planner == ordinary.config.control_planner


def test_what_is_collected_with_long_plans_is_fitted_and_driven_with_them():
    methods = ('mb', 'rebal', *FAR)
    trainings, measured = split(works(['far'], methods=methods, seeds=(0,)))
    named = {(work.task, work.folder.parent.name): work for work in trainings}
    for task in {work.task for work in trainings}:
        mb = named[task, 'mb_far']
        made = [work for work in trainings if work.task == task and work.source == mb]
        assert {work.folder.parent.name.split('-')[0] for work in made} == {
            'grbal_far', 'rebal_far', 'mb_oracle_far',
        }  # fmt: skip
        for work in made:
            assert work.config.planner == mb.config.planner
            assert work.config.control_planner == mb.config.control_planner
            # Its weights are taken over; those of a recurrent network are its own.
            network = named[task, 'rebal_more'] if work.algorithm == 'rebal' else mb
            assert work.config.hidden_sizes == network.config.hidden_sizes
            assert work.config.iterations == 4 or work.with_data
        control = mb.config.control_planner.model_dump()
        assert control == mb.config.control_planner.model_copy(update=LONG).model_dump()
    for work in measured:
        assert work.planner == (LONG if work.method in FAR else {})


def test_figures_share_what_they_have_in_common():
    names = ['generalisation', 'recovery']
    chosen = {'tasks': (JOINT,), 'methods': ('mb',), 'seeds': (0,)}
    together = works(names, **chosen)
    apart = [works([name], **chosen) for name in names]
    paths = [work.path for work in together]
    assert len(set(paths)) == len(paths)
    assert set(paths) == {work.path for found in apart for work in found}
    # Both train MB, in two parts, and measure mid_run.
    assert len(paths) == sum(map(len, apart)) - 3


def test_what_is_needed_comes_first():
    done = set()
    for work in works(['generalisation', 'window-size'], tasks=(JOINT,), seeds=(0, 1)):
        assert set(work.needs) <= done, work.title
        done.add(work.path)


def test_a_curve_doubles_its_iterations_and_ends_with_the_last_bundle():
    methods = ('mb_going_on', 'grbal_first')
    chosen = {'tasks': (JOINT,), 'methods': methods, 'seeds': (0,)}
    _, measured = split(works(['learning-curve'], assignments=('iterations=12',), **chosen))
    points = {m: [w.iteration for w in measured if w.method == m] for m in methods}
    # GrBAL starts from MB's run, so that earlier bundles there are not its own.
    assert points == {'mb_going_on': [1, 2, 4, 8, None], 'grbal_first': [None]}
    # MB goes on after twelve iterations.
    _, measured = split(works(['learning-curve'], **chosen | {'methods': ('mb', 'grbal')}))
    points = {m: [w.iteration for w in measured if w.method == m] for m in ('mb', 'grbal')}
    assert points == {'mb': [16, None], 'grbal': [None]}


def test_variants_train_apart_only_where_the_training_differs():
    found = works(['test-time'], tasks=(JOINT,), seeds=(0,))
    trainings, measured = split(found)
    assert len(measured) == 2 * len(FIGURES['test-time'].variants)
    names = [work.folder.parent.name for work in trainings]
    assert sorted(names) == ['grbal_anew', 'grbal_anew-step_sizes_fixed', 'mb', 'mb_anew']
    fixed = next(work for work in trainings if 'fixed' in str(work.folder))
    assert fixed.config.step_size_learning_rate == 0
    # All are fitted to the data of one MB.
    _, mb, *windows = split(works(['window-size'], tasks=(JOINT,), seeds=(0,)))[0]
    assert all(work.source == mb and work.with_data for work in windows)
    assert [work.config.past_steps for work in windows] == [8, 16, 32, 64]
    assert all(work.config.past_steps == work.config.future_steps for work in windows)


def test_what_figures_share_is_measured_at_full_length_and_what_is_their_own_at_theirs():
    def lengths(*names, **chosen):
        found = split(works(names, seeds=(0,), **chosen))[1]
        return {(w.variant.name, w.iteration): (w.episodes, w.steps) for w in found}

    curve = lengths('learning-curve', tasks=(JOINT,), methods=('mb_going_on',))
    assert curve[('', None)] == (10, 1000) and curve[('', 4)] == (5, 1000)
    ants = {'tasks': ('ant/crippled_leg',), 'methods': ('mb',)}
    assert lengths('generalisation', **ants) == {('', None): (20, 500)}
    # A reach is not longer than 100.
    reach = {'tasks': ('pr2_left_arm/reach',), 'methods': ('mb_first',)}
    assert set(lengths('planners', **reach).values()) == {(5, 100)}
    ants = {'tasks': ('ant/crippled_leg',), 'methods': ('mb_first',)}
    assert set(lengths('planner-sweep', **ants).values()) == {(4, 400)}
    assert set(lengths('planner-sweep', episodes=3, steps=70).values()) == {(3, 70)}
    assert set(lengths('planner-sweep', quick=True).values()) == {(2, 150)}


def test_a_training_distribution_is_that_of_mb_too():
    arm = works(['training-distribution'], seeds=(0,), methods=('grbal_first',))
    trainings = [w for w in split(arm)[0] if w.algorithm == 'grbal']
    assert len(trainings) == 5
    for work in trainings:
        assert work.distribution == work.source.distribution
        assert work.config.iterations == work.source.config.iterations == 3
        assert work.source.source.distribution == work.distribution


def test_what_goes_on_collects_more_and_what_is_fitted_to_it_has_as_much():
    chosen = {'tasks': (JOINT,), 'methods': ('mb_first', 'mb', 'grbal'), 'seeds': (0,)}

    def iterations(*assignments):
        found, _ = split(works(['data'], assignments=assignments, **chosen))
        return {work.folder.parent.name: work.config.iterations for work in found}

    assert iterations() == {'mb': 12, 'mb_anew': 12, 'mb_more': 24, 'grbal_more': 24}
    assert iterations('mb:iterations=3') == {
        'mb': 3, 'mb_anew': 3, 'mb_more': 24, 'grbal_more': 24,
    }  # fmt: skip


def test_what_is_not_trained_has_no_training_seeds():
    chosen = {'tasks': (JOINT,), 'methods': ('true_physics',), 'seeds': (1, 2)}
    assert {work.training.seed for work in split(works(['true-physics'], **chosen))[1]} == {1}


def test_the_script_runs_every_figure():
    script = Path(__file__).parents[2] / 'benchmarks' / 'adaptation.sh'
    found = re.search(r'for name in (.*?); do', script.read_text(), re.DOTALL)
    names = found.group(1).replace('\\', '').split()
    assert sorted(names) == sorted(FIGURES)


def test_the_sweep_has_every_combination_of_its_three_parameters():
    variants = FIGURES['planner-sweep'].variants
    found = {tuple(variant.planner.values()) for variant in variants}
    sides = [sorted(set(values)) for values in zip(*found)]
    assert found == set(itertools.product(*sides)) and len(variants) == len(found) == 27


def test_settings_go_to_all_models_or_to_one():
    assignments = ('batch_size=7', 'grbal_more:epochs=3', 'mb_oracle:iterations=7', 'iterations=4')
    found, _ = split(works(['generalisation'], tasks=(JOINT,), assignments=assignments))
    configs = {work.folder.parent.name: work.config for work in found}
    assert all(config.batch_size == 7 for config in configs.values())
    assert configs['grbal_more'].epochs == 3 and configs['mb'].epochs != 3
    assert configs['mb'].iterations == 4
    assert configs['mb_oracle-held_out'].iterations == 7


@pytest.mark.parametrize(
    ('names', 'chosen', 'said'),
    [
        (['generalization'], {}, "did you mean 'generalisation'"),
        (['recovery'], {'methods': ('grbl',)}, "did you mean 'grbal'"),
        (['recovery'], {'tasks': ('half_cheetah/disabled_join',)}, f'did you mean {JOINT!r}'),
        (['recovery'], {'assignments': ('epcohs=3',)}, "did you mean 'epochs'"),
        (['recovery'], {'assignments': ('grbal_mor:epochs=3',)}, "did you mean 'grbal_more'"),
        # It would change nothing.
        (['recovery'], {'assignments': ('grbal:epochs=3',)}, "no model 'grbal' is trained"),
        (['fit'], {'assignments': ('mb_anew:iterations=3',)}, 'after 12 iterations'),
        (['recovery'], {'assignments': ('grbal_more:iterations=3',)}, 'after 24 iterations'),
        (['data'], {'assignments': ('mb_more:iterations=6',)}, 'after 12 iterations'),
    ],
)
def test_unknown_names_are_refused_with_the_closest(names, chosen, said):
    with pytest.raises(UserError, match=said):
        expand(names, Selection(**chosen))


def test_the_command_of_a_cell_asks_for_it_again():
    chosen = Selection(tasks=(JOINT,), seeds=(2,), assignments=('epochs=3',), episodes=4)
    jobs = expand(['recovery'], chosen)
    job = next(j for j in jobs if isinstance(j.work, Measurement) and j.work.method == 'mb_de')
    words = job.command.split()
    assert words[:3] == ['mbmrl', 'experiment', 'recovery']
    alone = Selection((JOINT,), ('mb_de',), (2,), ('epochs=3',), episodes=4)
    assert words[3:] == ['--tasks', JOINT, '--methods', 'mb_de', '--seeds', '2',
                         '--set', 'epochs=3', '--episodes', '4']  # fmt: skip
    assert job.work.path in {one.work.path for one in expand(['recovery'], alone)}
