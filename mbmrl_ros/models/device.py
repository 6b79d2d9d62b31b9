# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where to compute, and how exactly: chosen once, when a controller is configured."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import torch

from mbmrl_ros.config import UserError, closest

Device = Literal['auto', 'cpu', 'cuda']
Precision = Literal['float32', 'bfloat16']
PlanningPrecision = Literal['float32', 'bfloat16', 'int8']
DEVICES = ('auto', 'cpu', 'cuda')
# bfloat16 rounds at 0.4 %, so it has to pay: where it is emulated it is slower than float32.
# Instructions that multiply bfloat16, as Linux names them, and the first GPUs that do (Ampere).
CPU_FEATURES = frozenset({'amx_bf16', 'avx512_bf16'})
CUDA_CAPABILITY = (8, 0)
# Without it a product of integers of 8 bits saturates at 16, or is no faster than float32.
INT8_FEATURE = 'avx512_vnni'
CPUINFO = Path('/proc/cpuinfo')


def choose_device(wanted: str) -> tuple[torch.device, str]:
    """Return the device and, if it is not the one that was wanted, one line that says why.

    auto: the GPU if there is one. UserError on an unknown name.
    """
    if wanted not in DEVICES:
        raise UserError(f'unknown device {wanted!r}; {closest(wanted, DEVICES)}')
    if wanted != 'cpu' and torch.cuda.is_available():
        return torch.device('cuda'), ''
    message = 'no CUDA device was found: computing on the CPU' if wanted == 'cuda' else ''
    return torch.device('cpu'), message


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """Return the precision of rollouts or fits; `auto` takes the one that the device is made for.

    It goes by what the processor can do, never by a timing: so a machine always chooses alike,
    however busy it is, and equal seeds give equal results.
    """
    if wanted == 'auto':
        return native_precision(device)
    if wanted not in ('float32', 'bfloat16'):
        raise UserError(
            f'unknown precision {wanted!r}; valid: auto, float32, bfloat16, and int8 for plans'
        )
    return 'bfloat16' if wanted == 'bfloat16' else 'float32'


def native_precision(device: torch.device) -> Precision:
    """Return bfloat16 where the device multiplies it by instructions of its own."""
    if device.type == 'cuda':
        native = torch.cuda.get_device_capability(device) >= CUDA_CAPABILITY
    else:
        native = bool(cpu_features() & CPU_FEATURES)
    return 'bfloat16' if native else 'float32'


@functools.cache
def cpu_features() -> frozenset[str]:
    """Return what Linux says that the first processor can do; nothing where it cannot be read."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(':') for line in lines)
    flags = next((value for key, _, value in found if key.strip() in ('flags', 'Features')), '')
    return frozenset(flags.split())


def synchronize(device: torch.device) -> None:
    """Wait until everything that was launched is done; on the CPU it is."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
