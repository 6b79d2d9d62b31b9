# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recurrent policies against torch's cells."""

import pytest
import torch

from mbmrl_ros.policies.recurrent import RecurrentPolicy


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def torch_cell(policy, params):
    kind = torch.nn.LSTMCell if policy.cell == 'lstm' else torch.nn.GRUCell
    cell = kind(policy.input_size, policy.units)
    hidden = torch.zeros_like(params['bias_input'])
    if policy.cell == 'gru':
        hidden[2 * policy.units :] = params['bias_hidden']
    cell.load_state_dict(
        {
            'weight_ih': params['weight_input'],
            'weight_hh': params['weight_hidden'],
            'bias_ih': params['bias_input'],
            'bias_hh': hidden,
        }
    )
    return cell


@pytest.mark.parametrize('cell', ['gru', 'lstm'])
def test_it_is_torchs_cell_with_a_linear_mean(cell):
    policy = RecurrentPolicy(4, 2, 8, cell)
    params = policy.init(seeded())
    if cell == 'gru':
        params['bias_hidden'] = torch.randn(8, generator=seeded(1))
    inputs = torch.randn(3, 5, 4, generator=seeded(2))
    reference, state = torch_cell(policy, params), None
    carry = policy.empty(3)
    for step in range(5):
        carry, distribution = policy.step(params, carry, inputs[:, step])
        state = reference(inputs[:, step], state)
        output = state[0] if cell == 'lstm' else state
        mean = output @ params['weight_output'].T + params['bias_output']
        torch.testing.assert_close(distribution['mean'], mean)


@pytest.mark.parametrize('cell', ['gru', 'lstm'])
def test_unrolling_is_stepping_in_any_number_of_pieces(cell):
    policy = RecurrentPolicy(4, 2, 8, cell)
    params = policy.init(seeded())
    inputs = torch.randn(3, 7, 4, generator=seeded(2))
    carry, means = policy.empty(3), []
    for step in range(7):
        carry, distribution = policy.step(params, carry, inputs[:, step])
        means.append(distribution['mean'])
    last, whole = policy.unroll(params, policy.empty(3), inputs)
    torch.testing.assert_close(whole['mean'], torch.stack(means, 1))
    torch.testing.assert_close(last, carry)
    middle, first = policy.unroll(params, policy.empty(3), inputs[:, :3])
    _, second = policy.unroll(params, middle, inputs[:, 3:])
    torch.testing.assert_close(torch.cat([first['mean'], second['mean']], 1), whole['mean'])
