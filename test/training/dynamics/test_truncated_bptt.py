# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Truncated back-propagation through time, and trajectories side by side."""

import pytest
import torch

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.training.dynamics.truncated_bptt import Episodes, truncated_errors
from mbmrl_ros.types import Params, Transitions

STATE, ACTION, ROWS, STEPS = 3, 2, 4, 12
CELLS = pytest.mark.parametrize('cell', ['lstm', 'gru'])


def make(cell: str) -> tuple[RecurrentDynamics, Params]:
    dynamics = RecurrentDynamics(
        STATE, ACTION, (0, 1, 2), (7, 5), Normalizer.identity(STATE), cell=cell
    )
    params = dynamics.init(torch.Generator().manual_seed(0))
    return dynamics, {name: value.requires_grad_() for name, value in params.items()}


def recorded() -> Transitions:
    generator = torch.Generator().manual_seed(1)
    shapes = (STATE, ACTION, STATE)
    return Transitions(*(torch.randn(ROWS, STEPS, n, generator=generator) for n in shapes))


def stepwise_errors(dynamics, params, past: Transitions, cuts: set[int]) -> torch.Tensor:
    """Return the errors by the step that the planner takes; gradients end at the cuts."""
    carry, errors = None, []
    for time in range(STEPS):
        carry = carry.detach() if time in cuts else carry
        state, action = past.states[:, time, None], past.actions[:, time, None]
        carry, following = dynamics.step(params, carry, state, action)
        errors.append((following - past.next_states[:, time, None]).square())
    return torch.cat(errors, 1)


def gradients(params: Params, errors: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(errors.mean(), list(params.values())))


@CELLS
@pytest.mark.parametrize('steps', [STEPS, STEPS + 1, 100])
def test_gradients_that_go_back_to_the_begin_are_those_of_autograd(cell, steps):
    dynamics, params = make(cell)
    errors = truncated_errors(dynamics, params, recorded(), steps)
    plain = stepwise_errors(dynamics, params, recorded(), set())
    torch.testing.assert_close(errors, plain)
    for ours, theirs in zip(gradients(params, errors), gradients(params, plain)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@CELLS
@pytest.mark.parametrize(('steps', 'cuts'), [(1, set(range(1, 12))), (5, {5, 10}), (6, {6})])
def test_shorter_ones_are_cut_and_the_memory_is_not(cell, steps, cuts):
    dynamics, params = make(cell)
    errors = truncated_errors(dynamics, params, recorded(), steps)
    torch.testing.assert_close(errors, truncated_errors(dynamics, params, recorded(), STEPS))
    cut = gradients(params, stepwise_errors(dynamics, params, recorded(), cuts))
    whole = gradients(params, stepwise_errors(dynamics, params, recorded(), set()))
    for ours, theirs in zip(gradients(params, errors), cut):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert not all(torch.allclose(a, b, rtol=1e-2) for a, b in zip(cut, whole))


def trajectory(steps: int, start: float) -> Trajectory:
    states = start + torch.arange(steps + 1.0)[:, None].expand(-1, STATE)
    return Trajectory(states, torch.full((steps, ACTION), start), torch.zeros(steps))


def test_trajectories_of_any_length_lie_side_by_side():
    episodes = Episodes.of([trajectory(4, 10.0), trajectory(2, 20.0)], longest=100)
    whole, real = episodes.at(torch.tensor([0, 1]))
    assert real.tolist() == [[True] * 4, [True, True, False, False]]
    assert whole.states[0, :, 0].tolist() == [10, 11, 12, 13]
    assert whole.next_states[0, :, 0].tolist() == [11, 12, 13, 14]
    assert whole.states[1, :, 0].tolist()[:2] == [20, 21]
    assert all(tensor.isfinite().all() for tensor in whole)
    short, real = episodes.at(torch.tensor([1]))
    assert short.states.shape == (1, 2, STATE) and real.all(), 'no longer than the longest drawn'


def test_those_that_are_too_long_are_cut_and_nothing_is_lost():
    episodes = Episodes.of([trajectory(7, 0.0), trajectory(6, 50.0)], longest=3)
    assert episodes.steps.tolist() == [3, 3, 1, 3, 3]
    whole, real = episodes.at(torch.arange(5))
    assert whole.states[..., 0][real].tolist() == [*range(7), *range(50, 56)]
    assert whole.next_states[..., 0][real].tolist() == [*range(1, 8), *range(51, 57)]


def test_each_is_drawn_at_most_once_in_a_batch_and_all_are_in_time():
    episodes = Episodes.of([trajectory(2, 10.0 * i) for i in range(5)], longest=100)
    generator = torch.Generator().manual_seed(0)
    batches = [episodes.sample(3, generator)[0].states[:, 0, 0].tolist() for _ in range(20)]
    assert all(len(set(batch)) == 3 for batch in batches)
    assert set().union(*batches) == {0, 10, 20, 30, 40}
    assert len(episodes.sample(9, generator)[1]) == 5, 'where there are fewer, all of them'
