# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ReBAL's memory: what really happened, in the order in which it did, and nothing else."""

import pytest
import torch

from mbmrl_ros.adaptation.recurrent import RecurrentAdapter
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.types import Transitions

STATE, ACTION, ROWS, PAST = 3, 2, 4, 5
ALL = torch.ones(ROWS, dtype=torch.bool)
BOTH = pytest.mark.parametrize('span', ['window', 'episode'])
CELLS = pytest.mark.parametrize('cell', ['lstm', 'gru'])


def make(span: str, cell: str = 'lstm') -> RecurrentAdapter:
    dynamics = RecurrentDynamics(
        STATE, ACTION, (1, 2), (8, 6), Normalizer.identity(STATE), cell=cell
    )
    params = dynamics.init(torch.Generator().manual_seed(0))
    return RecurrentAdapter(dynamics, params, span, PAST)


def episode(steps: int = 14, seed: int = 0) -> Transitions:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(ROWS, steps + 1, STATE, generator=generator)
    actions = torch.rand(ROWS, steps, ACTION, generator=generator) * 2 - 1
    return Transitions(states[:, :-1], actions, states[:, 1:])


def part(transitions: Transitions, begin: int, end: int) -> Transitions:
    """Return transitions begin to end, NaN where begin is before the first."""
    missing = max(0, -begin)

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        unknown = torch.full((ROWS, missing, tensor.shape[-1]), torch.nan)
        return torch.cat([unknown, tensor[:, max(0, begin) : end]], 1)

    return Transitions(*map(cut, transitions))


def unrolled(adapter: RecurrentAdapter, past: Transitions) -> tuple[torch.Tensor, torch.Tensor]:
    """Return carry and errors [B, T] as training computes them."""
    empty = adapter.dynamics.empty(ROWS)
    carry, errors = adapter.dynamics.unroll(adapter.params, empty, past)
    return carry, errors.mean(2)


def drive(adapter: RecurrentAdapter, happened: Transitions, ticks: list[int]):
    """Adapt at some ticks, tick t coming after t transitions; yield tick and result."""
    memory = adapter.initial(ROWS)
    for tick in ticks:
        memory, adapted = adapter.adapt(memory, part(happened, tick - PAST, tick), ALL)
        yield tick, adapted


@BOTH
@CELLS
def test_equal_windows_give_equal_memories_in_training_and_on_the_robot(span, cell):
    adapter, past = make(span, cell), part(episode(), 0, PAST)
    _, adapted = adapter.adapt(adapter.initial(ROWS), past, ALL)
    carry, errors = unrolled(adapter, past)
    torch.testing.assert_close(adapted.carry, carry)
    torch.testing.assert_close(adapted.loss_after, errors.mean(1))
    alone = adapter.dynamics.loss(adapter.params, past)
    torch.testing.assert_close(adapted.loss_before, alone)
    assert adapted.params is adapter.params
    assert adapted.accepted.all() and not adapted.refused.any()
    assert not adapted.carry.requires_grad


@CELLS
def test_a_window_is_all_that_a_window_remembers(cell):
    adapter = make('window', cell)
    for tick, adapted in drive(adapter, episode(), list(range(PAST, 15))):
        carry, errors = unrolled(adapter, part(episode(), tick - PAST, tick))
        torch.testing.assert_close(adapted.carry, carry)
        torch.testing.assert_close(adapted.loss_after, errors.mean(1))


@CELLS
def test_an_episode_is_remembered_from_its_first_transition(cell):
    adapter = make('episode', cell)
    _, errors = unrolled(adapter, episode())
    for tick, adapted in drive(adapter, episode(), list(range(15))):
        expected = adapter.dynamics.empty(ROWS)
        if tick:
            expected, _ = unrolled(adapter, part(episode(), 0, tick))
        torch.testing.assert_close(adapted.carry, expected)
        if tick >= PAST:
            # As they were predicted when they came, not with what is known now.
            torch.testing.assert_close(adapted.loss_after, errors[:, tick - PAST : tick].mean(1))


