# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A network in 8-bit integers against the same one in float64."""

import itertools

import pytest
import torch

from mbmrl_ros.models.device import INT8_FEATURE, cpu_features
from mbmrl_ros.networks.int8 import (
    LARGEST_ACTIVATION,
    LARGEST_WEIGHT,
    MARGIN,
    Int8Network,
    activation_steps,
)

pytestmark = pytest.mark.skipif(INT8_FEATURE not in cpu_features(), reason='needs ' + INT8_FEATURE)
Layers = tuple[list[torch.Tensor], list[torch.Tensor]]


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layers(*sizes: int, groups: int = 1) -> Layers:
    """Return Glorot weights [G, out, in] and biases [G, 1, out]."""
    pairs = list(itertools.pairwise(sizes))
    uniform = torch.Generator().manual_seed(0)
    weights = [
        (torch.rand(groups, after, before, generator=uniform) * 2 - 1)
        * (6 / (before + after)) ** 0.5
        for before, after in pairs
    ]
    return weights, [0.1 * draw(groups, 1, after, seed=20 + after) for _, after in pairs]


def exact(weights: list[torch.Tensor], biases: list[torch.Tensor], rows: torch.Tensor):
    """Return the outputs in float64 and the hidden activations of every layer."""
    hidden = [rows.double()]
    for weight, bias in zip(weights, biases):
        hidden.append((hidden[-1] @ weight.double().transpose(1, 2) + bias.double()).relu())
    return hidden[-2] @ weights[-1].double().transpose(1, 2) + biases[-1].double(), hidden[1:-1]


# Such worst-case bounds grow with the absolute row sums of every layer.
@pytest.mark.parametrize(('sizes', 'share'), [((7, 16, 5), 0.2), ((7, 16, 16, 5), 1.0)])
def test_errors_stay_within_the_bound_of_the_roundings(sizes, share):
    # A step of a weight is s = its row's largest / 127, of an activation a. So weights are off by
    # s / 2 and activations by a / 2 at most, besides what comes in; ReLU makes no error larger.
    weights, biases = layers(*sizes)
    rows = draw(1, 200, 7, seed=1)
    steps = activation_steps([w[0] for w in weights], [b[0, 0] for b in biases], rows[0])
    expected, hidden = exact(weights, biases, rows)
    for step, values in zip(steps, hidden):
        # The range is that of these very rows and the margin.
        assert float(values.max()) * MARGIN == pytest.approx(LARGEST_ACTIVATION * step, rel=1e-5)
    error = torch.full_like(hidden[0], steps[0] / 2)
    for index, weight in enumerate(weights[1:]):
        size = weight[0].abs().double()
        unit = size.amax(1) / LARGEST_WEIGHT / 2
        value = hidden[index]
        error = error @ (size + unit[:, None]).T + unit * value.sum(-1, keepdim=True)
        if index + 1 < len(steps):
            error = error + steps[index + 1] / 2
    result = Int8Network(weights, biases, rows).rounded(rows)
    off = (result - expected).abs()
    assert result.dtype == torch.float32
    assert (off <= error + 1e-5).all()
    assert off.max() > 1e-4, 'it was computed in integers'
    assert error.mean() < share * expected.abs().mean(), 'the bound says something'


def test_the_papers_network_is_good_to_two_and_a_half_percent():
    # Weights are uniform: a step of 1 / 127 of their bound is off by 1 / (127 sqrt(12)), against
    # a size of 1 / sqrt(3): 0.4 %. The largest of 64 x 512 normal activations is at 4.1 standard
    # deviations, a step 2 x 4.1 / 255, off by 0.93 % of one, against a size of 1 / sqrt(2):
    # 1.3 %. Three layers of each, independent: sqrt(3 (0.4^2 + 1.3^2)) = 2.4 %.
    weights, biases = layers(26, 512, 512, 512, 20)
    rows = draw(1, 2000, 26, seed=1)
    expected, _ = exact(weights, biases, rows)
    result = Int8Network(weights, biases, rows[:, :64])(rows)
    assert (result - expected).norm() < 0.025 * expected.norm()


