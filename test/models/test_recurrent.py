# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recurrent model: torch's own layers, step by step, at once, and packed for the planner."""

import pytest
import torch

from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.packed_recurrent import PackedRecurrent
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.types import Params, Transitions

STATE, ACTION, BATCH, STEPS = 4, 2, 3, 9
INPUTS = (1, 2, 3)
NORMALIZER = Normalizer(
    torch.tensor([5.0, 0.5, -0.5, 1.0]),
    torch.tensor([3.0, 2.0, 0.5, 1.5]),
    torch.tensor([0.1, -0.2, 0.3, 0.0]),
    torch.tensor([0.2, 0.5, 0.1, 1.0]),
)
CELLS = pytest.mark.parametrize('cell', ['lstm', 'gru'])


def make(cell: str, sizes: tuple[int, ...] = (8, 6), seed: int = 0, **changes) -> tuple:
    dynamics = RecurrentDynamics(STATE, ACTION, INPUTS, sizes, NORMALIZER, cell=cell, **changes)
    params = dynamics.init(torch.Generator().manual_seed(seed))
    # As biases are after training: all different.
    generator = torch.Generator().manual_seed(seed + 1)
    for name, value in params.items():
        if name.startswith('bias'):
            value += 0.3 * torch.randn(value.shape, generator=generator)
    return dynamics, params


