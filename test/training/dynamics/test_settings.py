# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training settings: the thesis' values by default, and what is out of range is refused."""

import pytest

from mbmrl_ros import config
from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS
from mbmrl_ros.algorithms.grbal import GrBALConfig
from mbmrl_ros.algorithms.mb import MBConfig
from mbmrl_ros.config import UserError, former_names, override, parse
from mbmrl_ros.training.recipes import load_recipe

TASK = 'half_cheetah/disabled_joint'

# Half-cheetah, GrBAL and MB, of Clavera's thesis, appendix E, Table 6, in its order: learning
# rate, inner learning rate, epochs, T2, T1, batch, steps per iteration, episode, candidates and
# horizon in training, and in tests.
TABLE_6 = (1e-3, 1e-2, 50, 32, 32, 500, 64_000, 1000, 1000, 10, 2500, 15)


def in_the_order_of_the_table(config: GrBALConfig) -> tuple[float, ...]:
    return (
        config.learning_rate, config.step_size, config.epochs, config.future_steps,
        config.past_steps, config.batch_size, config.rollouts * config.rollout_steps,
        config.rollout_steps, config.planner.candidates, config.planner.horizon,
        config.control_planner.candidates, config.control_planner.horizon,
    )  # fmt: skip


def test_defaults_are_the_values_of_the_thesis():
    config = GrBALConfig()
    assert in_the_order_of_the_table(config) == TABLE_6
    assert config.hidden_sizes == (512, 512, 512)
    assert config.inner_steps == 1
    # What algorithms share has the same default everywhere.
    for name in LEARNERS:
        theirs = ALGORITHMS[name].Config().model_dump()
        ours = config.model_dump()
        assert {k: theirs[k] for k in theirs & ours.keys()} == {
            k: ours[k] for k in theirs & ours.keys()
        }


def test_an_algorithm_takes_its_own_settings_alone():
    for name in ('inner_steps', 'step_size', 'recurrent', 'actuator_gain_range'):
        assert name not in MBConfig.model_fields
    with pytest.raises(UserError, match="unknown key 'inner_steps'"):
        parse(MBConfig, {'inner_steps': 2}, 'mine.yaml')


def test_keys_of_before_are_read_and_what_they_are_called_now_is_said(caplog):
    former = {
        'held_out': 0.25, 'fit_anew': True, 'turn_about_vertical': True, 'own_drift': 0.1,
        'own_turns': {'r': 1.0}, 'sensor_offsets': {'z': 0.1}, 'motor_gains': 0.5,
        'motor_offsets': 0.25, 'motor_step_size': 0.5, 'minimum_gain': 0.25, 'gain_to_keep': 0.125,
        'prior_share': 0.75, 'adapts': 'inputs',
    }  # fmt: skip
    present = {
        'validation_fraction': 0.25, 'reinitialize': True, 'yaw_augmentation': True,
        'velocity_bias': 0.1, 'yaw_rate_bias': {'r': 1.0}, 'sensor_bias_std': {'z': 0.1},
        'actuator_gain_range': 0.5, 'actuator_bias_range': 0.25, 'actuator_step_size': 0.5,
        'accept_improvement': 0.25, 'keep_improvement': 0.125, 'unadapted_loss_weight': 0.75,
        'adapted_parameters': 'input_scale',
    }  # fmt: skip
    config._tell.cache_clear()  # it says each once
    assert parse(GrBALConfig, former, 'mine.yaml') == GrBALConfig(**present)
    said = caplog.text
    for old, new in zip(former, present):
        assert f' is called {new} now' in said and f'{former_of(new)} is called' in said, old
    # One said later overrides one said before, whichever its name.
    changed = override({'accept_improvement': 0.5}, ['minimum_gain=0.25'])
    assert parse(GrBALConfig, changed, '--set').accept_improvement == 0.25


def former_of(name: str) -> str:
    return next(old for old, new in former_names(GrBALConfig).items() if new == name)


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
        ('validation_fraction=0.6', 'validation_fraction: .*less than or equal to 0.5'),
        ('hidden_sizes=[]', 'hidden_sizes: .*at least 1 item'),
        ('hidden_sizes=[8, 0]', 'hidden_sizes.1: .*greater than or equal to 1'),
        ('precision=float16', "precision: got 'float16'; did you mean 'bfloat16'. valid: auto,"),
        ('planner.horizon=0', 'planner.horizon: .*greater than or equal to 1'),
        ('planner.temperature=0', 'planner.temperature: .*greater than 0'),
        ('planner.kind=cm', "planner.kind: there is no 'cm'; did you mean 'cem'?"),
        ('rollout_steps=63', r'rollout_steps must hold past_steps \+ future_steps'),
        (
            'keep_improvement=0.1',
            r'keep_improvement must be at most accept_improvement \(0\), .* got 0.1',
        ),
        ('rollouts=9', r'rollouts must be at least 10 .* \(validation_fraction: 0.1\)'),
        ('inner_steps=', 'inner_steps: .*got None'),
    ],
)
def test_what_is_unknown_or_out_of_range_is_refused_in_one_line(assignment, said):
    with pytest.raises(UserError, match=f'disabled_joint.yaml: {said}') as caught:
        load_recipe(GrBALConfig, 'grbal', TASK, 'paper', (assignment,))
    assert '\n' not in str(caught.value)


def test_few_rollouts_are_enough_if_more_of_them_are_for_validation():
    assert MBConfig(rollouts=2, validation_fraction=0.5).rollouts == 2
    assert MBConfig(rollouts=4, validation_fraction=0.25).rollouts == 4


def test_a_fit_anew_that_learns_nothing_is_refused():
    with pytest.raises(ValueError, match='the weights would stay as they are drawn'):
        MBConfig(reinitialize=True, learning_rate=0)
