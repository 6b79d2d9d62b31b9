# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters: what is trained is what runs, and a bad step is refused."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, GradientAdapter, NoAdaptation
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.mlp import dense, layer_count, mlp
from mbmrl_ros.training.dynamics import meta_loss as meta
from mbmrl_ros.types import LayerRecord, Params, Transitions

STATE, ACTION, ROWS, PAST = 5, 2, 6, 8
DYNAMICS = MLPDynamics(STATE, ACTION, (1, 2, 3, 4), (32, 32), Normalizer.identity(STATE))
PARAMS = DYNAMICS.init(torch.Generator().manual_seed(0))
ALL = torch.ones(ROWS, dtype=torch.bool)


def window(seed: int = 0, rows: int = ROWS) -> Transitions:
    """Return windows in which every channel grows by 1 per step, and by noise."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, PAST, STATE, generator=generator)
    actions = torch.rand(rows, PAST, ACTION, generator=generator) * 2 - 1
    noise = 0.5 * torch.randn(states.shape, generator=generator)
    return Transitions(states, actions, states + 1.0 + noise)


def part(transitions: Transitions, rows: list[int]) -> Transitions:
    return Transitions(*(tensor[rows] for tensor in transitions))


def gradient_adapter(step_size: float = 0.05, steps: int = 1) -> GradientAdapter:
    return GradientAdapter(DYNAMICS.loss, PARAMS, uniform_step_sizes(PARAMS, step_size), steps)


def assert_rows_are(params: Params, rows: list[int], expected: Params, **tolerance: float) -> None:
    """Assert that the given rows of params stand for the weights in `expected`."""
    multiplied = dense(params)
    for name, value in dense(expected).items():
        result = multiplied[name]
        shared = 2 if name.startswith('weight') else 1
        result = result[rows] if result.dim() > shared else result
        torch.testing.assert_close(*torch.broadcast_tensors(result, value), **tolerance)


@pytest.mark.parametrize('steps', [1, 3])
def test_equal_windows_give_equal_parameters_in_training_and_on_the_robot(steps):
    adapter, past = gradient_adapter(steps=steps), window()
    _, adapted = adapter.adapt(adapter.initial(ROWS), past, ALL)
    assert adapted.accepted.all()
    for create_graph in (False, True):
        trained = meta.adapt(
            DYNAMICS.loss, PARAMS, adapter.step_sizes, past, steps, create_graph=create_graph
        )
        assert set(trained) == set(adapted.params)
        for name, value in trained.items():
            assert torch.equal(value, adapted.params[name]), name
    # One robot alone computes in products of another size: equal but for float32 rounding, whose
    # unit is 6e-8 for weights below 1.
    for row in range(ROWS):
        _, alone = adapter.adapt(None, part(past, [row]), ALL[:1])
        assert_rows_are(adapted.params, [row], alone.params, rtol=0, atol=1e-6)


def test_every_window_starts_from_the_trained_parameters():
    adapter = gradient_adapter()
    memory = adapter.initial(ROWS)
    memory, first = adapter.adapt(memory, window(seed=1), ALL)
    for seed in (2, 3):
        memory, _ = adapter.adapt(memory, window(seed), ALL)
    _, again = adapter.adapt(memory, window(seed=1), ALL)
    for name, value in first.params.items():
        assert torch.equal(value, again.params[name])


def test_losses_are_those_on_the_window_before_and_after():
    past = window()
    _, adapted = gradient_adapter().adapt(None, past, ALL)
    torch.testing.assert_close(adapted.loss_before, DYNAMICS.loss(PARAMS, past))
    torch.testing.assert_close(adapted.loss_after, DYNAMICS.loss(adapted.params, past))
    assert (adapted.loss_after < adapted.loss_before).all()
    assert not adapted.refused.any()
    assert not any(value.requires_grad for value in adapted.params.values())


def adapters() -> list[GradientAdapter | DynamicEvaluation]:
    sizes = uniform_step_sizes(PARAMS, 0.05)
    return [
        gradient_adapter(),
        gradient_adapter(steps=2),
        DynamicEvaluation(DYNAMICS.loss, PARAMS, sizes),
    ]


NAMES = ['one_step', 'two_steps', 'mb_de']
ADAPTERS = pytest.mark.parametrize('adapter', adapters(), ids=NAMES)


@ADAPTERS
def test_rows_do_not_influence_each_other(adapter):
    past = window()
    _, before = adapter.adapt(adapter.initial(ROWS), past, ALL)
    past.states[2] = torch.nan
    past.actions[3] += 7.0
    past.next_states[4] = 1e30
    _, after = adapter.adapt(adapter.initial(ROWS), past, ALL)
    others = [0, 1, 5]
    first, second = dense(before.params), dense(after.params)
    for name in first:
        assert torch.equal(first[name][others], second[name][others])
    for field in ('loss_before', 'loss_after', 'accepted', 'refused'):
        assert torch.equal(getattr(before, field)[others], getattr(after, field)[others])


@ADAPTERS
@pytest.mark.parametrize('value', [torch.nan, torch.inf, -torch.inf, 1e30])
@pytest.mark.parametrize('field', ['states', 'actions', 'next_states'])
def test_a_result_that_is_not_finite_is_refused_and_the_parameters_stay(adapter, field, value):
    past = window()
    getattr(past, field)[3, -1, 1] = value
    _, adapted = adapter.adapt(adapter.initial(ROWS), past, ALL)
    assert adapted.refused.tolist() == [False, False, False, True, False, False]
    assert adapted.accepted.tolist() == [True, True, True, False, True, True]
    assert all(bool(tensor.isfinite().all()) for tensor in adapted.params.values())
    assert_rows_are(adapted.params, [3], PARAMS, rtol=0, atol=0)


@ADAPTERS
def test_a_result_that_is_worse_is_refused_and_the_parameters_stay(adapter):
    # A step size of 50 overshoots on every row of these windows.
    steep = replace(adapter, step_sizes=uniform_step_sizes(PARAMS, 50.0))
    past = window()
    _, adapted = steep.adapt(steep.initial(ROWS), past, ALL)
    assert adapted.refused.all()
    assert not adapted.accepted.any()
    assert not (adapted.loss_after <= adapted.loss_before).any()
    assert_rows_are(adapted.params, list(range(ROWS)), PARAMS, rtol=0, atol=0)
    torch.testing.assert_close(DYNAMICS.loss(adapted.params, past), adapted.loss_before)


def test_a_gain_below_the_minimum_is_refused_row_by_row():
    past, sizes = window(), uniform_step_sizes(PARAMS, 0.02)
    _, free = GradientAdapter(DYNAMICS.loss, PARAMS, sizes).adapt(None, past, ALL)
    gains = 1 - free.loss_after / free.loss_before
    assert (gains > 0).all()
    minimum = float(gains.median())
    strict = GradientAdapter(DYNAMICS.loss, PARAMS, sizes, accept_improvement=minimum)
    _, adapted = strict.adapt(None, past, ALL)
    enough = gains >= minimum
    assert 0 < int(enough.sum()) < ROWS
    assert torch.equal(adapted.accepted, enough)
    assert torch.equal(adapted.refused, ~enough)
    refused = (~enough).nonzero().flatten().tolist()
    assert_rows_are(adapted.params, refused, PARAMS, rtol=0, atol=0)
    torch.testing.assert_close(adapted.loss_before, free.loss_before)
    torch.testing.assert_close(adapted.loss_after, free.loss_after)


def linear_loss(
    params: Params, past: Transitions, records: list[LayerRecord] | None = None
) -> torch.Tensor:
    """Return the loss (w - y)^2 of a single weight, whose inputs are 1 and targets the actions."""
    return (mlp(params, past.states, records) - past.actions).square().mean((1, 2))


def test_a_smaller_gain_keeps_what_a_larger_one_began():
    past, sizes = window(), uniform_step_sizes(PARAMS, 0.02)
    _, free = GradientAdapter(DYNAMICS.loss, PARAMS, sizes).adapt(None, past, ALL)
    gains = (1 - free.loss_after / free.loss_before).tolist()
    low, high = sorted(gains)[1], sorted(gains)[4]
    two_bars = GradientAdapter(
        DYNAMICS.loss, PARAMS, sizes, accept_improvement=high - 1e-6, keep_improvement=low - 1e-6
    )
    memory = two_bars.initial(ROWS)
    assert memory.shape == (ROWS,) and not memory.any()
    began, first = two_bars.adapt(memory, past, ALL)
    # The fifth and the sixth gain get over the first bar.
    assert first.accepted.tolist() == [gain >= high for gain in gains]
    assert torch.equal(began, first.accepted)
    everything, kept = two_bars.adapt(ALL, past, ALL)
    # All but the smallest get over the second.
    assert kept.accepted.tolist() == [gain >= low for gain in gains]
    assert torch.equal(everything, kept.accepted)
    again, _ = two_bars.adapt(began, past, ALL)
    assert torch.equal(again, began), 'the others still have to get over the first'
    lost, _ = two_bars.adapt(ALL, past, ~ALL)
    assert not lost.any(), 'without a window it begins anew'


@ADAPTERS
def test_rows_without_a_window_keep_the_parameters_and_report_no_loss(adapter):
    attempted = torch.tensor([True, False, True, False, True, False])
    past = window()
    for tensor in past:
        tensor[~attempted] = 0.0
    _, adapted = adapter.adapt(adapter.initial(ROWS), past, attempted)
    assert torch.equal(adapted.accepted, attempted)
    assert not adapted.refused.any()
    assert torch.equal(adapted.loss_before.isnan(), ~attempted)
    assert torch.equal(adapted.loss_after.isnan(), ~attempted)
    assert_rows_are(adapted.params, [1, 3, 5], PARAMS, rtol=0, atol=0)


def sgd_step(params: Params, past: Transitions, step_size: float) -> Params:
    """Take a step of torch's own SGD on one row, with dense weights."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    optimiser = torch.optim.SGD(leaves.values(), lr=step_size)
    DYNAMICS.loss(leaves, past).sum().backward()
    optimiser.step()
    return {name: value.detach() for name, value in leaves.items()}


