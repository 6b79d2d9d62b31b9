# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The dynamics model: what goes in, what comes out, what the loss is."""

import torch

from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.mlp import mlp
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Transitions

NORMALIZER = Normalizer(
    torch.tensor([1.0, -2.0, 0.5]),
    torch.tensor([2.0, 0.5, 4.0]),
    torch.tensor([0.1, 0.0, -0.2]),
    torch.tensor([0.3, 2.0, 0.5]),
)
DYNAMICS = MLPDynamics(3, 2, (1, 2), (8,), NORMALIZER)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_inputs_are_normalised_states_without_the_masked_channel_and_actions_as_they_are():
    state, action = torch.tensor([9.0, -1.0, 8.5]), torch.tensor([0.3, -0.7])
    # (-1 + 2) / 0.5 = 2 and (8.5 - 0.5) / 4 = 2.
    torch.testing.assert_close(DYNAMICS.inputs(state, action), torch.tensor([2.0, 2.0, 0.3, -0.7]))


def test_a_step_adds_the_predicted_change_in_units():
    params = DYNAMICS.init(torch.Generator().manual_seed(0))
    state, action = draw(2, 5, 3), draw(2, 5, 2, seed=1)
    carry, following = DYNAMICS.step(params, None, state, action)
    output = mlp(params, DYNAMICS.inputs(state, action))
    expected = state + NORMALIZER.delta_mean + NORMALIZER.delta_std * output
    assert carry is None
    torch.testing.assert_close(following, expected)


def test_a_masked_channel_is_predicted_but_moves_nothing():
    params = DYNAMICS.init(torch.Generator().manual_seed(0))
    state, action = draw(1, 5, 3), draw(1, 5, 2, seed=1)
    _, following = DYNAMICS.step(params, None, state, action)
    moved = state + torch.tensor([100.0, 0.0, 0.0])
    _, elsewhere = DYNAMICS.step(params, None, moved, action)
    assert torch.equal(elsewhere[..., 1:], following[..., 1:])
    torch.testing.assert_close(
        elsewhere[..., 0] - moved[..., 0], following[..., 0] - state[..., 0], atol=1e-5, rtol=0
    )
    assert (following[..., 0] != state[..., 0]).all()


def test_the_loss_is_the_mean_squared_error_of_normalised_changes_of_each_row():
    params = DYNAMICS.init(torch.Generator().manual_seed(0))
    data = Transitions(draw(4, 6, 3), draw(4, 6, 2, seed=1), draw(4, 6, 3, seed=2))
    _, predicted = DYNAMICS.step(params, None, data.states, data.actions)
    errors = ((predicted - data.next_states) / NORMALIZER.delta_std).square()
    loss = DYNAMICS.loss(params, data)
    assert loss.shape == (4,)
    torch.testing.assert_close(loss, errors.mean((1, 2)))
    torch.testing.assert_close(DYNAMICS.errors(params, data), errors, atol=1e-5, rtol=1e-4)


def test_a_perfect_prediction_costs_nothing():
    params = DYNAMICS.init(torch.Generator().manual_seed(0))
    state, action = draw(1, 6, 3), draw(1, 6, 2, seed=1)
    _, following = DYNAMICS.step(params, None, state, action)
    # Rounding of states of size 3 in float32 is 2e-7, and the changes are 0.3 wide.
    assert float(DYNAMICS.loss(params, Transitions(state, action, following))) < 1e-10


def test_the_model_of_a_robot_has_its_sizes():
    spec = load_robot('half_cheetah')
    dynamics = build_dynamics(spec, (512, 512, 512))
    assert dynamics.sizes == (18 + 6, 512, 512, 512, 19)
    assert dynamics.input_indices == tuple(range(1, 19))


def test_beyond_the_limit_of_the_input_a_channel_does_not_count_any_further():
    limited = MLPDynamics(3, 2, (1, 2), (8,), NORMALIZER, input_limit=2.0)
    params = limited.init(torch.Generator().manual_seed(0))
    action = torch.tensor([3.0, -3.0])

    def change(dynamics: MLPDynamics, deviations: float) -> torch.Tensor:
        state = NORMALIZER.state_mean + NORMALIZER.state_std * torch.tensor([0.0, deviations, 1.0])
        return dynamics.step(params, None, state, action)[1] - state

    torch.testing.assert_close(change(limited, 2.0), change(limited, 40.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(change(limited, 1.9), change(DYNAMICS, 1.9))
    assert (change(DYNAMICS, 40.0) - change(DYNAMICS, 2.0)).abs().max() > 0.1
