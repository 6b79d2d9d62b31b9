# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Baselines of other libraries: same tasks, same rows, bundles that act as their policies do."""

import csv

import numpy as np
import pytest
import torch

from mbmrl_ros.algorithms.model_free import BASELINES, ModelFreeConfig, _model, train
from mbmrl_ros.bundles.policy import build_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.policies.squashed import mode
from mbmrl_ros.training.run import Run

POINT = load_meta_task('point/origin')


@pytest.mark.parametrize('name', BASELINES)
def test_a_bundle_acts_as_the_policy_of_the_library_does(tmp_path, name):
    # An update of PPO and TRPO takes 2048 steps; SAC begins to learn after 100.
    config = ModelFreeConfig(iterations=1, steps=130 if name == 'sac' else 1)
    kept = []

    def keep(*arguments):
        kept.append(_model(*arguments))
        return kept[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mbmrl_ros.algorithms.model_free._model', keep)
        bundle = train(name, POINT, config, Run(tmp_path, config, {}), 0)
    seen = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    theirs, _ = kept[0].predict(seen.numpy(), deterministic=True)
    drawn = build_policy(bundle.info).distribution(bundle.params, seen)
    ours = mode(drawn) if bundle.info.squashed else drawn['mean'].clamp(-1, 1)
    np.testing.assert_allclose(ours.detach(), theirs, atol=1e-6)
    with (tmp_path / 'metrics.csv').open(newline='') as file:
        (row,) = csv.DictReader(file)
    assert float(row['environment_steps']) == (130 if name == 'sac' else 2048)
    # Of 30 steps in the plane, each within 2.83 m and more of the origin.
    assert -800 < float(row['return_policy']) < 0 and float(row['return_mean']) < 0


def test_what_a_baseline_is_not_told_of_is_refused(tmp_path):
    config = ModelFreeConfig()
    with pytest.raises(UserError, match='has goals'):
        train('sac', load_meta_task('point/corner'), config, Run(tmp_path, config, {}), 0)
    other = ModelFreeConfig(normalize_rewards=True)
    with pytest.raises(UserError, match='as they are'):
        train('sac', POINT, other, Run(tmp_path / 'b', other, {}), 0)
