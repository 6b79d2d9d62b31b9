# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adaptation on new tasks: what it is measured on, and that it helps."""

import pytest
import torch

from mbmrl_ros.algorithms.promp import INNER, PROMP, ProMPConfig
from mbmrl_ros.algorithms.rl2 import RL2, RL2Config
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.evaluation.meta_policy import adaptation_curve, trial_curve
from mbmrl_ros.training.run import Run

TASK = load_meta_task('point/navigation')
CONFIG = ProMPConfig(
    tasks=20, rollouts=20, horizon=20, iterations=8, hidden_sizes=(8,), learning_rate=1e-2
)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp('run'), CONFIG, {})
    return PROMP.train(TASK, CONFIG, run, 0)


def test_a_policy_adapts_step_by_step_to_tasks_of_training_and_of_outside(bundle):
    config = CONFIG.model_copy(update={'tasks': 30, 'inner_steps': 3, 'rollouts': 10})
    inside, outside = (
        adaptation_curve(bundle, TASK, config, INNER, setting, seed=1)
        for setting in ('training', 'held_out')
    )
    for curve in (inside, outside):
        assert curve.rollouts == [0, 10, 20, 30]
        assert curve.returns.shape == (4, 30)
        summary = curve.summary()
        assert summary['gain'] > 0
        assert summary['return_worst_task'][0] <= summary['return_mean'][0]
    # Goals outside are farther away.
    assert outside.summary()['return_mean'][0] < inside.summary()['return_mean'][0]
    again = adaptation_curve(bundle, TASK, config, INNER, 'training', seed=1)
    assert torch.equal(again.returns, inside.returns)


def test_a_setting_that_is_not_there_is_one_line(bundle):
    with pytest.raises(UserError, match='training or held_out'):
        adaptation_curve(bundle, TASK, CONFIG, INNER, 'test', seed=1)


def test_learned_step_sizes_are_those_of_the_bundle(tmp_path):
    config = CONFIG.model_copy(update={'learn_step_sizes': True, 'iterations': 1})
    bundle = PROMP.train(TASK, config, Run(tmp_path, config, {}), 0)
    none = {
        name: torch.zeros_like(value) if name.startswith('step_sizes/') else value
        for name, value in bundle.tensors.items()
    }
    still = type(bundle)(bundle.info, none)
    moved, fixed = (
        adaptation_curve(each, TASK, config, INNER, 'training', seed=1) for each in (bundle, still)
    )
    assert torch.equal(moved.returns[0], fixed.returns[0])
    assert not torch.allclose(moved.returns[1], fixed.returns[1])


def test_trials_have_a_return_per_episode(tmp_path):
    config = RL2Config(tasks=6, rollouts=2, horizon=5, iterations=1, units=8)
    bundle = RL2.train(TASK, config, Run(tmp_path, config, {}), 0)
    curve = trial_curve(bundle, TASK, config, 4, 'held_out', seed=1)
    assert curve.rollouts == [0, 1, 2, 3]
    assert curve.returns.shape == (4, 6)