@pytest.mark.parametrize('shifted', [False, True])
def test_mb_de_carries_its_weights_over_and_equals_repeated_dense_steps(shifted):
    params = PARAMS | ({'shift': torch.zeros_like(PARAMS['scale'])} if shifted else {})
    adapter = DynamicEvaluation(DYNAMICS.loss, params, uniform_step_sizes(params, 0.05))
    memory = adapter.initial(ROWS)
    expected = [params] * ROWS
    for tick in range(20):
        past = window(seed=tick)
        memory, adapted = adapter.adapt(memory, past, ALL)
        for row in range(ROWS):
            if adapted.accepted[row]:
                expected[row] = sgd_step(expected[row], part(past, [row]), 0.05)
            assert_rows_are(adapted.params, [row], expected[row], rtol=0, atol=1e-5)
            assert_rows_are(memory, [row], expected[row], rtol=0, atol=1e-5)
    moved = (expected[0]['weight0'] - PARAMS['weight0']).abs().max()
    assert moved > 0.02, 'twenty steps add up'


def test_the_rank_of_mb_de_does_not_grow_with_time():
    adapter = DynamicEvaluation(DYNAMICS.loss, PARAMS, uniform_step_sizes(PARAMS, 0.05))
    memory = adapter.initial(ROWS)
    for tick in range(5):
        memory, adapted = adapter.adapt(memory, window(seed=tick), ALL)
        for layer in range(layer_count(PARAMS)):
            assert adapted.params[f'lowrank_in{layer}'].shape[1] == PAST
        assert set(memory) == set(PARAMS), 'no factors are carried over'


