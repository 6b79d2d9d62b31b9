# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The choice of device and precision."""

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.models import device as module
from mbmrl_ros.models.device import choose_device, choose_precision, fastest_precision

CPU = torch.device('cpu')


@pytest.mark.parametrize('wanted', ['cuda', 'auto'])
def test_without_a_gpu_the_cpu_computes_and_whoever_asked_for_a_gpu_is_told(wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    device, message = choose_device(wanted)
    assert device == CPU
    assert bool(message) == (wanted == 'cuda')
    assert '\n' not in message


def test_with_a_gpu_only_the_cpu_has_to_be_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert [choose_device(wanted)[0].type for wanted in ('auto', 'cuda', 'cpu')] == [
        'cuda', 'cuda', 'cpu',
    ]  # fmt: skip


def test_unknown_names_are_answered_with_the_valid_ones():
    with pytest.raises(UserError, match=r"unknown device 'gpu'.*cuda"):
        choose_device('gpu')
    with pytest.raises(UserError, match=r"unknown precision 'half'.*bfloat16"):
        choose_precision('half', CPU)


@pytest.mark.parametrize(
    ('seconds', 'expected'),
    [
        ({torch.float32: 4.0, torch.bfloat16: 1.0}, 'bfloat16'),
        ({torch.float32: 1.0, torch.bfloat16: 5.0}, 'float32'),
        ({torch.float32: 1.0, torch.bfloat16: 0.9}, 'float32'),
    ],
)
def test_auto_takes_bfloat16_only_where_it_pays(seconds, expected, monkeypatch):
    calls = []

    def duration(device, dtype):
        calls.append(dtype)
        # One outlier per precision must not decide.
        return 100.0 if calls.count(dtype) == 5 else seconds[dtype]

    monkeypatch.setattr(module, '_product_s', duration)
    fastest_precision.cache_clear()
    try:
        assert choose_precision('auto', CPU) == expected
        measured = len(calls)
        assert choose_precision('auto', CPU) == expected
        assert len(calls) == measured, 'it is measured once'
    finally:
        fastest_precision.cache_clear()


def test_a_named_precision_is_not_measured(monkeypatch):
    monkeypatch.setattr(module, '_product_s', lambda device, dtype: pytest.fail('measured'))
    assert choose_precision('float32', CPU) == 'float32'
    assert choose_precision('bfloat16', CPU) == 'bfloat16'
