# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One fit to an objective, and what is said where its steps overshoot."""

import math

import pytest
import torch

from mbmrl_ros.training.dynamics.fit_model import OVERSHOOT, Objective, fit_objective
from mbmrl_ros.training.dynamics.settings import FitConfig
from mbmrl_ros.training.dynamics.train_state import TrainState

CONFIG = FitConfig(epochs=20, learning_rate=0.1)


def fit(objective: Objective, weight: torch.Tensor):
    optimiser = torch.optim.Adam([{'params': [weight], 'lr': CONFIG.learning_rate}])
    state = TrainState({'weight': weight}, {}, optimiser)
    return fit_objective(objective, state, CONFIG, 'a fit')


@pytest.mark.parametrize(
    ('adapted', 'warns'),
    [(0.5, False), (OVERSHOOT, False), (1.01 * OVERSHOOT, True), (math.nan, True)],
)
def test_steps_that_make_the_model_worse_from_the_start_are_said(adapted, warns, capsys):
    weight = torch.ones(1, requires_grad=True)
    objective = Objective(lambda: weight.square().sum(), lambda: adapted, 5, lambda: 1.0)
    result = fit(objective, weight)
    assert len(result.training) > 0, 'it is said, not refused'
    said = capsys.readouterr().out
    assert ('warning: adapted with these step sizes' in said) == warns
    assert ('1.0000 without adapting; choose a smaller step_size' in said) == warns
    assert ('never had a finite validation loss' in said) == math.isnan(adapted)


def test_a_fit_descends_in_place_and_without_steps_there_is_nothing_to_say(capsys):
    weight = torch.ones(1, requires_grad=True)

    def loss() -> torch.Tensor:
        return weight.square().sum()

    result = fit(Objective(loss, lambda: loss().item(), 5), weight)
    # Adam moves by at most the learning rate per update: from 1 to about 0 in ten, of 100.
    assert result.validation[0] == 1.0
    assert loss().item() == min(result.validation) < 0.01
    assert 'warning' not in capsys.readouterr().out
