# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import sys

import pytest
import torch

from mbmrl_ros.bench import tick
from mbmrl_ros.bench.compare import alternate
from mbmrl_ros.bench.model import bench_robot, draw_windows, make_model
from mbmrl_ros.bench.tick import TickSize, bench_tick, tick_precision
from mbmrl_ros.config import UserError
from mbmrl_ros.models import kinds
from mbmrl_ros.models.device import INT8_FEATURE, cpu_features

CPU = torch.device('cpu')
TINY = TickSize(candidates=20, horizon=3, width=16, window=8)


def known(monkeypatch: pytest.MonkeyPatch, times: dict[str, float]) -> None:
    """Let the contenders run, but say that they took these times."""

    def instead(contenders, repetitions, device, label):
        alternate(contenders, repetitions, device, label)
        return {name: times[name] for name in (*contenders, 'adapt_ms', 'plan_ms')}

    monkeypatch.setattr(tick, 'alternate', instead)


def test_ratios_are_those_of_the_medians(monkeypatch):
    times = {'tick_ms': 50.0, 'adapt_ms': 8.0, 'plan_ms': 41.0, 'limit_ms': 40.0}
    known(monkeypatch, times | {'adapt_limit_ms': 2.0, 'pytorch_mppi_ms': 200.0})
    result = bench_tick(TINY, 'float32', CPU, 1)
    assert {name: result[name] for name in times} == times
    assert result['limit_ratio'] == pytest.approx(1.25)
    assert result['speedup'] == pytest.approx(4.0)
    assert result['adapt_limit_ms'] == 2.0


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_the_keys_that_are_promised_are_there(precision):
    result = bench_tick(TINY, precision, CPU, 2)
    assert (result['candidates'], result['horizon'], result['window']) == (20, 3, 8)
    assert result['precision'] == precision
    assert (result['state_size'], result['action_size']) == (20, 6)
    assert result['hidden_sizes'] == [16, 16, 16]
    for name in ('adapt_ms', 'plan_ms', 'tick_ms', 'limit_ms', 'pytorch_mppi_ms'):
        assert result[name] > 0
    assert result['note'] is None
    # A refused step would be another computation than that of the robot.
    assert result['adaptation_accepted'] is True


@pytest.mark.skipif(INT8_FEATURE not in cpu_features(), reason='needs ' + INT8_FEATURE)
def test_int8_is_timed_beside_float32():
    result = bench_tick(TINY, tick_precision('int8', CPU, TINY), CPU, 1, peers=False)
    assert result['precision'] == 'int8' and result['adaptation_accepted'] is True
    assert min(result[name] for name in ('tick_ms', 'limit_ms', 'float32_ms')) > 0


def test_int8_that_cannot_be_computed_is_not_timed(monkeypatch):
    monkeypatch.setattr(kinds, 'cpu_features', frozenset)
    with pytest.raises(UserError, match=INT8_FEATURE):
        tick_precision('int8', CPU, TINY)
    assert tick_precision('float32', CPU, TINY) == 'float32'


def test_an_ensemble_is_timed_as_one_is():
    result = bench_tick(dataclasses.replace(TINY, members=3), 'float32', CPU, 1, peers=False)
    assert result['members'] == 3 and result['adaptation_accepted'] is True
    assert result['tick_ms'] > 0


def test_without_the_peer_ours_and_the_limit_are_measured_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pytorch_mppi', None)
    result = bench_tick(TINY, 'float32', CPU, 1)
    assert result['pytorch_mppi_ms'] is None and result['speedup'] is None
    assert "pip install 'pytorch_mppi" in result['note']
    assert result['limit_ratio'] > 0


def test_all_layers_of_the_model_adapt_alike():
    model = make_model(16, CPU)
    assert set(model.step_sizes) == set(model.params)
    assert len({float(size) for size in model.step_sizes.values()}) == 1
    assert all(float(size) > 0 for size in model.step_sizes.values())
    # 19 of 20 channels are inputs, and 6 actions.
    assert model.dynamics.sizes == (25, 16, 16, 16, 20)


def test_windows_are_drawn_in_normalised_units():
    windows = draw_windows(200, 50, 0, CPU)
    change = windows.next_states - windows.states
    # 200 000 draws of a standard normal: the standard deviation is known to 1 / sqrt(400 000).
    for values in (windows.states, change):
        assert float(values.std()) == pytest.approx(1.0, abs=5 * 400_000**-0.5)
    assert windows.states.shape == (200, 50, bench_robot().state_size)
    assert float(windows.actions.abs().max()) <= 1.0