def recorded(seed: int = 0, steps: int = STEPS, batch: int = BATCH) -> Transitions:
    """Return transitions that follow each other."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(batch, steps + 1, STATE, generator=generator)
    actions = torch.rand(batch, steps, ACTION, generator=generator) * 2 - 1
    return Transitions(states[:, :-1], actions, states[:, 1:])


def part(transitions: Transitions, begin: int, end: int) -> Transitions:
    return Transitions(*(tensor[:, begin:end] for tensor in transitions))


def carry_of(dynamics: RecurrentDynamics, params: Params, seed: int = 3) -> torch.Tensor:
    return dynamics.unroll(params, dynamics.empty(BATCH), recorded(seed))[0]


def torch_layers(dynamics: RecurrentDynamics, params: Params) -> torch.nn.Module:
    """Return torch.nn.LSTM or torch.nn.GRU with the same weights; layers of equal width."""
    kind = torch.nn.LSTM if dynamics.cell == 'lstm' else torch.nn.GRU
    units, count = dynamics.hidden_sizes[0], len(dynamics.hidden_sizes)
    network = kind(len(INPUTS) + ACTION, units, count, batch_first=True)
    with torch.no_grad():
        for layer in range(count):
            getattr(network, f'weight_ih_l{layer}').copy_(params[f'weight_input{layer}'])
            getattr(network, f'weight_hh_l{layer}').copy_(params[f'weight_hidden{layer}'])
            getattr(network, f'bias_ih_l{layer}').copy_(params[f'bias_input{layer}'])
            hidden_bias = getattr(network, f'bias_hh_l{layer}').zero_()
            if dynamics.cell == 'gru':
                hidden_bias[-units:] = params[f'bias_hidden{layer}']
    return network


@CELLS
@pytest.mark.parametrize('way', ['step', 'follow', 'unroll', 'packed'])
def test_the_recurrence_is_that_of_torchs_own_layers(cell, way):
    dynamics, params = make(cell, sizes=(7, 7))
    past = recorded()
    with torch.no_grad():
        hidden, _ = torch_layers(dynamics, params)(dynamics.inputs(past.states, past.actions))
    delta = hidden @ params['weight_output'].t() + params['bias_output']
    if way in ('follow', 'unroll'):
        _, errors = getattr(dynamics, way)(params, dynamics.empty(BATCH), past)
        torch.testing.assert_close(errors, (delta - NORMALIZER.delta(past)).square())
        return
    step = dynamics.planning_step(params)
    if way == 'step':

        def step(carry, state, action):
            return dynamics.step(params, carry, state, action)

    expected = past.states + NORMALIZER.delta_mean + NORMALIZER.delta_std * delta
    carry = None
    for time in range(STEPS):
        state, action = past.states[:, time, None], past.actions[:, time, None]
        carry, following = step(carry, state, action)
        torch.testing.assert_close(following[:, 0], expected[:, time])


@CELLS
def test_one_by_one_and_at_once_end_with_the_same_memory(cell):
    dynamics, params = make(cell)
    carry, errors = dynamics.follow(params, dynamics.empty(BATCH), recorded())
    again, others = dynamics.unroll(params, dynamics.empty(BATCH), recorded())
    torch.testing.assert_close(carry, again)
    torch.testing.assert_close(errors, others)
    assert carry.shape == (BATCH, 1, (8 + 6) * (2 if cell == 'lstm' else 1))


@CELLS
def test_a_memory_goes_on_where_it_was(cell):
    dynamics, params = make(cell)
    whole, errors = dynamics.unroll(params, dynamics.empty(BATCH), recorded())
    carry = dynamics.empty(BATCH)
    pieces = []
    for begin, end in ((0, 2), (2, 3), (3, STEPS)):
        carry, piece = dynamics.unroll(params, carry, part(recorded(), begin, end))
        pieces.append(piece)
    torch.testing.assert_close(carry, whole)
    torch.testing.assert_close(torch.cat(pieces, 1), errors)
    late = dynamics.loss(
        params,
        part(recorded(), 4, STEPS),
        carry=dynamics.unroll(params, dynamics.empty(BATCH), part(recorded(), 0, 4))[0],
    )
    torch.testing.assert_close(late, errors[:, 4:].mean((1, 2)))


@CELLS
def test_without_a_carry_every_transition_is_predicted_on_its_own(cell):
    dynamics, params = make(cell)
    errors = dynamics.errors(params, recorded())
    for time in range(STEPS):
        _, alone = dynamics.unroll(params, dynamics.empty(BATCH), part(recorded(), time, time + 1))
        torch.testing.assert_close(errors[:, time : time + 1], alone)
    torch.testing.assert_close(dynamics.loss(params, recorded()), errors.mean((1, 2)))


@CELLS
def test_the_answer_to_an_action_is_seen_in_the_next_state(cell):
    dynamics, params = make(cell)

    def remembered(happened: Transitions, steps: int) -> torch.Tensor:
        return dynamics.follow(params, dynamics.empty(BATCH), part(happened, 0, steps))[0]

    first, second = recorded(), recorded()
    # What the fourth action led to is what the fifth begins with.
    second.next_states[:, 3] += 1.0
    assert torch.equal(second.states[:, 4], second.next_states[:, 3])
    assert torch.equal(remembered(first, 4), remembered(second, 4))
    assert (remembered(first, 5) != remembered(second, 5)).any(-1).all()
    # Channel 0 does not feed the network.
    second.next_states[:, 3, 1:] -= 1.0
    torch.testing.assert_close(remembered(first, 5), remembered(second, 5))


@CELLS
@pytest.mark.parametrize('last', [0, 4, STEPS - 1])
def test_a_memory_begins_anew_after_what_is_not_finite(cell, last):
    dynamics, params = make(cell)
    past = recorded()
    past.actions[1, last] = torch.nan
    carry, errors = dynamics.follow(params, dynamics.empty(BATCH), past)
    plain, _ = dynamics.follow(params, dynamics.empty(BATCH), recorded())
    torch.testing.assert_close(carry[[0, 2]], plain[[0, 2]])
    rest = part(recorded(), last + 1, STEPS)
    fresh = dynamics.empty(BATCH)
    if last + 1 < STEPS:
        fresh, _ = dynamics.follow(params, fresh, rest)
    torch.testing.assert_close(carry[1], fresh[1])
    assert errors[1, last].isnan().any()
    assert errors[1, last + 1 :].isfinite().all() and errors[[0, 2]].isfinite().all()


@CELLS
def test_rows_do_not_influence_each_other(cell):
    dynamics, params = make(cell)
    whole, errors = dynamics.follow(params, dynamics.empty(BATCH), recorded())
    for row in range(BATCH):
        alone = Transitions(*(tensor[row : row + 1] for tensor in recorded()))
        carry, own = dynamics.follow(params, dynamics.empty(1), alone)
        torch.testing.assert_close(carry[0], whole[row])
        torch.testing.assert_close(own[0], errors[row])


@CELLS
@pytest.mark.parametrize('sizes', [(8,), (8, 6), (5, 7, 4)])
def test_the_packed_step_is_the_step(cell, sizes):
    dynamics, params = make(cell, sizes)
    step, carry = dynamics.planning_step(params), carry_of(dynamics, params)
    assert isinstance(step, PackedRecurrent)
    generator = torch.Generator().manual_seed(5)
    state = torch.randn(BATCH, 1, STATE, generator=generator).expand(-1, 11, -1)
    kept, plain, packed = carry.clone(), (carry, state), (carry, state)
    for _ in range(4):
        action = torch.rand(BATCH, 11, ACTION, generator=generator) * 2 - 1
        plain = dynamics.step(params, *plain, action)
        packed = step(*packed, action)
        torch.testing.assert_close(packed[1], plain[1], rtol=1e-5, atol=1e-5)
    assert torch.equal(carry, kept), 'what comes in stays as it is'
    assert plain[0].shape == (BATCH, 11, carry.shape[-1])


@CELLS
def test_a_packed_carry_can_be_used_again(cell):
    dynamics, params = make(cell)
    step = dynamics.planning_step(params)
    state, action = recorded().states[:, :5], recorded().actions[:, :5]
    carry, following = step(carry_of(dynamics, params), state, action)
    first = step(carry, following, action)[1]
    step(carry, following, -action)
    assert torch.equal(step(carry, following, action)[1], first)


@CELLS
def test_packing_others_replaces_the_parameters(cell):
    dynamics, params = make(cell)
    _, others = make(cell, seed=7)
    step = dynamics.planning_step(params)
    state, action = recorded().states, recorded().actions
    before = step(None, state, action)[1]
    again = dynamics.planning_step(others, step)
    assert again is step
    expected = dynamics.planning_step(others)(None, state, action)[1]
    assert torch.equal(again(None, state, action)[1], expected)
    assert not torch.equal(before, expected)


@CELLS
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_a_rollout_that_broke_does_not_look_sound(cell, value):
    dynamics, params = make(cell)
    state = recorded().states.clone()
    state[1, 2, 1] = value
    _, following = dynamics.planning_step(params)(None, state, recorded().actions)
    assert not following[1, 2].isfinite().all()
    assert following.isfinite().all(-1).sum() == BATCH * STEPS - 1


def bfloat16_bound(dynamics: RecurrentDynamics, params: Params, inputs, carry) -> torch.Tensor:
    """Return how far one layer's change may be off, [.., S].

    Each product rounds its factors (2^-9 of each, relative) and its result: below 2^-7 of the sum
    of magnitudes. A sigmoid passes on a quarter of an error, tanh all of it, values are at most 1
    but for the cell's, and every product or sum of them rounds again.
    """
    unit, (units,) = 2.0**-7, dynamics.hidden_sizes
    hidden, rest = carry[..., :units].abs(), carry.abs()
    gates = inputs.abs() @ params['weight_input0'].abs().t() + params['bias_input0'].abs()
    gates = gates + hidden @ params['weight_hidden0'].abs().t()
    off = (unit * gates).unflatten(-1, (-1, units)).max(-2).values
    if dynamics.cell == 'lstm':
        cell = rest[..., units:]
        off = off * (cell / 4 + 1.25) + 2 * unit * (cell + 1) + off / 4 + unit
    else:
        inner = hidden @ params['weight_hidden0'][-units:].abs().t() + 1
        off = off * (2 + inner / 4) + unit * inner + (hidden + 1) * (off / 4 + 2 * unit)
    weights = params['weight_output'].abs()
    change = (off + unit) @ weights.t() + unit * (weights.sum(1) + params['bias_output'].abs())
    return NORMALIZER.delta_std * change + unit * NORMALIZER.delta_mean.abs()


@CELLS
def test_bfloat16_is_off_by_no_more_than_its_rounding(cell):
    dynamics, params = make(cell, sizes=(16,))
    rough, _ = make(cell, sizes=(16,), precision='bfloat16')
    carry = carry_of(dynamics, params)
    state, action = recorded().states, recorded().actions
    _, exact = dynamics.step(params, carry, state, action)
    after, rounded = rough.planning_step(params)(carry, state, action)
    bound = bfloat16_bound(dynamics, params, dynamics.inputs(state, action), carry)
    assert ((rounded - exact).abs() <= bound).all()
    assert not torch.equal(rounded, exact) and rounded.dtype == torch.float32
    assert {part.dtype for layer in after for part in layer} == {torch.bfloat16}
    # The bound says something: predictions differ between robots by much more.
    assert bound.mean() < 0.3 * exact.std()


@CELLS
def test_channels_far_outside_do_not_count_any_further(cell):
    dynamics, params = make(cell, input_limit=2.0)
    state, action = torch.zeros(1, 1, STATE), torch.zeros(1, 1, ACTION)
    for way in (
        lambda s: dynamics.step(params, None, s, action)[1] - s,
        lambda s: dynamics.planning_step(params)(None, s, action)[1] - s,
    ):
        near, far, inside = (
            way(state.index_fill(2, torch.tensor([1]), value)) for value in (4.5, 100.0, 4.4)
        )
        torch.testing.assert_close(near, far, rtol=0, atol=1e-5)
        assert not torch.allclose(near, inside, rtol=0, atol=1e-5)


@CELLS
def test_what_is_remembered_is_kept_at_first(cell):
    dynamics = RecurrentDynamics(STATE, ACTION, INPUTS, (8,), NORMALIZER, cell=cell)
    params = dynamics.init(torch.Generator().manual_seed(0))
    gates = params['bias_input0'].view(-1, 8)
    assert gates[1].tolist() == [1.0] * 8
    assert gates.sum() == 8.0, 'the other gates start at zero'
    bound = (6 / (5 + 8 + 8 * len(gates))) ** 0.5
    assert 0.9 * bound < params['weight_input0'].abs().max() <= bound
    assert not any(
        params[name].any() for name in params if name in ('bias_output', 'bias_hidden0')
    )
