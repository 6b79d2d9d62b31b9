# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the command line's `bench` does: measure, print JSON, write it on request."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch

from mbmrl_ros.bench.meta import MetaSize, bench_meta
from mbmrl_ros.bench.tick import TickSize, bench_tick, tick_precision
from mbmrl_ros.config import UserError
from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.models.device import choose_device
from mbmrl_ros.system.outputs import as_json, write_text


def bench_command(options: argparse.Namespace) -> None:
    """Run one benchmark."""
    torch.set_num_threads(options.threads)
    result = BENCHES[options.what](options)
    text = as_json(finite(rounded(result)))
    if options.json:
        write_text(options.json, text)
    print(text, end='')


def rounded(value: Any) -> Any:
    """Return a result with floats of five digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return float(f'{value:.5g}') if isinstance(value, float) else value


def _tick(options: argparse.Namespace) -> dict[str, Any]:
    device = _device(options.device)
    size = TickSize(
        options.candidates, options.horizon, options.width, options.window, options.members
    )
    precision = tick_precision(options.precision, device, size)
    result = bench_tick(size, precision, device, options.repetitions)
    if result['note']:
        print(f'mbmrl: {result["note"]}', file=sys.stderr)
    return result


def _meta(options: argparse.Namespace) -> dict[str, Any]:
    size = MetaSize(options.tasks, options.past, options.future, options.width)
    return bench_meta(size, _device(options.device), options.repetitions)


def _sim(options: argparse.Namespace) -> dict[str, Any]:
    try:
        from mbmrl_ros.bench.sim import SimSize, bench_sim
    except ImportError as error:
        raise UserError(f"{error}: bench sim needs pip install 'mbmrl_ros[sim]'") from error
    size = SimSize(options.environments, options.steps)
    return bench_sim(size, options.threads, options.repetitions, tuple(options.robots))


def _rollouts(options: argparse.Namespace) -> dict[str, Any]:
    try:
        from mbmrl_ros.bench.rollouts import RolloutsSize, bench_rollouts
    except ImportError as error:
        raise UserError(f"{error}: bench rollouts needs pip install 'mbmrl_ros[sim]'") from error
    size = RolloutsSize(options.tasks, options.rollouts, options.width)
    return bench_rollouts(size, options.threads, options.repetitions, options.task)


def _policy(options: argparse.Namespace) -> dict[str, Any]:
    try:
        from mbmrl_ros.bench.policy import PolicySize, bench_policy
    except ImportError as error:
        raise UserError(f"{error}: bench policy needs pip install 'mbmrl_ros[sim]'") from error
    size = PolicySize(options.tasks, options.rollouts, options.width)
    return bench_policy(size, options.threads, options.repetitions)


def _planners(options: argparse.Namespace) -> dict[str, Any]:
    from mbmrl_ros.bench.planners import bench_planners

    return bench_planners(options.repetitions)


BENCHES = {
    'tick': _tick,
    'meta': _meta,
    'sim': _sim,
    'rollouts': _rollouts,
    'policy': _policy,
    'planners': _planners,
}


def _device(wanted: str) -> torch.device:
    device, message = choose_device(wanted)
    if message:
        print(f'mbmrl: {message}', file=sys.stderr)
    return device
