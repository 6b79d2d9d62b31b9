# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time one control tick: python benchmarks/tick.py [--json FILE].

Adapting on 32 transitions and planning with a 3x512 network, S = 19, A = 6, beside the matrix
products alone and pytorch_mppi with the same network and candidates, all in one run; medians over
alternating repetitions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_mppi
import torch

from mbmrl_ros.adaptation.adapter import GradientAdapter
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.rewards.reward import TermConfig, build_reward
from mbmrl_ros.robot.adaptive_mpc import AdaptiveMPC
from mbmrl_ros.spec import load_robot
from mbmrl_ros.types import Params, Transitions

REWARD = (
    TermConfig(term='forward_velocity', channel='x'),
    TermConfig(term='action_squared', weight=-0.05),
)
WINDOW = 32


def main() -> None:
    """Measure and print; write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--candidates', type=int, default=1000)
    parser.add_argument('--horizon', type=int, default=10)
    parser.add_argument('--precision', default='bfloat16', choices=('float32', 'bfloat16'))
    parser.add_argument('--repetitions', type=int, default=60)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    spec = load_robot('half_cheetah')
    generator = torch.Generator().manual_seed(0)
    dynamics = build_dynamics(spec, (512, 512, 512), precision=options.precision)
    params = dynamics.init(generator)
    parts: dict[str, list[float]] = {'adapt_ms': [], 'plan_ms': []}
    config = MPPIConfig(candidates=options.candidates, horizon=options.horizon)
    candidates_horizon = (options.candidates, options.horizon)
    functions: dict[str, Callable[[], object]] = {
        'tick_ms': _tick(dynamics, params, config, parts),
        'limit_ms': _matrix_products(dynamics, *candidates_horizon),
        'pytorch_mppi_ms': _peer(dynamics, params, *candidates_horizon),
    }
    medians = _alternate(functions, options.repetitions)
    medians |= {name: float(np.median(values)) for name, values in parts.items()}
    result = {
        'candidates': options.candidates,
        'horizon': options.horizon,
        'precision': options.precision,
        'threads': options.threads,
        'repetitions': options.repetitions,
        **{name: round(value, 3) for name, value in medians.items()},
        'limit_ratio': round(medians['tick_ms'] / medians['limit_ms'], 3),
        'speedup': round(medians['pytorch_mppi_ms'] / medians['tick_ms'], 3),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + '\n')


def _alternate(functions: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    durations: dict[str, list[float]] = {name: [] for name in functions}
    for repetition in range(repetitions + 3):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if repetition >= 3:
                durations[name].append((time.perf_counter() - started) * 1e3)
    return {name: float(np.median(values)) for name, values in durations.items()}


def _tick(
    dynamics: MLPDynamics, params: Params, config: MPPIConfig, parts: dict[str, list[float]]
) -> Callable[[], object]:
    spec = load_robot('half_cheetah')
    generator = torch.Generator().manual_seed(1)
    step_sizes = uniform_step_sizes(params, 0.01)
    mpc = AdaptiveMPC(
        dynamics,
        GradientAdapter(dynamics.loss, params, step_sizes),
        MPPI(config, spec.action_size),
        build_reward(spec, REWARD),
        generator,
        WINDOW,
    )
    shapes = (spec.state_size, spec.action_size, spec.state_size)
    window = Transitions(*(torch.randn(1, WINDOW, size, generator=generator) for size in shapes))
    state, attempted = torch.zeros(1, spec.state_size), torch.ones(1, dtype=torch.bool)

    def tick() -> None:
        decision = mpc.act(window, attempted, state)
        parts['adapt_ms'].append(decision.adapt_s * 1e3)
        parts['plan_ms'].append(decision.plan_s * 1e3)

    return tick


def _matrix_products(dynamics: MLPDynamics, candidates: int, horizon: int) -> Callable[[], object]:
    dtype = getattr(torch, dynamics.precision)
    sizes = dynamics.sizes
    weights = [torch.randn(i, o).to(dtype) for i, o in itertools.pairwise(sizes)]
    inputs = [torch.randn(candidates, size).to(dtype) for size in sizes]
    outputs = [torch.empty(candidates, size, dtype=dtype) for size in sizes[1:]]

    def products() -> None:
        for _ in range(horizon):
            for left, weight, out in zip(inputs, weights, outputs):
                torch.mm(left, weight, out=out)

    return products


def _peer(
    dynamics: MLPDynamics, params: Params, candidates: int, horizon: int
) -> Callable[[], object]:
    spec = load_robot('half_cheetah')
    reward = build_reward(spec, REWARD)

    def step(state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return dynamics.step(params, None, state, action)[1]

    def cost(state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return -reward(state, action, state)

    peer = pytorch_mppi.MPPI(
        step,
        cost,
        spec.state_size,
        0.5 * torch.eye(spec.action_size),
        num_samples=candidates,
        horizon=horizon,
        u_min=-torch.ones(spec.action_size),
        u_max=torch.ones(spec.action_size),
    )
    state = torch.zeros(spec.state_size)

    def plan() -> None:
        with torch.no_grad():
            peer.command(state)

    return plan


if __name__ == '__main__':
    main()