def test_mb_de_starts_every_episode_from_the_trained_parameters():
    adapter = DynamicEvaluation(DYNAMICS.loss, PARAMS, uniform_step_sizes(PARAMS, 0.05))
    adapter.adapt(adapter.initial(ROWS), window(), ALL)
    fresh = DYNAMICS.init(torch.Generator().manual_seed(0))
    for params in ({k: v[1] for k, v in adapter.initial(ROWS).items()}, PARAMS):
        assert params.keys() == fresh.keys()
        assert all(torch.equal(params[name], fresh[name]) for name in fresh)


def test_mb_keeps_the_parameters_and_reports_the_loss():
    adapter = NoAdaptation(DYNAMICS.loss, PARAMS)
    attempted = torch.tensor([True, False, True, True, True, True])
    _, adapted = adapter.adapt(adapter.initial(ROWS), window(), attempted)
    assert adapted.params is PARAMS
    assert not adapted.accepted.any()
    assert not adapted.refused.any()
    expected = torch.where(attempted, DYNAMICS.loss(PARAMS, window()), torch.nan)
    for loss in (adapted.loss_before, adapted.loss_after):
        torch.testing.assert_close(loss, expected, equal_nan=True)


def test_any_loss_can_be_adapted_to():
    def shifted(
        params: Params, past: Transitions, records: list[LayerRecord] | None = None
    ) -> torch.Tensor:
        return DYNAMICS.loss(params, past, records) - 100.0

    adapter = GradientAdapter(shifted, PARAMS, uniform_step_sizes(PARAMS, 0.05))
    _, adapted = adapter.adapt(None, window(), ALL)
    assert adapted.accepted.all(), 'negative losses are losses'
