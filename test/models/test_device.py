# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The choice of device and precision."""

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.models import device as module
from mbmrl_ros.models.device import choose_device, choose_precision, cpu_features

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


@pytest.fixture
def processor(tmp_path, monkeypatch):
    """Return what makes the file that Linux describes its processors in."""

    def describe(text: str) -> None:
        path = tmp_path / 'cpuinfo'
        path.write_text(text)
        monkeypatch.setattr(module, 'CPUINFO', path)
        cpu_features.cache_clear()

    yield describe
    cpu_features.cache_clear()


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        ('fpu avx512f amx_tile amx_bf16', 'bfloat16'),
        ('fpu avx512f avx512_bf16', 'bfloat16'),
        ('fpu avx2 avx512f avx512_vnni', 'float32'),
        # Not by a part of a name.
        ('fpu no_amx_bf16_here', 'float32'),
        ('', 'float32'),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_multiplies_it(flags, expected, processor):
    core = f'processor\t: 0\nmodel name\t: some\nflags\t\t: {flags}\n'
    processor(core + '\n' + core)
    assert choose_precision('auto', CPU) == expected


def test_a_processor_that_is_not_described_computes_in_float32(processor, tmp_path, monkeypatch):
    processor('')
    monkeypatch.setattr(module, 'CPUINFO', tmp_path / 'none')
    assert choose_precision('auto', CPU) == 'float32'


@pytest.mark.parametrize(('capability', 'expected'), [((7, 5), 'float32'), ((9, 0), 'bfloat16')])
def test_auto_takes_bfloat16_on_gpus_that_multiply_it(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: capability)
    assert choose_precision('auto', torch.device('cuda')) == expected


def test_auto_does_not_depend_on_how_busy_the_machine_is(monkeypatch):
    # Equal seeds have to give equal results: nothing may be timed to choose.
    def timed(*args, **kwargs):
        pytest.fail('something was timed or computed')

    cpu_features.cache_clear()
    for clock in ('perf_counter', 'monotonic', 'time', 'process_time'):
        monkeypatch.setattr(f'time.{clock}', timed)
    monkeypatch.setattr(torch, 'mm', timed)
    assert choose_precision('auto', CPU) in ('float32', 'bfloat16')


def test_a_named_precision_is_taken_whatever_the_processor_can_do(processor):
    for flags in ('amx_bf16', ''):
        processor(f'flags : {flags}\n')
        assert choose_precision('float32', CPU) == 'float32'
        assert choose_precision('bfloat16', CPU) == 'bfloat16'
