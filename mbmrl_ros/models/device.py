# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where to compute, and how exactly: chosen once, when a controller is configured."""

from __future__ import annotations

import functools
import statistics
import time
from typing import Literal

import torch

from mbmrl_ros.config import UserError, closest

Device = Literal['auto', 'cpu', 'cuda']
Precision = Literal['float32', 'bfloat16']
DEVICES = ('auto', 'cpu', 'cuda')
# bfloat16 rounds at 0.4 %, so it has to pay: where it is emulated it is slower than float32.
WORTHWHILE = 1.3


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
    """Return the precision of rollouts or fits; `auto` takes the faster one on this machine."""
    if wanted == 'auto':
        return fastest_precision(device)
    if wanted not in ('float32', 'bfloat16'):
        raise UserError(f'unknown precision {wanted!r}; valid: auto, float32, bfloat16')
    return 'bfloat16' if wanted == 'bfloat16' else 'float32'


@functools.cache
def fastest_precision(device: torch.device) -> Precision:
    """Measure which precision multiplies a planner's matrices faster: about 0.1 s, once.

    Medians over alternating repetitions of [512, 512] times [512, 512].
    """
    durations: dict[Precision, list[float]] = {'float32': [], 'bfloat16': []}
    for repetition in range(12):
        for precision, taken in durations.items():
            duration = _product_s(device, getattr(torch, precision))
            if repetition >= 2:
                taken.append(duration)
    gain = statistics.median(durations['float32']) / statistics.median(durations['bfloat16'])
    return 'bfloat16' if gain >= WORTHWHILE else 'float32'


def _product_s(device: torch.device, dtype: torch.dtype) -> float:
    left, right = (torch.ones(512, 512, dtype=dtype, device=device) for _ in range(2))
    out = torch.empty_like(left)
    synchronize(device)
    started = time.perf_counter()
    for _ in range(3):
        torch.mm(left, right, out=out)
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    """Wait until everything that was launched is done; on the CPU it is."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
