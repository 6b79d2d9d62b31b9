# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Errors of models over the horizon, on models whose errors are known."""

import torch

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.evaluation.model_errors import horizon_errors
from mbmrl_ros.models.ensemble import Ensemble, EnsembleDynamics
from mbmrl_ros.models.normalizer import Normalizer


def test_an_error_that_adds_up_step_by_step_is_shown_for_each_model():
    """Model e drifts by 0.5 e per step: after h steps it is 0.5 e h off."""
    identity = Normalizer.identity(2)
    dynamics = EnsembleDynamics(3, 2, 1, (0, 1), (), identity)
    drift = 0.5 * torch.arange(3.0)[:, None].expand(-1, 2)
    params = {'weight0': torch.zeros(3, 2, 3), 'bias0': drift.clone()}
    # The second rollout is too short for the longest horizon.
    still = [Trajectory(torch.zeros(n + 1, 2), torch.zeros(n, 1), torch.zeros(n)) for n in (25, 7)]
    found = horizon_errors(Ensemble(dynamics, params), still)
    assert found.horizons == [1, 2, 5, 10, 20]
    steps = torch.tensor(found.horizons, dtype=torch.float32)
    torch.testing.assert_close(found.errors, steps[:, None] * drift[:, 0])
    # About their mean 0.5 h the three are 0.5 h, 0 and 0.5 h off.
    torch.testing.assert_close(found.disagreement, steps * 0.5 * (2 / 3) ** 0.5)
