# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: all are valid, the paper's are the paper's, and what is not there is answered."""

from fnmatch import fnmatchcase

import pytest

from mbmrl_ros.algorithms import (
    ALGORITHMS,
    LEARNERS,
    META_POLICY_SEARCH,
    MODEL_BASED_SEARCH,
)
from mbmrl_ros.config import UserError, read_extended, share_directory
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS
from mbmrl_ros.training.dynamics.settings import check_start
from mbmrl_ros.training.recipes import load_recipe, read_recipe, recipe_names

TASK = 'half_cheetah/disabled_joint'
FOLDER = share_directory() / 'config' / 'training'
FILES = {str(p.relative_to(FOLDER).with_suffix('')): p for p in FOLDER.rglob('*.yaml')}
RECIPES = {'default', 'paper', 'from_mb', 'far', 'code'}

# Half-cheetah, GrBAL and MB, of Clavera's thesis, appendix E, Table 6, in its order: learning
# rate, epochs, T2, T1, batch, steps per iteration, episode, candidates and horizon in training,
# and in tests.
TABLE_6 = (1e-3, 50, 32, 32, 500, 64_000, 1000, 1000, 10, 2500, 15)

# A task as a robot file has it.
GO = '{description: go, episode_steps: 50, reward: [{term: forward_velocity, channel: x}]}'


def load(algorithm, name=None, *assignments, task=TASK):
    return load_recipe(ALGORITHMS[algorithm].Config, algorithm, task, name, assignments)


def in_the_order_of_the_table(config):
    return (
        config.learning_rate, config.epochs, config.future_steps,
        config.past_steps, config.batch_size, config.rollouts * config.rollout_steps,
        config.rollout_steps, config.planner.candidates, config.planner.horizon,
        config.control_planner.candidates, config.control_planner.horizon,
    )  # fmt: skip


@pytest.mark.parametrize('algorithm', LEARNERS)
def test_the_recipe_of_the_paper_is_its_table_and_so_are_the_defaults(algorithm):
    config = load(algorithm, 'paper')
    assert in_the_order_of_the_table(config) == TABLE_6
    assert config == ALGORITHMS[algorithm].Config(), (
        'what the recipe does not say is at its default'
    )


@pytest.mark.parametrize('task', FILES)
def test_every_recipe_is_valid_for_the_algorithms_that_it_names(task):
    recipes = read_extended(FILES[task])
    assert set(recipes) <= RECIPES and 'default' in recipes
    for parts in recipes.values():
        for name in set(parts) - {'extends', 'all'}:
            assert any(fnmatchcase(algorithm, name) for algorithm in ALGORITHMS), name
    for algorithm in ALGORITHMS:
        names = recipe_names(recipes, algorithm)
        assert 'default' in names or not names
        for name in names:
            config = load(algorithm, name, task=task)
            if name == 'default':
                check_start(config, None)
    of_models = [name in LEARNERS for name in ALGORITHMS if recipe_names(recipes, name)]
    both = (*META_POLICY_SEARCH, *MODEL_BASED_SEARCH)
    others = (META_POLICY_SEARCH, MODEL_BASED_SEARCH, both)
    assert of_models in ([True] * len(LEARNERS), *([False] * len(each) for each in others))


def test_every_file_is_of_a_task_and_there_are_few():
    others = {'policies', 'own_robot', 'recordings', 'millirobot/recordings'}
    assert set(FILES) - others <= set(TASKS) | set(POLICY_TASKS)
    assert len(list(FOLDER.rglob('*.yaml'))) <= 40


@pytest.mark.parametrize('name', ['default', 'far', 'paper'])
def test_methods_that_are_compared_get_the_same_data_planner_and_network(name):
    ours, theirs = (load(algorithm, name) for algorithm in ('grbal', 'mb'))
    for key in ('iterations', 'rollouts', 'rollout_steps', 'hidden_sizes', 'planner',
                'control_planner', 'validation_fraction', 'precision'):  # fmt: skip
        assert getattr(ours, key) == getattr(theirs, key), key


def test_a_recipe_is_upon_the_one_that_it_extends():
    default, on_mb, far = (load('grbal', name) for name in ('default', 'from_mb', 'far'))
    assert on_mb.planner == default.planner and on_mb.rollouts == default.rollouts
    assert (default.learning_rate, on_mb.learning_rate, far.learning_rate) == (0.0003, 0, 0)
    assert (far.planner.horizon, far.past_steps) == (40, on_mb.past_steps)
    # A planner of another kind replaces the one that was there.
    reach, block = (
        load('mb', task=f'pr2_left_arm/{task}').control_planner
        for task in ('reach', 'block_stacking')
    )
    assert (reach.kind, block.kind) == ('cem', 'mppi')


