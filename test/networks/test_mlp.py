# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network as functions of explicit parameters, shared, per row, or with low-rank changes."""

import itertools
import math

import pytest
import torch

from mbmrl_ros.networks.mlp import add_low_rank_update, dense, init_mlp, layer_count, mlp

SIZES = (5, 16, 8, 3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return parameters in float64, with biases that are not zero."""
    generator = seeded(seed)
    params = {name: value.double() for name, value in init_mlp(SIZES, generator).items()}
    return {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.1
        if name.startswith('bias')
        else value
        for name, value in params.items()
    }


def changed(params: dict[str, torch.Tensor], rows: int, rank: int, seed: int):
    """Return params with a random change of some rank for every row."""
    generator = seeded(seed)
    result = dict(params)
    for layer in range(layer_count(params)):
        out, fan_in = params[f'weight{layer}'].shape[-2:]
        draw = {'generator': generator, 'dtype': torch.float64}
        inputs, signals = (
            torch.randn(rows, rank, fan_in, **draw),
            torch.randn(rows, rank, out, **draw),
        )
        bias = torch.randn(rows, out, **draw)
        rates = torch.rand(rank, **draw)
        result |= add_low_rank_update(result, layer, inputs, 0.1 * signals, rates, bias)
    return result


def test_glorot_draws_fill_their_interval_and_biases_are_zero():
    params = init_mlp((300, 500, 2), seeded())
    assert set(params) == {'weight0', 'bias0', 'weight1', 'bias1'}
    for layer, (fan_in, fan_out) in enumerate([(300, 500), (500, 2)]):
        weight = params[f'weight{layer}']
        bound = math.sqrt(6 / (fan_in + fan_out))
        assert weight.shape == (fan_out, fan_in)
        assert weight.abs().max() <= bound
        # The variance of U(-b, b) is b^2/3; its estimate from n draws has a relative deviation
        # of sqrt(0.8/n) (kurtosis 1.8): 5 of them are 0.14 for the 1000 draws of layer 1.
        assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.15)
        assert not params[f'bias{layer}'].any()


def test_equal_seeds_draw_equal_parameters_and_other_seeds_others():
    first, again, other = (init_mlp(SIZES, seeded(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first['weight0'], other['weight0'])


def test_it_is_the_network_of_torch():
    params = drawn()
    layers: list[torch.nn.Module] = []
    for layer in range(3):
        linear = torch.nn.Linear(SIZES[layer], SIZES[layer + 1], dtype=torch.float64)
        linear.load_state_dict(
            {'weight': params[f'weight{layer}'], 'bias': params[f'bias{layer}']}
        )
        layers += [linear, torch.nn.ReLU()]
    reference = torch.nn.Sequential(*layers[:-1])
    inputs = torch.randn(7, 11, 5, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(mlp(params, inputs), reference(inputs), rtol=1e-12, atol=1e-12)


def test_every_row_uses_its_own_parameters():
    rows = [drawn(seed) for seed in range(4)]
    stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    inputs = torch.randn(4, 6, 5, generator=seeded(1), dtype=torch.float64)
    expected = torch.stack([mlp(row, inputs[i]) for i, row in enumerate(rows)])
    torch.testing.assert_close(mlp(stacked, inputs), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('times', [1, 3])
def test_low_rank_changes_are_the_dense_weights_they_stand_for(times):
    shared = drawn()
    params = shared
    expected = {name: value.expand(4, *value.shape) for name, value in shared.items()}
    for step in range(times):
        previous = params
        params = changed(params, rows=4, rank=2, seed=step)
        for layer in range(3):
            new = slice(2 * step, None)
            product = params[f'lowrank_out{layer}'][:, new].transpose(1, 2) @ (
                params[f'lowrank_lr{layer}'][new, None] * params[f'lowrank_in{layer}'][:, new]
            )
            expected[f'weight{layer}'] = expected[f'weight{layer}'] - product
            expected[f'bias{layer}'] = params[f'bias{layer}']
            assert params[f'weight{layer}'] is previous[f'weight{layer}'], 'no copy per row'
    assert params['lowrank_in0'].shape == (4, 2 * times, 5)
    multiplied = dense(params)
    assert set(multiplied) == set(shared)
    for name, value in multiplied.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12)
    inputs = torch.randn(4, 6, 5, generator=seeded(9), dtype=torch.float64)
    torch.testing.assert_close(
        mlp(params, inputs), mlp(multiplied, inputs), rtol=1e-11, atol=1e-11
    )


def test_parameters_without_factors_are_dense_already():
    params = drawn()
    assert all(value is params[name] for name, value in dense(params).items())


def test_taps_hold_what_passed_through_each_layer():
    params = drawn()
    inputs = torch.randn(2, 6, 5, generator=seeded(1), dtype=torch.float64)
    records = []
    outputs = mlp(params, inputs, records)
    assert [record.layer for record in records] == [0, 1, 2]
    assert records[0].inputs is inputs
    assert records[2].outputs is outputs
    for record in records:
        weight, bias = params[f'weight{record.layer}'], params[f'bias{record.layer}']
        torch.testing.assert_close(record.outputs, record.inputs @ weight.T + bias)
    for before, after in itertools.pairwise(records):
        assert torch.equal(after.inputs, before.outputs.relu())


def test_a_scale_multiplies_the_inputs_of_all_rows_or_of_each():
    params = drawn()
    inputs = torch.randn(4, 6, 5, generator=seeded(1), dtype=torch.float64)
    scale = torch.rand(4, 5, generator=seeded(2), dtype=torch.float64) + 0.5
    for scales in (scale[0], scale):
        records = []
        outputs = mlp({'scale': scales} | params, inputs, records)
        factor = scales if scales.dim() == 1 else scales[:, None]
        torch.testing.assert_close(outputs, mlp(params, inputs * factor), rtol=1e-12, atol=1e-12)
        assert [record.layer for record in records] == ['scale', 0, 1, 2]
        assert records[0].inputs is inputs
        assert torch.equal(records[0].outputs, inputs * factor)
    assert dense(changed({'scale': scale} | params, rows=4, rank=2, seed=0))['scale'] is scale


def test_the_activation_stands_between_the_layers():
    params = drawn()
    inputs = torch.randn(2, 6, 5, generator=seeded(1), dtype=torch.float64)
    hidden = inputs
    for layer in range(3):
        hidden = hidden if layer == 0 else hidden.tanh()
        hidden = hidden @ params[f'weight{layer}'].T + params[f'bias{layer}']
    torch.testing.assert_close(mlp(params, inputs, activation=torch.tanh), hidden)
    assert torch.equal(mlp(params, inputs), mlp(params, inputs, activation=torch.relu))
