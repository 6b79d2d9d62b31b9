# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An ensemble is so many models side by side: what one predicts and learns is its own."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.models.ensemble import MAX_LOG_VAR, MIN_LOG_VAR, Ensemble, EnsembleDynamics
from mbmrl_ros.models.fit_ensemble import (
    EnsembleData,
    EnsembleSchedule,
    EnsembleState,
    fit_ensemble,
)
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.mlp import mlp
from mbmrl_ros.types import Transitions

KINDS = [
    {},
    {'activation': 'swish', 'probabilistic': True},
    {'activation': 'tanh', 'weight_norm': True},
    {'weight_norm': True, 'probabilistic': True},
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear_data(count: int = 400, noise: float = 0.0) -> Transitions:
    """Return transitions of a linear system with 3 channels and 2 actions."""
    generator = seeded(7)
    states = torch.randn(count, 3, generator=generator) * torch.tensor([1.0, 2.0, 0.1])
    actions = torch.rand(count, 2, generator=generator) * 2 - 1
    change = 0.3 * states.roll(1, 1) + actions @ torch.tensor([[0.2, 0.0, 0.5], [0.0, -0.4, 0.1]])
    change = change + noise * torch.randn(count, 3, generator=generator)
    return Transitions(states, actions, states + change)


def build(data: Transitions, members: int = 3, **kind) -> EnsembleDynamics:
    return EnsembleDynamics(members, 3, 2, (0, 1, 2), (16,), Normalizer.fit(data), **kind)


@pytest.mark.parametrize('kind', KINDS)
def test_packed_predictions_are_those_of_the_plain_networks(kind):
    data = linear_data(60)
    dynamics = build(data, **kind)
    params = dynamics.init(seeded())
    states, actions = data.states.view(3, 20, 3), data.actions.view(3, 20, 2)
    plain = dynamics.predict(params, states, actions)
    torch.testing.assert_close(dynamics.packed(params)(states, actions), plain)
    one = Ensemble(dynamics, params).member(1)
    alone = one.dynamics.predict(one.params, states[1:2], actions[1:2])
    torch.testing.assert_close(alone, plain[1:2])


def test_a_new_length_of_weights_changes_nothing_that_is_predicted_by_directions():
    data = linear_data(60)
    normed = build(data, weight_norm=True)
    params = normed.init(seeded())
    states, actions = data.states.view(3, 20, 3), data.actions.view(3, 20, 2)
    plain = replace(normed, weight_norm=False).predict(params, states, actions)
    torch.testing.assert_close(normed.predict(params, states, actions), plain)
    longer = params | {'weight0': params['weight0'] * 5}
    torch.testing.assert_close(normed.predict(longer, states, actions), plain)


def test_log_variances_stay_between_their_bounds():
    data = linear_data(60)
    dynamics = build(data, probabilistic=True)
    params = {name: value * 50 for name, value in dynamics.init(seeded()).items()}
    params['max_log_var'], params['min_log_var'] = (
        torch.full((3, 3), value) for value in (MAX_LOG_VAR, MIN_LOG_VAR)
    )
    states, actions = data.states.view(3, 20, 3) * 100, data.actions.view(3, 20, 2)
    log_var = dynamics.changes(params, states, actions).log_var
    assert log_var.min() >= MIN_LOG_VAR and log_var.max() <= MAX_LOG_VAR + 1e-3


@pytest.mark.parametrize('kind', KINDS)
def test_no_step_is_larger_than_ten_standard_deviations(kind):
    data = linear_data(60)
    dynamics = build(data, **kind)
    params = {name: value * 100 for name, value in dynamics.init(seeded()).items()}
    states, actions = data.states.view(3, 20, 3), data.actions.view(3, 20, 2)
    normalizer = dynamics.normalizer
    for reached in (
        dynamics.predict(params, states, actions),
        dynamics.packed(params)(states, actions),
    ):
        size = ((reached - states - normalizer.delta_mean) / normalizer.delta_std).abs()
        assert float(size.max()) == pytest.approx(10.0, abs=1e-3)


def test_a_gaussian_ensemble_learns_how_large_the_noise_is():
    data = linear_data(2000, noise=0.3)
    dynamics = build(data, members=2, probabilistic=True)
    state = EnsembleState.of(dynamics.init(seeded()))
    mask = torch.rand(2000, 2, generator=seeded(1)) < 0.2
    schedule = EnsembleSchedule(30, 100, 1e-2, 0.0, 30)
    fit_ensemble(dynamics, state, EnsembleData(data, mask), schedule, seeded(2))
    both = (tensor.expand(2, *tensor.shape) for tensor in (data.states, data.actions))
    log_var = dynamics.changes(state.params, *both).log_var
    noise = (0.5 * log_var).exp().mean((0, 1)) * dynamics.normalizer.delta_std
    torch.testing.assert_close(noise, torch.full((3,), 0.3), atol=0.03, rtol=0)


def reference(dynamics, params, data, mask, schedule, orders):
    """Train one member by torch's own Adam on the rows in these orders; return its weights."""
    weights = {k: v.clone().requires_grad_() for k, v in params.items()}
    optimiser = torch.optim.Adam(list(weights.values()), lr=schedule.learning_rate)
    targets = dynamics.normalizer.delta(data)
    inputs = dynamics.inputs(data.states, data.actions)

    def loss(rows):
        return (mlp(weights, inputs[rows]) - targets[rows]).square().mean()

    def validation():
        return float(loss(mask.nonzero()[:, 0]).detach())

    rolling = lowest = best = validation()
    kept, waited = {k: v.detach().clone() for k, v in weights.items()}, 0
    for order in orders:
        for first in range(0, len(order) - schedule.batch_size + 1, schedule.batch_size):
            optimiser.zero_grad()
            loss(order[first : first + schedule.batch_size]).backward()
            optimiser.step()
        error = validation()
        if error < best:
            best, kept = error, {k: v.detach().clone() for k, v in weights.items()}
        rolling = schedule.persistency * rolling + (1 - schedule.persistency) * error
        waited = 0 if rolling < lowest else waited + 1
        lowest = min(lowest, rolling)
        if waited >= schedule.patience:
            break
    return kept, best


def test_members_equal_models_that_are_trained_alone():
    data = linear_data(300, noise=0.2)
    dynamics = build(data)
    params = dynamics.init(seeded())
    mask = torch.zeros(300, 3, dtype=torch.bool)
    for member in range(3):
        mask[torch.randperm(300, generator=seeded(member))[:60], member] = True
    schedule = EnsembleSchedule(40, 32, 2e-2, 0.5, 2)
    state = EnsembleState.of({k: v.clone() for k, v in params.items()})
    result = fit_ensemble(dynamics, state, EnsembleData(data, mask), schedule, seeded(3))
    assert len(result.epochs.unique()) > 1 and result.epochs.min() < 40, 'not all at once'
    stream = seeded(3)
    rows = [(~column).nonzero()[:, 0] for column in mask.T]
    orders = [
        [each[torch.randperm(len(each), generator=stream)] for each in rows] for _ in range(40)
    ]
    for member in range(3):
        own = {name: value[member] for name, value in params.items()}
        taken = [each[member] for each in orders]
        kept, best = reference(dynamics, own, data, mask[:, member], schedule, taken)
        assert best == pytest.approx(float(result.best[member]), rel=1e-3)
        for name, value in kept.items():
            torch.testing.assert_close(state.params[name][member], value, atol=1e-3, rtol=1e-2)


def test_a_fit_goes_on_from_a_file_as_if_it_had_not_stopped():
    data = linear_data(200, noise=0.2)
    dynamics = build(data, members=2)
    mask = torch.rand(200, 2, generator=seeded(1)) < 0.25
    schedule = EnsembleSchedule(4, 32, 1e-2, 0.5, 4)
    state = EnsembleState.of(dynamics.init(seeded()))
    fit_ensemble(dynamics, state, EnsembleData(data, mask), schedule, seeded(2))
    again = EnsembleState.from_tensors(state.tensors())
    for each in (state, again):
        fit_ensemble(dynamics, each, EnsembleData(data, mask), schedule, seeded(3))
    for name, value in state.tensors().items():
        assert torch.equal(value, again.tensors()[name]), name


def test_a_member_that_breaks_goes_back_to_its_best_and_leaves_the_others_alone():
    data = linear_data(200)
    dynamics = build(data, members=2)
    mask = torch.rand(200, 2, generator=seeded(1)) < 0.25
    schedule = EnsembleSchedule(3, 32, 1e-2, 0.5, 3)
    sound, broken = (EnsembleState.of(dynamics.init(seeded())) for _ in range(2))
    broken.first['weight0'][0] = torch.nan
    for state in (sound, broken):
        fit_ensemble(dynamics, state, EnsembleData(data, mask), schedule, seeded(2))
    assert all(value.isfinite().all() for value in broken.tensors().values())
    for name, value in sound.params.items():
        assert torch.equal(value[1], broken.params[name][1])


def test_a_member_without_validation_is_refused():
    data = linear_data(50)
    dynamics = build(data, members=2)
    mask = torch.zeros(50, 2, dtype=torch.bool)
    state = EnsembleState.of(dynamics.init(seeded()))
    with pytest.raises(ValueError, match='stopped by'):
        fit_ensemble(
            dynamics, state, EnsembleData(data, mask), EnsembleSchedule(1, 8, 1e-3, 0.5, 1),
            seeded(),
        )  # fmt: skip