def test_what_is_off_for_all_rows_alike_is_taken_off():
    # Of one state and many actions, as at the first step of a plan. The mean of 64 rows is exact
    # for these, and for all to what the rest of the roundings leaves: 1 / sqrt(64) of it.
    weights, biases = layers(26, 256, 256, 20)
    rows = draw(1, 1, 26, seed=1).repeat(1, 640, 1)
    rows[..., 20:] = draw(1, 640, 6, seed=2)
    net = Int8Network(weights, biases, rows)
    expected, _ = exact(weights, biases, rows)
    off = (net(rows) - expected)[0]
    torch.testing.assert_close(off[::10].mean(0), torch.zeros(20).double(), rtol=0, atol=1e-5)
    assert off.mean(0).norm() < 2 * off.std(0).norm() / 8
    assert off.norm() < (net.rounded(rows) - expected).norm()


@pytest.mark.parametrize('count', [1, 150])
@pytest.mark.parametrize('value', [1e2, 1e4, 1e18, 1e30])
def test_rollouts_that_run_away_leave_the_others_as_they_are(count, value):
    weights, biases = layers(26, 256, 256, 20)
    rows = draw(1, 256, 26, seed=1)
    net = Int8Network(weights, biases, rows)
    expected, _ = exact(weights, biases, rows)
    rounding = (net(rows) - expected).norm(dim=-1).mean()
    rows[:, :count] *= value
    # What is common to some rows less is known less well, by less than the rest of a rounding.
    assert (net(rows) - expected)[:, count:].norm(dim=-1).mean() < 1.2 * rounding


def test_what_is_below_zero_between_layers_counts_as_zero():
    weights, biases = layers(4, 8, 8, 3)
    biases[1] = torch.full_like(biases[1], -100.0)
    result = Int8Network(weights, biases, draw(1, 10, 4, seed=1))(draw(1, 10, 4, seed=2))
    assert torch.equal(result, biases[-1].expand_as(result))


def test_every_group_has_its_own_weights_and_one_set_serves_all():
    weights, biases = layers(4, 32, 32, 3, groups=3)
    rows = draw(3, 50, 4, seed=1)
    mixed = [weights[0], weights[1][:1], weights[2]]
    result = Int8Network(mixed, biases, rows)(rows)
    for group in range(3):
        own = [w[group : group + 1] if len(w) > 1 else w for w in mixed]
        part = rows[group : group + 1]
        alone = Int8Network(own, [b[group : group + 1] for b in biases], part)(part)
        assert torch.equal(result[group], alone[0])


def test_activations_beyond_the_range_are_cut_off_there():
    weights = [torch.ones(1, 1, 1), torch.ones(1, 1, 1)]
    biases = [torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)]
    net = Int8Network(weights, biases, torch.ones(1, 1, 1))
    result = net.rounded(torch.tensor([[[0.5], [MARGIN], [10.0], [-1.0]]])).flatten()
    step = MARGIN / LARGEST_ACTIVATION
    torch.testing.assert_close(
        result, torch.tensor([0.5, MARGIN, MARGIN, 0.0]), rtol=0, atol=step / 2 + 1e-6
    )


@pytest.mark.parametrize('what', ['weight', 'bias'])
@pytest.mark.parametrize('layer', [0, 1, 2])
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_parameters_that_are_not_finite_are_never_hidden(what, layer, value):
    weights, biases = layers(4, 8, 8, 3)
    (weights if what == 'weight' else biases)[layer][0, 0, 0] = value
    rows = draw(1, 10, 4, seed=1)
    assert Int8Network(weights, biases, rows)(rows).isnan().all()


@pytest.mark.parametrize('value', [torch.nan, torch.inf, -torch.inf])
def test_an_input_that_is_not_finite_breaks_its_row_alone(value):
    weights, biases = layers(4, 8, 8, 3)
    rows = draw(1, 10, 4, seed=1)
    before = Int8Network(weights, biases, rows)(rows)
    rows[0, 7, 2] = value
    after = Int8Network(weights, biases, draw(1, 10, 4, seed=1))(rows)
    assert after[0, 7].isnan().all()
    # The others miss its tenth of what is taken off all of them, a few percent of their size.
    torch.testing.assert_close(after[0, :7], before[0, :7], rtol=0, atol=0.01)
    calibrated = Int8Network(weights, biases, rows)(rows)
    assert calibrated[0, :7].isfinite().all(), 'what is broken does not count in the range'
