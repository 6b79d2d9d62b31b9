# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The gradient step against finite differences, torch.func and a dense autograd loop."""

import itertools

import pytest
import torch
from torch.func import functional_call, grad, hessian, vmap

from mbmrl_ros.adaptation.gradient import (
    detach,
    gradient_step,
    uniform_step_sizes,
)
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.mlp import dense, mlp
from mbmrl_ros.training.dynamics.meta_loss import meta_loss
from mbmrl_ros.types import LayerRecord, Params, Transitions

STATE, ACTION, TASKS, PAST, FUTURE = 4, 2, 5, 6, 3


def draw(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


NORMALIZER = Normalizer(
    draw(STATE, seed=1), draw(STATE, seed=2).exp(), draw(STATE, seed=3), draw(STATE, seed=4).exp()
)
DYNAMICS = MLPDynamics(STATE, ACTION, (0, 2, 3), (9, 7), NORMALIZER)


def parameters(seed: int = 0) -> Params:
    params = DYNAMICS.init(torch.Generator().manual_seed(seed))
    params['shift'] = torch.zeros_like(params['scale'])
    return {
        name: value.double() + 0.1 * draw(*value.shape, seed=seed + i)
        for i, (name, value) in enumerate(params.items())
    }


def step_sizes(params: Params) -> Params:
    """Return a step size of its own for every tensor."""
    return {
        name: torch.tensor(0.05 + 0.03 * i, dtype=torch.float64) for i, name in enumerate(params)
    }


def window(steps: int, seed: int, tasks: int = TASKS) -> Transitions:
    return Transitions(
        draw(tasks, steps, STATE, seed=seed),
        draw(tasks, steps, ACTION, seed=seed + 1),
        draw(tasks, steps, STATE, seed=seed + 2),
    )


def row(transitions: Transitions, index: int) -> Transitions:
    return Transitions(*(tensor[index] for tensor in transitions))


def reference_network() -> torch.nn.Module:
    """Return torch's own network, without storage: its parameters come with the call."""
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(DYNAMICS.sizes):
        layers += [torch.nn.Linear(fan_in, fan_out, device='meta'), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


NETWORK = reference_network()


def plain_loss(params: Params, transitions: Transitions) -> torch.Tensor:
    """Return the loss of one task, written anew on torch's own network: the reference."""
    named = {
        f'{2 * int(name[-1])}.{name[:-1]}': value
        for name, value in params.items()
        if name not in ('scale', 'shift')
    }
    states = (transitions.states - NORMALIZER.state_mean) / NORMALIZER.state_std
    inputs = torch.cat([states[:, [0, 2, 3]], transitions.actions], -1) * params.get('scale', 1)
    inputs = inputs + params.get('shift', 0)
    change = transitions.next_states - transitions.states
    target = (change - NORMALIZER.delta_mean) / NORMALIZER.delta_std
    return (functional_call(NETWORK, named, (inputs,)) - target).square().mean()


def plain_steps(params: Params, sizes: Params, past: Transitions, steps: int) -> Params:
    """Descend on one task with dense weights and torch.func's gradient."""
    for _ in range(steps):
        gradient = grad(plain_loss)(params, past)
        params = {name: params[name] - sizes[name] * gradient[name] for name in params}
    return params


def plain_meta_loss(
    params: Params, sizes: Params, past: Transitions, future: Transitions, steps: int
) -> torch.Tensor:
    adapted = [plain_steps(params, sizes, row(past, i), steps) for i in range(TASKS)]
    losses = [plain_loss(adapted[i], row(future, i)) for i in range(TASKS)]
    return torch.stack(losses).mean()


def assert_equal(first: Params, second: Params, tolerance: float = 1e-10) -> None:
    assert set(first) == set(second)
    for name in first:
        torch.testing.assert_close(
            first[name], second[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: n + m
        )


def test_the_loss_is_the_references():
    params, past = parameters(), window(PAST, seed=10)
    expected = torch.stack([plain_loss(params, row(past, i)) for i in range(TASKS)])
    torch.testing.assert_close(DYNAMICS.loss(params, past), expected, rtol=1e-12, atol=0)


def test_one_step_is_torch_funcs_gradient_on_every_task():
    params, past = parameters(), window(PAST, seed=10)
    sizes = step_sizes(params)
    stepped, loss = gradient_step(DYNAMICS.loss, params, sizes, past)
    torch.testing.assert_close(loss, DYNAMICS.loss(params, past))
    gradients = vmap(grad(plain_loss), in_dims=(None, 0))(params, past)
    expected = {name: params[name] - sizes[name] * gradients[name] for name in params}
    assert_equal(dense(stepped), expected)


def test_one_step_is_the_finite_difference_of_the_loss():
    params, past = parameters(), window(PAST, seed=10)
    sizes = uniform_step_sizes(params, 1.0)
    stepped = dense(gradient_step(DYNAMICS.loss, params, sizes, past)[0])
    # Central differences of a loss of size 1: rounding 1e-16/h and truncation h^2 balance at
    # h = 1e-5 with an error of 1e-10; ReLU kinks are not met by a step of that size.
    h, generator = 1e-5, torch.Generator().manual_seed(0)
    for name, value in params.items():
        for index in torch.randint(value.numel(), (5,), generator=generator).tolist():
            shift = torch.zeros(value.numel(), dtype=torch.float64)
            shift[index] = h
            shift = shift.view_as(value)
            plus = DYNAMICS.loss(params | {name: value + shift}, past)
            minus = DYNAMICS.loss(params | {name: value - shift}, past)
            gradient = (value - stepped[name]).flatten(1)[:, index]
            torch.testing.assert_close(gradient, (plus - minus) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('steps', [1, 2, 4])
def test_several_steps_in_low_rank_form_equal_a_dense_loop_over_tasks(steps):
    params, past = parameters(), window(PAST, seed=10)
    sizes, stepped = step_sizes(params), params
    for _ in range(steps):
        stepped = gradient_step(DYNAMICS.loss, stepped, sizes, past)[0]
    loops = [plain_steps(params, sizes, row(past, i), steps) for i in range(TASKS)]
    expected = {name: torch.stack([loop[name] for loop in loops]) for name in params}
    assert_equal(dense(stepped), expected)
    assert stepped['lowrank_in0'].shape == (TASKS, PAST * steps, DYNAMICS.sizes[0])


def test_a_step_from_parameters_of_each_row_equals_a_dense_loop():
    rows = [parameters(seed) for seed in range(TASKS)]
    stacked = {name: torch.stack([each[name] for each in rows]) for name in rows[0]}
    past, sizes = window(PAST, seed=10), step_sizes(rows[0])
    stepped = dense(gradient_step(DYNAMICS.loss, stacked, sizes, past)[0])
    for i, each in enumerate(rows):
        expected = plain_steps(each, sizes, row(past, i), 1)
        assert_equal({name: value[i] for name, value in stepped.items()}, expected)


@pytest.mark.parametrize('steps', [1, 3])
def test_the_meta_gradient_is_torch_funcs_through_a_dense_loop(steps):
    params = parameters()
    sizes = step_sizes(params)
    past, future = window(PAST, seed=10), window(FUTURE, seed=20)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    size_leaves = {name: value.clone().requires_grad_() for name, value in sizes.items()}
    loss = meta_loss(DYNAMICS.loss, leaves, size_leaves, past, future, steps)
    gradients = torch.autograd.grad(loss, [*leaves.values(), *size_leaves.values()])
    by_params, by_sizes = grad(plain_meta_loss, argnums=(0, 1))(params, sizes, past, future, steps)
    torch.testing.assert_close(
        loss.detach(), plain_meta_loss(params, sizes, past, future, steps), rtol=1e-11, atol=0
    )
    assert_equal(dict(zip(params, gradients)), by_params, 1e-9)
    assert_equal(dict(zip(sizes, gradients[len(params) :])), by_sizes, 1e-9)


@pytest.mark.parametrize('wanted', ['params', 'step_sizes'])
def test_the_meta_gradient_is_right_where_only_one_of_the_two_is_learned(wanted):
    params = parameters()
    sizes = step_sizes(params)
    past, future = window(PAST, seed=10), window(FUTURE, seed=20)
    chosen = params if wanted == 'params' else sizes
    leaves = {name: value.clone().requires_grad_() for name, value in chosen.items()}
    arguments = (leaves, sizes) if wanted == 'params' else (params, leaves)
    loss = meta_loss(DYNAMICS.loss, *arguments, past, future, 2)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    number = 0 if wanted == 'params' else 1
    expected = grad(plain_meta_loss, argnums=number)(params, sizes, past, future, 2)
    assert_equal(dict(zip(chosen, gradients)), expected, 1e-9)


@pytest.mark.parametrize('steps', [1, 3])
def test_the_meta_gradient_is_the_finite_difference_of_the_meta_loss(steps):
    params = parameters()
    sizes = step_sizes(params)
    past, future = window(PAST, seed=10), window(FUTURE, seed=20)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    size_leaves = {name: value.clone().requires_grad_() for name, value in sizes.items()}
    loss = meta_loss(DYNAMICS.loss, leaves, size_leaves, past, future, steps)
    loss.backward()
    h = 1e-5
    for name, value in params.items():
        direction = draw(*value.shape, seed=30)
        ends = [
            meta_loss(DYNAMICS.loss, params | {name: value + sign * h * direction}, sizes, past,
                      future, steps)
            for sign in (1, -1)
        ]  # fmt: skip
        slope = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(
            (leaves[name].grad * direction).sum(), slope.detach(), rtol=1e-6, atol=1e-8
        )
        ends = [
            meta_loss(DYNAMICS.loss, params, sizes | {name: sizes[name] + sign * h}, past, future,
                      steps)
            for sign in (1, -1)
        ]  # fmt: skip
        slope = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(size_leaves[name].grad, slope.detach(), rtol=1e-6, atol=1e-8)


def test_the_meta_gradient_holds_the_second_order_term_in_closed_form():
    # For one linear layer the past loss is quadratic in the parameters, w' = w - a g(w), so the
    # chain rule gives dL/dw = (I - a H) dL/dw', with H the Hessian on the past window.
    past_inputs, past_targets = draw(PAST, 3, seed=1), draw(PAST, 2, seed=2)
    future_inputs, future_targets = draw(FUTURE, 3, seed=3), draw(FUTURE, 2, seed=4)
    weight, bias, size = draw(2, 3, seed=5), torch.zeros(2, dtype=torch.float64), 0.2

    def error(weight, inputs, targets):
        return (inputs @ weight.T - targets).square().mean()

    def loss_fn(
        params: Params, batch: Transitions, records: list[LayerRecord] | None
    ) -> torch.Tensor:
        return (mlp(params, batch.states, records) - batch.actions).square().mean((1, 2))

    leaf = weight.clone().requires_grad_()
    sizes = {'weight0': torch.tensor(size, dtype=torch.float64), 'bias0': torch.tensor(0.0)}
    past = Transitions(past_inputs[None], past_targets[None], past_inputs[None])
    future = Transitions(future_inputs[None], future_targets[None], future_inputs[None])
    loss = meta_loss(loss_fn, {'weight0': leaf, 'bias0': bias}, sizes, past, future)
    result = torch.autograd.grad(loss, leaf)[0].flatten()
    curvature = hessian(error)(weight, past_inputs, past_targets).reshape(6, 6)
    adapted = weight - size * grad(error)(weight, past_inputs, past_targets)
    outer = grad(error)(adapted, future_inputs, future_targets).flatten()
    expected = outer - size * curvature @ outer
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)
    # The first-order approximation, which leaves H out, is something else.
    assert (result - outer).norm() > 0.05 * outer.norm()


def test_without_a_graph_the_result_is_the_same_and_holds_none():
    params, past = parameters(), window(PAST, seed=10)
    with torch.no_grad():
        without = gradient_step(DYNAMICS.loss, params, step_sizes(params), past)[0]
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    with_graph = gradient_step(DYNAMICS.loss, leaves, step_sizes(params), past, True)[0]
    assert with_graph['lowrank_out0'].requires_grad
    assert_equal(detach(with_graph), detach(without))
    assert not any(value.requires_grad for value in detach(without).values())
    assert not any(value.requires_grad for value in params.values()), 'inputs are left alone'


def test_rows_do_not_influence_each_other():
    params, past = parameters(), window(PAST, seed=10)
    before = gradient_step(DYNAMICS.loss, params, step_sizes(params), past)[0]
    past.states[2] = torch.nan
    past.next_states[3] = torch.inf
    after = gradient_step(DYNAMICS.loss, params, step_sizes(params), past)[0]
    for name in before:
        if not name.startswith(('weight', 'lowrank_lr')):
            others = [0, 1, 4]
            assert torch.equal(after[name][others], before[name][others])
            assert not after[name][2].isfinite().all()


def test_a_step_size_of_zero_moves_nothing_and_uniform_ones_are_uniform():
    params, past = parameters(), window(PAST, seed=10)
    stepped = dense(gradient_step(DYNAMICS.loss, params, uniform_step_sizes(params, 0.0), past)[0])
    for name, value in params.items():
        assert torch.equal(stepped[name], value.expand_as(stepped[name]))
    sizes = uniform_step_sizes(params, 0.25)
    assert set(sizes) == set(params)
    assert {float(size) for size in sizes.values()} == {0.25}


@pytest.mark.parametrize('steps', [1, 2])
def test_what_has_no_step_size_stays_as_if_its_step_size_were_zero(steps):
    params, past = parameters(), window(PAST, seed=10)
    some = {name: size for name, size in step_sizes(params).items() if name in ('scale', 'shift')}
    still = {name: torch.zeros(()) for name in params if name not in some}
    partly, wholly = params, params
    for _ in range(steps):
        partly = detach(gradient_step(DYNAMICS.loss, partly, some, past)[0])
        wholly = detach(gradient_step(DYNAMICS.loss, wholly, some | still, past)[0])
    assert set(partly) == set(params), 'no factors of a change that there is not'
    assert torch.equal(partly['weight1'], params['weight1'])
    for name in some:
        assert partly[name].shape == (TASKS, *params[name].shape)
        torch.testing.assert_close(partly[name], wholly[name], rtol=1e-12, atol=0)


def test_the_meta_gradient_goes_through_a_step_of_the_scale_alone():
    params, past, future = parameters(), window(PAST, seed=10), window(FUTURE, seed=20)
    sizes = step_sizes(params)
    some = {'scale': sizes['scale']}
    still = {name: torch.zeros((), dtype=torch.float64) for name in params if name != 'scale'}
    gradients = []
    for chosen in (some, some | still):
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        loss = meta_loss(DYNAMICS.loss, leaves, chosen, past, future)
        gradients.append(torch.autograd.grad(loss, list(leaves.values())))
    for ours, expected in zip(*gradients):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-14)