def test_without_a_name_it_is_the_default_and_a_task_without_a_file_has_those_of_the_class():
    assert load('grbal') == load('grbal', 'default') != load('grbal', 'paper')
    assert load('grbal', task='my_robot/walk') == ALGORITHMS['grbal'].Config()
    with pytest.raises(UserError, match=r'no recipes for half_cheetah/walk; .*--config FILE'):
        load('grbal', 'paper', task='half_cheetah/walk')


def test_a_robot_of_ones_own_is_trained_in_minutes_and_by_the_paper_where_asked(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(f'extends: diff_drive.yaml\nname: mine\ntasks: {{go: {GO}}}\n')
    for algorithm in map(ALGORITHMS.get, LEARNERS):
        task = algorithm.load_task('go', str(path))
        config = algorithm.settings(task, None, ('epochs=3',))
        assert (config.iterations * config.rollouts * config.rollout_steps, config.epochs) == (
            16_000,
            3,
        )
        assert algorithm.settings(task, 'paper', ()) == algorithm.Config()
    sac = ALGORITHMS['sac']
    assert sac.settings(sac.load_task('go', str(path)), None, ()) == sac.Config()
    # A shipped robot's task without a file has the defaults of the class still.
    mb = ALGORITHMS['mb']
    assert mb.settings(mb.load_task('published/arm_7dof_force', ''), None, ()) == mb.Config()


def test_a_file_of_ones_own_has_settings_or_recipes(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('epochs: 3\nplanner: {candidates: 7}\n')
    assert load('mb', str(path)).epochs == load('grbal', str(path)).epochs == 3
    path.write_text('default: {all: {epochs: 4}, mb: {batch_size: 9}, grbal: {}}\n')
    assert (load('mb', str(path)).epochs, load('mb', str(path)).batch_size) == (4, 9)
    assert load('grbal', str(path)).epochs == 4
    with pytest.raises(UserError, match='rebal'):
        load('rebal', str(path))
    with pytest.raises(UserError, match='cannot read'):
        load('mb', 'nowhere.yaml')


@pytest.mark.parametrize(
    ('recipes', 'said'),
    [
        ('default: {extends: default, mb: {}}', "'default' extends itself: default -> default"),
        ('default: {extends: papr, mb: {}}', "'default' extends 'papr', which there is not"),
        ('default: {extends: [paper], mb: {}}', 'extends needs the name of a recipe'),
        ('default: {mb: 3}', "recipe 'default': mb needs a mapping of settings, got 3"),
        ('{default: {mb: {}}, paper: 3}', "recipe 'paper' needs settings by algorithm"),
    ],
)
def test_recipes_that_extend_nothing_or_themselves_are_refused(recipes, said, tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(recipes)
    with pytest.raises(UserError, match=said):
        read_recipe('mb', TASK, str(path))


@pytest.mark.parametrize(
    ('algorithm', 'name', 'said'),
    [
        ('grbal', 'two_cores', '--config two_cores is called default now; valid: default,'),
        ('grbal', 'from_far', '--config from_far is called far now'),
        ('mb', 'anew', r'--config anew is for experiments alone now \(mbmrl experiment'),
        ('mb', 'defualt', "no recipe 'defualt'; did you mean 'default'"),
        ('mb', 'from_mb', r"no recipe 'from_mb'; .*\(mb, .*disabled_joint.yaml\)"),
    ],
)
def test_a_recipe_that_there_is_not_is_answered_in_one_line(algorithm, name, said):
    with pytest.raises(UserError, match=said) as caught:
        load(algorithm, name)
    assert '\n' not in str(caught.value)


def test_assignments_change_single_values():
    changes = ('epochs=7', 'planner.candidates=50', 'hidden_sizes=[8, 8]', 'learning_rate=1e-4')
    config = load('grbal', None, *changes)
    assert (config.epochs, config.planner.candidates) == (7, 50)
    assert (config.hidden_sizes, config.learning_rate) == ((8, 8), 1e-4)
    assert config.planner.horizon == load('grbal').planner.horizon, 'the rest of the group stays'


def test_a_task_whose_file_names_no_policies_has_the_recipes_of_all_policies():
    search = ALGORITHMS['maac']
    own = load_recipe(search.Config, 'maac', 'half_cheetah/disabled_joint', None, (), 'policies')
    usual = load_recipe(search.Config, 'maac', 'half_cheetah/gymnasium', None, (), 'policies')
    assert own == usual != search.Config()
    assert read_recipe('trpo', 'half_cheetah/disabled_joint').settings == {}
    with pytest.raises(UserError, match=r"no recipe 'far'.*policies\.yaml"):
        read_recipe('maac', 'half_cheetah/disabled_joint', 'far', 'policies')
