# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training settings: the thesis' values by default, and what is out of range is refused."""

import pytest

from mbmrl_ros.config import UserError, parse, read_extended, share_directory
from mbmrl_ros.training.settings import TrainingConfig, load_training_config

TASK = 'half_cheetah/disabled_joint'
FOLDER = share_directory() / 'config' / 'training'

# Half-cheetah, GrBAL and MB, of Clavera's thesis, appendix E, Table 6, in its order: learning
# rate, inner learning rate, epochs, T2, T1, batch, steps per iteration, episode, candidates and
# horizon in training, and in tests.
TABLE_6 = (1e-3, 1e-2, 50, 32, 32, 500, 64_000, 1000, 1000, 10, 2500, 15)


def in_the_order_of_the_table(config: TrainingConfig) -> tuple[float, ...]:
    return (
        config.learning_rate, config.step_size, config.epochs, config.future_steps,
        config.past_steps, config.batch_size, config.rollouts * config.rollout_steps,
        config.rollout_steps, config.planner.candidates, config.planner.horizon,
        config.control_planner.candidates, config.control_planner.horizon,
    )  # fmt: skip


def test_defaults_are_the_values_of_the_thesis():
    config = TrainingConfig()
    assert in_the_order_of_the_table(config) == TABLE_6
    assert config.hidden_sizes == (512, 512, 512)
    assert config.inner_steps == 1


@pytest.mark.parametrize('algorithm', ['grbal', 'mb'])
def test_the_default_file_of_each_algorithm_is_the_table(algorithm):
    config = load_training_config(algorithm, TASK)
    assert in_the_order_of_the_table(config) == TABLE_6
    assert config == TrainingConfig(), 'what is not in the file is at its default'


@pytest.mark.parametrize('path', sorted(FOLDER.rglob('*.yaml')), ids=lambda path: str(path.name))
def test_every_shipped_configuration_is_valid(path):
    parse(TrainingConfig, read_extended(path), str(path))


def test_methods_that_are_compared_get_the_same_data_planner_and_network():
    for variant in (None, 'two_cores'):
        ours, theirs = (load_training_config(name, TASK, variant) for name in ('grbal', 'mb'))
        for name in ('iterations', 'rollouts', 'rollout_steps', 'hidden_sizes', 'planner',
                     'control_planner', 'held_out', 'precision'):  # fmt: skip
            assert getattr(ours, name) == getattr(theirs, name), name


def test_a_configuration_is_found_by_variant_and_by_path(tmp_path):
    assert load_training_config('grbal', TASK, 'two_cores').rollouts < 64
    path = tmp_path / 'mine.yaml'
    path.write_text('epochs: 3\n')
    assert load_training_config('grbal', TASK, str(path)).epochs == 3


def test_assignments_change_single_values():
    changes = ('epochs=7', 'planner.candidates=50', 'hidden_sizes=[8, 8]', 'learning_rate=1e-4')
    config = load_training_config('grbal', TASK, 'two_cores', changes)
    assert (config.epochs, config.planner.candidates) == (7, 50)
    assert (config.hidden_sizes, config.learning_rate) == ((8, 8), 1e-4)
    plain = load_training_config('grbal', TASK, 'two_cores')
    assert config.planner.horizon == plain.planner.horizon, 'the rest of the group stays'


@pytest.mark.parametrize(
    ('assignment', 'said'),
    [
        ('epoch=3', "unknown key 'epoch'; did you mean 'epochs'?"),
        ('planner.candidate=3', "unknown key 'planner.candidate'; did you mean 'candidates'?"),
        ('planner.lambda=3', "unknown key 'planner.lambda'; valid: candidates, horizon,"),
        ('epochs=0', 'epochs: .*greater than or equal to 1, got 0'),
        ('epochs=2.5', 'epochs: .*integer.*, got 2.5'),
        ('learning_rate=-0.1', 'learning_rate: .*greater than or equal to 0, got -0.1'),
        ('learning_rate=.inf', 'learning_rate: .*finite.*, got inf'),
        ('step_size=.nan', 'step_size: .*got nan'),
        ('step_size_learning_rate=-1', 'step_size_learning_rate: .*greater than or equal to 0'),
        ('persistency=1', 'persistency: .*less than 1'),
        ('held_out=0.6', 'held_out: .*less than or equal to 0.5'),
        ('hidden_sizes=[]', 'hidden_sizes: .*at least 1 item'),
        ('hidden_sizes=[8, 0]', 'hidden_sizes.1: .*greater than or equal to 1'),
        ('precision=float16', "precision: .*'float32' or 'bfloat16', got 'float16'"),
        ('planner.horizon=0', 'planner.horizon: .*greater than or equal to 1'),
        ('planner.temperature=0', 'planner.temperature: .*greater than 0'),
        ('planner.kind=cm', "planner.kind: there is no 'cm'; did you mean 'cem'?"),
        ('rollout_steps=63', r'rollout_steps must hold past_steps \+ future_steps'),
        (
            'keep_improvement=0.1',
            r'keep_improvement must be at most accept_improvement \(0\), .* got 0.1',
        ),
        ('newest_steps=-1', 'newest_steps: .*greater than or equal to 0, got -1'),
        ('newest_steps=32', r'newest_steps must be below past_steps \(32\), .* got 32'),
        ('rollouts=9', r'rollouts must be at least 10 .* held out \(held_out: 0.1\)'),
        ('inner_steps=', 'inner_steps: .*got None'),
    ],
)
def test_what_is_unknown_or_out_of_range_is_refused_in_one_line(assignment, said):
    with pytest.raises(UserError, match=f'disabled_joint.yaml: {said}') as caught:
        load_training_config('grbal', TASK, None, (assignment,))
    assert '\n' not in str(caught.value)


def test_few_rollouts_are_enough_if_more_of_them_are_held_out():
    assert TrainingConfig(rollouts=2, held_out=0.5).rollouts == 2
    assert TrainingConfig(rollouts=4, held_out=0.25).rollouts == 4


def test_an_unknown_variant_is_refused_with_the_closest():
    with pytest.raises(UserError, match=r"no training configuration 'two_core' .*'two_cores'"):
        load_training_config('mb', TASK, 'two_core')
    with pytest.raises(UserError, match='cannot read'):
        load_training_config('mb', TASK, 'nowhere.yaml')


def test_a_fit_anew_that_learns_nothing_is_refused():
    with pytest.raises(ValueError, match='the weights would stay as they are drawn'):
        TrainingConfig(reinitialize=True, learning_rate=0)
