# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MPPI with its defaults beside those of pytorch_mppi, on two problems with known dynamics.

A pendulum that has to swing up (gymnasium's, with the costs of pytorch_mppi's example), and a way
around a hill in the plane, where a few candidates cost many times what the others do. Both are
driven in closed loop; what counts is the cost of the states that were come to, and how rough the
actions were.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from mbmrl_ros.bench.compare import conditions, peer
from mbmrl_ros.evaluation.episodes import interval95
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.types import Problem, Root


class Runs(NamedTuple):
    """Of every seed: the cost of a run, and the mean squared change of its actions in -1..1."""

    costs: Tensor
    roughness: Tensor


@dataclass(frozen=True)
class Control:
    """A problem of control: where it starts, how it moves, what a state costs.

    step(state [..., 2], action [..., A] in -1..1); cost(state). effort: of a squared action in
    `limit`. last: how many times a plan pays for the state that it ends in, once more. std: of
    the noise that pytorch_mppi's own example draws, in `limit`; sizes: (K, H).
    """

    start: tuple[float, float]
    steps: int
    limit: float
    action_size: int
    step: Callable[[Tensor, Tensor], Tensor]
    cost: Callable[[Tensor], Tensor]
    std: float
    sizes: tuple[tuple[int, int], ...]
    effort: float = 0.0
    last: float = 0.0


def _swing(state: Tensor, action: Tensor) -> Tensor:
    """Pendulum-v1 of gymnasium: 1 kg, 1 m, 2 Nm at most, 0.05 s."""
    angle, rate = state.unbind(-1)
    rate = rate + 0.05 * (15 * angle.sin() + 6 * action[..., 0])
    rate = rate.clamp(-8, 8)
    return torch.stack([angle + 0.05 * rate, rate], -1)


def _off_the_top(state: Tensor) -> Tensor:
    angle = (state[..., 0] + math.pi) % (2 * math.pi) - math.pi
    return angle.square() + 0.1 * state[..., 1].square()


def _move(state: Tensor, action: Tensor) -> Tensor:
    return state + action * action.new_tensor([0.5, -0.5])


def _from_goal_over_hill(state: Tensor) -> Tensor:
    """Squared distance from (2, 2), and a hill of 200 at (-0.5, -1) on the way there."""
    x, y = (state - state.new_tensor([-0.5, -1.0])).unbind(-1)
    hill = 200 * (-0.25 * (x.square() + x * y + y.square())).exp()
    return (state - 2).square().sum(-1) + hill


PROBLEMS = {
    'pendulum': Control(
        (math.pi, 1.0), 200, 2.0, 1, _swing, _off_the_top, math.sqrt(10),
        sizes=((100, 15), (500, 15), (100, 25), (500, 25)),
    ),
    'hill': Control(
        (-3.0, -2.0), 20, 1.0, 2, _move, _from_goal_over_hill, 1.0,
        sizes=((500, 20),), effort=0.01, last=10.0,
    ),
}  # fmt: skip


def bench_planners(seeds: int) -> dict[str, Any]:
    """Return cost and roughness of every planner on every problem (docs/bench.md).

    UserError without pytorch_mppi.
    """
    others = _peers(peer('pytorch_mppi', 'pytorch_mppi'))
    found: dict[str, Any] = {}
    with tqdm(total=5 * (1 + len(others)), leave=False, disable=None) as bar:
        for name, control in PROBLEMS.items():
            for size in control.sizes:
                runs = {'mbmrl': ours(control, size, seeds)}
                bar.update()
                for other, make in others.items():
                    runs[other] = theirs(control, make(control, size), seeds)
                    bar.update()
                key = f'{name} {size[0]} x {size[1]}'
                found[key] = {who: _summary(result) for who, result in runs.items()}
    return {'seeds': seeds, 'problems': found, **conditions(torch.device('cpu'), seeds)}


