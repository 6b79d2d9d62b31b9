# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time contenders side by side: alternating repetitions in one process, medians."""

from __future__ import annotations

import importlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from tqdm import tqdm

from mbmrl_ros.config import UserError
from mbmrl_ros.models.device import synchronize

Parts = Mapping[str, float]
"""Durations [ms] of parts of a run, by name."""

WARM_UP = 3
# Without a terminal: how often a line says how far it is.
SAY_S = 5.0


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Contender:
    """Something to be timed.

    run: what is timed; it may return durations of its parts. prepare: what goes before every
    run, and is not timed.
    """

    run: Callable[[], Parts | None]
    prepare: Callable[[], object] = _nothing


def alternate(
    contenders: Mapping[str, Contender],
    repetitions: int,
    device: torch.device | None = None,
    label: str = '',
    warm_up: int = WARM_UP,
) -> dict[str, float]:
    """Run all contenders in turn, repeatedly; return the median durations [ms] by name.

    Whatever slows the machine for a while slows all of them. Every repetition begins with another
    contender, so that none always follows the same one. label: of the progress bar. warm_up:
    repetitions that are not counted.
    """
    device = device or torch.device('cpu')
    names = list(contenders)
    durations: dict[str, list[float]] = {}
    with tqdm(
        total=(warm_up + repetitions) * len(names),
        desc=f'bench: {label}',
        unit='run',
        mininterval=0.1 if sys.stderr.isatty() else SAY_S,
    ) as bar:
        for repetition in range(warm_up + repetitions):
            first = repetition % len(names)
            for name in names[first:] + names[:first]:
                taken = _time(name, contenders[name], device)
                bar.update()
                if repetition >= warm_up:
                    for part, duration in taken.items():
                        durations.setdefault(part, []).append(duration)
    return {part: statistics.median(values) for part, values in durations.items()}


def _time(name: str, contender: Contender, device: torch.device) -> dict[str, float]:
    contender.prepare()
    synchronize(device)
    started = time.perf_counter()
    parts = contender.run()
    synchronize(device)
    return {name: (time.perf_counter() - started) * 1e3, **(parts or {})}


def peer(module: str, requirement: str) -> ModuleType:
    """Import what a benchmark compares with; UserError says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f'this benchmark compares with {module}, which is not installed: '
            f"pip install '{requirement}'"
        ) from error


def conditions(device: torch.device, repetitions: int) -> dict[str, object]:
    """Return what a number depends on: it belongs to every result."""
    return {
        'threads': torch.get_num_threads(),
        'repetitions': repetitions,
        'device': _device_name(device),
        'processor': _processor(),
        'cores': len(os.sched_getaffinity(0)),
        'load_average': round(os.getloadavg()[0], 2),
        'python': platform.python_version(),
        'torch': torch.__version__,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu'


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return models[0] if models else platform.machine()
