# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The meta-objective; its gradient is tested in test/adaptation/test_gradient.py."""

import pytest
import torch

from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.training.dynamics.augment import with_actuator_biases, with_actuator_gains
from mbmrl_ros.training.dynamics.meta_loss import (
    adapt,
    losses_before_and_after,
    meta_loss,
)
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


def motors(seed: int, gains: torch.Tensor, past: int, future: int) -> list[Transitions]:
    """Simulate s' = 0.9 s + motors' gains times actions, as a past and a future window per row."""
    generator = torch.Generator().manual_seed(seed)
    rows, count = gains.shape
    actions = torch.rand(rows, past + future, count, generator=generator) * 2 - 1
    states = [torch.randn(rows, count, generator=generator)]
    for step in range(past + future):
        states.append(0.9 * states[-1] + gains * actions[:, step])
    trajectory = torch.stack(states, 1)
    whole = Transitions(trajectory[:, :-1], actions, trajectory[:, 1:])
    return [
        Transitions(*(tensor[:, :past] for tensor in whole)),
        Transitions(*(tensor[:, past:] for tensor in whole)),
    ]


def test_virtual_motor_gains_are_motors_of_these_gains():
    past, future = motors(0, torch.ones(500, 3), past=4, future=2)
    generator = torch.Generator().manual_seed(0)
    new_past, new_future = with_actuator_gains(past, future, 1.5, generator)
    gains = past.actions / new_past.actions
    # The same motor at every step of both windows, and motors and rows of their own.
    torch.testing.assert_close(gains, gains[:, :1].expand_as(gains), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        future.actions / new_future.actions, gains[:, :2], rtol=1e-5, atol=0
    )
    for before, after in ((past, new_past), (future, new_future)):
        assert torch.equal(after.states, before.states)
        assert torch.equal(after.next_states, before.next_states)
        predicted = 0.9 * after.states + gains[:, :1] * after.actions
        torch.testing.assert_close(predicted, after.next_states, rtol=1e-4, atol=1e-5)
    logs = gains[:, 0].log()
    changed = logs.abs() > 1e-4
    # 1500 motors, of which half are changed: a deviation of 19. log g is U(-1.5, 1.5).
    assert abs(int(changed.sum()) - 750) < 5 * 19
    assert logs.abs().max() <= 1.5 + 1e-5
    assert float(logs[changed].std()) == pytest.approx(1.5 / 3**0.5, rel=0.1)
    assert abs(float(logs[changed].mean())) < 5 * 0.87 / 750**0.5


def test_no_spread_of_gains_changes_nothing():
    past, future = motors(0, torch.ones(5, 3), past=4, future=2)
    same = with_actuator_gains(past, future, 0.0, torch.Generator().manual_seed(0))
    for before, after in zip((past, future), same):
        assert torch.equal(before.actions, after.actions)


def test_virtual_motor_offsets_are_motors_that_are_pulled_by_a_constant():
    past, future = motors(0, torch.ones(500, 3), past=4, future=2)
    generator = torch.Generator().manual_seed(0)
    new_past, new_future = with_actuator_biases(past, future, 0.6, generator)
    offsets = past.actions - new_past.actions
    # The same constant at every step of both windows, and rows and motors of their own.
    torch.testing.assert_close(offsets, offsets[:, :1].expand_as(offsets), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        future.actions - new_future.actions, offsets[:, :2], rtol=0, atol=1e-6
    )
    for after in (new_past, new_future):
        predicted = 0.9 * after.states + after.actions + offsets[:, :1]
        torch.testing.assert_close(predicted, after.next_states, rtol=1e-4, atol=1e-5)
    drawn = offsets[:, 0]
    changed = drawn.abs().max(1).values > 1e-6
    # 500 rows, of which half are changed: a deviation of 11. The offsets are U(-0.6, 0.6).
    assert abs(int(changed.sum()) - 250) < 5 * 11
    assert drawn.abs().max() <= 0.6 + 1e-6
    assert float(drawn[changed].std()) == pytest.approx(0.6 / 3**0.5, rel=0.1)