@BOTH
def test_before_there_is_a_whole_window_there_is_a_memory_but_no_loss(span):
    adapter = make(span)
    attempted = torch.tensor([False, True, False, True])
    past = part(episode(), 3 - PAST, 3)
    whole = part(episode(), 0, PAST)
    mixed = Transitions(
        *(torch.where(attempted[:, None, None], b, a) for a, b in zip(past, whole))
    )
    _, adapted = adapter.adapt(adapter.initial(ROWS), mixed, attempted)
    short, full = unrolled(adapter, part(episode(), 0, 3))[0], unrolled(adapter, whole)[0]
    torch.testing.assert_close(adapted.carry[~attempted], short[~attempted])
    torch.testing.assert_close(adapted.carry[attempted], full[attempted])
    for loss in (adapted.loss_before, adapted.loss_after):
        assert torch.equal(loss.isnan(), ~attempted)
    assert torch.equal(adapted.accepted, attempted) and not adapted.refused.any()


@CELLS
def test_an_episode_goes_on_over_periods_that_were_missed(cell):
    adapter = make('episode', cell)
    for tick, adapted in drive(adapter, episode(), [1, 3, 4, 8, 13]):
        carry, errors = unrolled(adapter, part(episode(), 0, tick))
        torch.testing.assert_close(adapted.carry, carry)
        if tick >= PAST:
            torch.testing.assert_close(adapted.loss_after, errors[:, -PAST:].mean(1))


def test_where_the_window_does_not_reach_back_the_memory_begins_anew_with_it():
    adapter = make('episode')
    *_, (tick, adapted) = drive(adapter, episode(), [5, 6, 12])
    torch.testing.assert_close(
        adapted.carry, unrolled(adapter, part(episode(), tick - PAST, tick))[0]
    )


def test_an_episode_ends_where_the_robot_is_put_somewhere_else():
    adapter = make('episode')
    memory = adapter.initial(ROWS)
    for tick in range(8):
        memory, _ = adapter.adapt(memory, part(episode(), tick - PAST, tick), ALL)
    # Of rows 0 and 1 the history was cleared, and one transition has come since.
    gone = torch.tensor([True, True, False, False])
    going_on, anew = part(episode(), 8 - PAST, 8), part(episode(seed=1), 1 - PAST, 1)
    window = Transitions(*(torch.where(gone[:, None, None], a, b) for a, b in zip(anew, going_on)))
    memory, adapted = adapter.adapt(memory, window, ~gone)
    torch.testing.assert_close(
        adapted.carry[:2], unrolled(adapter, part(episode(seed=1), 0, 1))[0][:2]
    )
    torch.testing.assert_close(adapted.carry[2:], unrolled(adapter, part(episode(), 0, 8))[0][2:])


@BOTH
def test_rows_do_not_influence_each_other(span):
    adapter = make(span)
    other = episode()
    for tensor in other:
        tensor[1] += 3.0
    other.actions[2, 9] = torch.nan
    pairs = zip(drive(adapter, episode(), list(range(15))), drive(adapter, other, list(range(15))))
    for (tick, first), (_, second) in pairs:
        assert torch.equal(first.carry[[0, 3]], second.carry[[0, 3]])
        if tick >= PAST:
            assert torch.equal(first.loss_after[[0, 3]], second.loss_after[[0, 3]])
            assert not torch.equal(first.carry[1], second.carry[1])


@BOTH
@pytest.mark.parametrize('value', [torch.nan, torch.inf, 1e30])
@pytest.mark.parametrize('field', ['states', 'actions', 'next_states'])
def test_what_is_not_finite_is_refused_and_leaves_the_memory_finite(span, field, value):
    adapter, past = make(span), part(episode(), 0, PAST)
    getattr(past, field)[3, -1, 1] = value
    _, adapted = adapter.adapt(adapter.initial(ROWS), past, ALL)
    assert adapted.carry.isfinite().all()
    # An action of 1e30 saturates the gates, and the prediction is as finite as any other.
    sound = field == 'actions' and value == 1e30
    assert adapted.refused.tolist() == [False, False, False, not sound]
    assert adapted.accepted.tolist() == [True, True, True, sound]
