# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The meta-objective; its gradient is tested in test/adaptation/test_gradient.py."""

import pytest
import torch

from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.training.meta import adapt, losses_before_and_after, meta_loss
from mbmrl_ros.types import Transitions

DYNAMICS = MLPDynamics(3, 2, (0, 1, 2), (16,), Normalizer.identity(3))
PARAMS = DYNAMICS.init(torch.Generator().manual_seed(0))
SIZES = uniform_step_sizes(PARAMS, 0.1)


def window(steps: int, seed: int) -> Transitions:
    generator = torch.Generator().manual_seed(seed)
    return Transitions(*(torch.randn(5, steps, n, generator=generator) for n in (3, 2, 3)))


@pytest.mark.parametrize(('past', 'future'), [(8, 8), (8, 3), (2, 9)])
@pytest.mark.parametrize('steps', [1, 2])
def test_the_loss_is_on_the_future_after_adapting_to_the_past(past, future, steps):
    before, after = window(past, 1), window(future, 2)
    adapted = adapt(DYNAMICS.loss, PARAMS, SIZES, before, steps, create_graph=False)
    expected = DYNAMICS.loss(adapted, after)
    loss = meta_loss(DYNAMICS.loss, PARAMS, SIZES, before, after, steps)
    torch.testing.assert_close(loss, expected.mean())
    unadapted, with_adaptation = losses_before_and_after(
        DYNAMICS.loss, PARAMS, SIZES, before, after, steps
    )
    torch.testing.assert_close(with_adaptation, expected)
    torch.testing.assert_close(unadapted, DYNAMICS.loss(PARAMS, after))


def test_what_is_not_trained_holds_no_graph():
    leaves = {name: value.clone().requires_grad_() for name, value in PARAMS.items()}
    adapted = adapt(DYNAMICS.loss, leaves, SIZES, window(4, 1), 3, create_graph=False)
    assert not any(value.requires_grad for value in adapted.values())
    losses = losses_before_and_after(DYNAMICS.loss, leaves, SIZES, window(4, 1), window(4, 2))
    assert not any(loss.requires_grad for loss in losses)
    assert all(value.grad is None for value in leaves.values())
