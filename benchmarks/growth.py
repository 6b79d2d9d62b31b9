# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How time grows with K, H, width, M, tasks and environments: python benchmarks/growth.py.

The benchmarks of `mbmrl bench`, one size varied at a time, the others as they are there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch

from mbmrl_ros.bench.compare import conditions
from mbmrl_ros.bench.meta import MetaSize, bench_meta
from mbmrl_ros.bench.sim import SimSize, bench_sim
from mbmrl_ros.bench.tick import TickSize, bench_tick
from mbmrl_ros.cli.bench import rounded
from mbmrl_ros.models.device import choose_device, choose_precision
from mbmrl_ros.system.outputs import output_file, write_text

POINTS = {
    'candidates': (250, 500, 1000, 2500, 5000),
    'horizon': (5, 10, 15, 20, 30),
    'width': (64, 128, 256, 512, 1024),
    'window': (8, 16, 32, 64, 128),
    'tasks': (2, 4, 8, 16, 32, 64),
    'environments': (1, 4, 16, 64, 256, 1024),
}
SIM_STEPS = 50


def main() -> None:
    """Measure all curves, or those that are named; write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--curves', nargs='+', choices=POINTS, default=list(POINTS))
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--repetitions', type=int, default=11)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--shrink', type=int, default=1, help='divide all sizes: for a trial')
    parser.add_argument('--json', type=output_file, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, _ = choose_device(options.device)
    result = {
        'curves': {name: _curve(name, options) for name in options.curves},
        'precision': choose_precision(options.precision, device),
        'shrink': options.shrink,
        **conditions(device, options.repetitions),
    }
    write_text(options.json, json.dumps(rounded(result), indent=2) + '\n')
    print(f'wrote {options.json}')


def _curve(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    measure = MEASURES.get(name, _tick)
    points = []
    for value in sorted({_divided(name, point, options.shrink) for point in POINTS[name]}):
        points.append({name: value, **measure(name, value, options)})
        print(points[-1], flush=True)
    return points


def _tick(name: str, value: int, options: argparse.Namespace) -> dict[str, Any]:
    device, _ = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    size = replace(_shrunk(TickSize(), options.shrink), **{name: value})
    result = bench_tick(size, precision, device, options.repetitions, peers=name != 'window')
    keys = ('adapt_ms', 'plan_ms', 'tick_ms', 'limit_ms', 'adapt_limit_ms', 'pytorch_mppi_ms')
    return {key: result[key] for key in keys}


def _meta(name: str, value: int, options: argparse.Namespace) -> dict[str, Any]:
    device, _ = choose_device(options.device)
    size = replace(_shrunk(MetaSize(), options.shrink), **{name: value})
    result = bench_meta(size, device, options.repetitions)
    return {key: result[key] for key in ('step_ms', 'autograd_loop_ms', 'vmap_ms', 'limit_ms')}


def _sim(name: str, value: int, options: argparse.Namespace) -> dict[str, Any]:
    size = SimSize(value, _divided('steps', SIM_STEPS, options.shrink))
    result = bench_sim(size, options.threads, options.repetitions, ('half_cheetah',))
    robot = result['robots']['half_cheetah']
    keys = ('env_steps_per_s', 'world_env_steps_per_s', 'gymnasium_env_steps_per_s')
    return {key: robot[key] for key in keys}


def _shrunk(size: Any, divisor: int) -> Any:
    return replace(size, **{name: _divided(name, n, divisor) for name, n in vars(size).items()})


def _divided(name: str, size: int, divisor: int) -> int:
    # MPPI needs two candidates.
    return max(2 if name == 'candidates' else 1, size // divisor)


MEASURES: dict[str, Callable[[str, int, argparse.Namespace], dict[str, Any]]] = {
    'tasks': _meta,
    'environments': _sim,
}

if __name__ == '__main__':
    main()