def ours(control: Control, size: tuple[int, int], seeds: int) -> Runs:
    """Run with the defaults of MPPI, all seeds side by side."""
    planner = MPPI(MPPIConfig(candidates=size[0], horizon=size[1]), control.action_size)

    def reward(state: Tensor, action: Tensor, following: Tensor) -> Tensor:
        effort = control.effort * (control.limit * action).square().sum(-1)
        return -control.cost(following) - effort

    problem = Problem(
        lambda carry, state, action: (carry, control.step(state, action)),
        reward,
        lambda state: -control.last * control.cost(state),
    )
    generator = torch.Generator().manual_seed(0)
    memory = planner.initial(seeds)

    def act(state: Tensor) -> Tensor:
        nonlocal memory
        memory, plan = planner.plan(generator, memory, problem, Root(None, state))
        return plan.actions[:, 0]

    return drive(control, act, torch.tensor(control.start).expand(seeds, -1))


def theirs(control: Control, make: Callable[[], Any], seeds: int) -> Runs:
    """Run one of pytorch_mppi's, which plan for one at a time and draw from the global seed."""
    start = torch.tensor([control.start], dtype=torch.float64)

    def run(seed: int) -> Runs:
        torch.manual_seed(seed)
        planner = make()
        return drive(control, lambda at: planner.command(at[0])[None] / control.limit, start)

    with torch.random.fork_rng():
        runs = [run(seed) for seed in range(seeds)]
    return Runs(*(torch.cat(values) for values in zip(*runs)))


def drive(control: Control, act: Callable[[Tensor], Tensor], state: Tensor) -> Runs:
    """Drive from states [seeds, 2] to the end."""
    costs, actions = torch.zeros(len(state)), []
    for _ in range(control.steps):
        actions.append(act(state))
        state = control.step(state, actions[-1])
        costs = costs + control.cost(state)
    changes = torch.stack(actions).diff(dim=0).square().sum(-1)
    return Runs(costs, changes.mean(0))


def _peers(package: ModuleType) -> dict[str, Callable[..., Callable[[], Any]]]:
    """Return pytorch_mppi's planners with the settings of its examples."""

    def maker(kind: Any, more: Callable[[Control], dict[str, Any]]) -> Any:
        return lambda control, size: lambda: kind(**_problem_of(control, size), **more(control))

    # Its example of these two is the hill; elsewhere they have their own defaults.
    smooth = {'w_action_seq_cost': 10}
    kernel = {'kernel': package.mppi.RBFKernel(sigma=2), 'num_support_pts': 5}
    return {
        'MPPI': maker(package.MPPI, lambda control: {}),
        'SMPPI': maker(
            package.SMPPI,
            lambda control: {'action_max': _limits(control)} | (smooth if control.last else {}),
        ),
        'KMPPI': maker(package.KMPPI, lambda control: kernel if control.last else {}),
    }


def _limits(control: Control) -> Tensor:
    return torch.full((control.action_size,), control.limit, dtype=torch.float64)


def _problem_of(control: Control, size: tuple[int, int]) -> dict[str, Any]:
    """Return the arguments that all of pytorch_mppi's planners share."""
    limits = _limits(control)
    sigma = control.std**2 * torch.eye(control.action_size, dtype=torch.float64)
    settings = {
        'dynamics': lambda state, action: control.step(state, action / control.limit),
        'running_cost': lambda state, action: (
            control.cost(state) + control.effort * action.square().sum(-1)
        ),
        'nx': 2,
        'noise_sigma': sigma,
        'num_samples': size[0],
        'horizon': size[1],
        'lambda_': 1.0,
        'u_min': -limits,
        'u_max': limits,
    }
    if control.last:
        settings['terminal_state_cost'] = lambda states, actions: (
            control.last * control.cost(states[..., -1, :])
        )
    return settings


def _summary(runs: Runs) -> dict[str, float]:
    mean, half = interval95(runs.costs)
    return {
        'cost': mean,
        'interval': half,
        'roughness': float(runs.roughness.mean()),
    }
