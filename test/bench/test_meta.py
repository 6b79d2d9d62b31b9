# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from mbmrl_ros.bench import meta
from mbmrl_ros.bench.meta import (
    MetaSize,
    autograd_loop,
    bench_meta,
    draw_batch,
    ours,
    plain_loss,
    relative_difference,
    vmap,
)
from mbmrl_ros.types import Transitions

CPU = torch.device('cpu')
TINY = MetaSize(tasks=3, past=6, future=4, width=16)


@pytest.mark.parametrize('other', [autograd_loop, vmap])
def test_the_peers_compute_the_same_gradient(other):
    batch = draw_batch(TINY, CPU, torch.float64)
    mine, theirs = ours(batch), other(batch)
    # 4 weights, 4 biases and a scale, and a step size for each.
    assert len(mine) == len(theirs) == 18
    assert all(float(gradient.abs().max()) > 0 for gradient in theirs)
    assert relative_difference(mine, theirs) < 1e-11


def test_the_peers_loss_is_ours_on_every_task():
    dynamics, params, _ = draw_batch(TINY, CPU, torch.float64).model
    window = draw_batch(TINY, CPU, torch.float64).past
    rows = [Transitions(*(tensor[task] for tensor in window)) for task in range(3)]
    expected = torch.stack([plain_loss(dynamics, params, row) for row in rows])
    torch.testing.assert_close(dynamics.loss(params, window), expected, rtol=1e-12, atol=0)


def test_the_relative_difference_is_that_of_the_worst_tensor():
    first = (torch.tensor([1.0, 2.0]), torch.tensor([[-4.0, 0.5]]))
    second = (torch.tensor([1.0, 2.1]), torch.tensor([[-5.0, 0.5]]))
    # 0.1 / 2.1 in the first tensor, 1 / 5 in the second.
    assert relative_difference(first, second) == pytest.approx(0.2)


def test_the_keys_that_are_promised_are_there():
    result = bench_meta(TINY, CPU, 2)
    assert (result['tasks'], result['past'], result['future']) == (3, 6, 4)
    assert all(result[name] > 0 for name in ('step_ms', 'autograd_loop_ms', 'vmap_ms', 'limit_ms'))
    assert 0 < result['max_relative_difference'] < 1e-5
    assert result['precision'] == 'float32'
    assert result['hidden_sizes'] == [16, 16, 16]


def test_ratios_are_those_of_the_medians(monkeypatch):
    times = {'step_ms': 40.0, 'autograd_loop_ms': 100.0, 'vmap_ms': 160.0, 'limit_ms': 32.0}
    monkeypatch.setattr(meta, 'alternate', lambda *arguments, **options: times)
    result = bench_meta(TINY, CPU, 1)
    assert {name: result[name] for name in times} == times
    assert result['speedup_loop'] == pytest.approx(2.5)
    assert result['speedup_vmap'] == pytest.approx(4.0)
    assert result['limit_ratio'] == pytest.approx(1.25)
