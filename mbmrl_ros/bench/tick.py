# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One control tick, adapting and planning, beside its matrix products alone and pytorch_mppi."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mbmrl_ros.adaptation.adapter import GradientAdapter
from mbmrl_ros.adaptation.ensemble import EnsembleAdapter
from mbmrl_ros.bench.compare import Contender, alternate, conditions, peer
from mbmrl_ros.bench.model import LAYERS, Model, bench_robot, draw_windows, make_model
from mbmrl_ros.config import UserError, parse
from mbmrl_ros.models.device import PlanningPrecision, choose_precision
from mbmrl_ros.models.kinds import int8_obstacle
from mbmrl_ros.models.mean import MeanDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.int8 import Int8Linear
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.rewards.reward import Reward, TermConfig, build_reward
from mbmrl_ros.robot.adaptive_mpc import AdaptiveModel, AdaptiveMPC
from mbmrl_ros.types import Params

TERMS = (
    TermConfig(term='forward_velocity', channel='x'),
    TermConfig(term='action_squared', weight=-0.05),
)


@dataclass(frozen=True)
class TickSize:
    """K, H, the width of the three hidden layers, M, and E, how many models adapt."""

    candidates: int = 2500
    horizon: int = 15
    width: int = 512
    window: int = 32
    members: int = 1


def tick_precision(wanted: str, device: torch.device, size: TickSize) -> PlanningPrecision:
    """Return the precision of the tick; UserError if it is unknown or cannot be computed here."""
    if wanted != 'int8':
        return choose_precision(wanted, device)
    obstacle = int8_obstacle(make_model(size.width, device).dynamics, device)
    if obstacle:
        raise UserError(f'precision int8 is not possible, {obstacle}; take float32')
    return 'int8'


def bench_tick(
    size: TickSize,
    precision: PlanningPrecision,
    device: torch.device,
    repetitions: int,
    peers: bool = True,
) -> dict[str, Any]:
    """Return durations [ms] and ratios (docs/bench.md); without peers, ours and the limit."""
    model = make_model(size.width, device, precision)
    tick = _Tick(model, size, device)
    contenders = {
        'tick_ms': Contender(tick.run),
        'limit_ms': _planning_products(model, size, device),
        'adapt_limit_ms': _adaptation_products(model, size, device),
    }
    if precision == 'int8':
        exact = make_model(size.width, device)
        contenders['float32_ms'] = Contender(_Tick(exact, size, device).run_whole)
    note = None
    if peers:
        try:
            contenders['pytorch_mppi_ms'] = _pytorch_mppi(model, size, device)
        except UserError as missing:
            note = str(missing)
    times = alternate(contenders, repetitions, device, label='tick')
    other = times.get('pytorch_mppi_ms')
    return {
        'candidates': size.candidates,
        'members': size.members,
        'horizon': size.horizon,
        'precision': precision,
        **{name: times[name] for name in ('adapt_ms', 'plan_ms', 'tick_ms', 'limit_ms')},
        'limit_ratio': times['tick_ms'] / times['limit_ms'],
        'float32_ms': times.get('float32_ms'),
        'pytorch_mppi_ms': other,
        'speedup': other and other / times['tick_ms'],
        'adapt_limit_ms': times['adapt_limit_ms'],
        'note': note,
        'adaptation_accepted': tick.accepted,
        'state_size': model.dynamics.state_size,
        'action_size': model.dynamics.action_size,
        'hidden_sizes': list(model.dynamics.hidden_sizes),
        'window': size.window,
        **conditions(device, repetitions),
    }


class _Tick:
    """The tick of the robot and of the training: `AdaptiveMPC.act`, all layers adapting."""

    def __init__(self, model: Model, size: TickSize, device: torch.device) -> None:
        spec = bench_robot()
        settings = {'candidates': size.candidates, 'horizon': size.horizon}
        planned_in = _alone(model, size) if size.members == 1 else _ensemble(model, size)
        self._mpc = AdaptiveMPC(
            planned_in,
            MPPI(parse(MPPIConfig, settings, 'bench tick'), spec.action_size),
            build_reward(spec, TERMS),
            torch.Generator(device).manual_seed(1),
        )
        self._window = draw_windows(1, size.window, 2, torch.device('cpu'))
        self._state = torch.zeros(1, spec.state_size)
        self._attempted = torch.ones(1, dtype=torch.bool)
        self.accepted = True

    def run(self) -> dict[str, float]:
        """Tick once, on a window that comes from the CPU as a robot's does."""
        decision = self._mpc.act(self._window, self._attempted, self._state)
        adapted = decision.adapted
        self.accepted &= adapted is not None and bool(adapted.accepted.all())
        return {'adapt_ms': decision.adapt_s * 1e3, 'plan_ms': decision.plan_s * 1e3}

    def run_whole(self) -> None:
        """Tick once, of which the parts do not matter."""
        self.run()


def _alone(model: Model, size: TickSize) -> AdaptiveModel:
    adapter = GradientAdapter(model.dynamics.loss, model.params, model.step_sizes)
    return AdaptiveModel(model.dynamics, adapter, size.window)


def _ensemble(model: Model, size: TickSize) -> AdaptiveModel:
    """Return E copies of a model, which adapt each on its own."""
    normalizer = Normalizer(**_copies(vars(model.dynamics.normalizer), size.members))
    dynamics = MeanDynamics(replace(model.dynamics, normalizer=normalizer))
    rows = GradientAdapter(
        dynamics.member.loss, _copies(model.params, size.members), model.step_sizes
    )
    return AdaptiveModel(dynamics, EnsembleAdapter(size.members, lambda batch: rows), size.window)


def _copies(values: Params, members: int) -> Params:
    return {name: torch.stack([value] * members) for name, value in values.items()}


def _planning_products(model: Model, size: TickSize, device: torch.device) -> Contender:
    """Return the products of K x H network evaluations, with nothing between them: the limit."""
    if model.dynamics.precision == 'int8':
        return _planning_products_int8(model, size)
    dtype = getattr(torch, model.dynamics.precision)
    rows = size.candidates * size.members
    products = [
        tuple(
            torch.randn(shape, device=device).to(dtype)
            for shape in ((rows, wide), (wide, out), (rows, out))
        )
        for wide, out in itertools.pairwise(model.dynamics.sizes)
    ]

    def run() -> None:
        for _ in range(size.horizon):
            for left, right, out in products:
                torch.mm(left, right, out=out)

    return Contender(run)


def _planning_products_int8(model: Model, size: TickSize) -> Contender:
    """Return the same where the weights of all layers but the first are integers."""
    rows, widths = size.candidates * size.members, model.dynamics.sizes
    inputs, weight = torch.randn(rows, widths[0]), torch.randn(widths[0], widths[1])
    out = torch.empty(rows, widths[1])
    hidden = [torch.randint(256, (rows, wide), dtype=torch.uint8) for wide in widths[1:-1]]
    layers = [
        Int8Linear(torch.randn(after, wide), torch.zeros(after), 0.01, following)
        for wide, after, following in zip(
            widths[1:], widths[2:], [0.01] * (len(widths) - 3) + [None]
        )
    ]

    def run() -> None:
        for _ in range(size.horizon):
            torch.mm(inputs, weight, out=out)
            for layer, values in zip(layers, hidden):
                layer(values)

    return Contender(run)


def _adaptation_products(model: Model, size: TickSize, device: torch.device) -> Contender:
    """Return the products with the network's weights that adapting on M transitions needs.

    Forward, backward to the outputs of every layer, and forward again for the loss afterwards.
    """
    weights = [model.params[f'weight{layer}'] for layer in range(LAYERS + 1)]
    inputs = [torch.randn(size.window, weight.shape[1], device=device) for weight in weights]
    signals = [torch.randn(size.window, weight.shape[0], device=device) for weight in weights]

    def run() -> None:
        for values, weight, signal in zip(inputs, weights, signals):
            torch.mm(values, weight.T)
            torch.mm(signal, weight)
            torch.mm(values, weight.T)

    return Contender(run)


def _pytorch_mppi(model: Model, size: TickSize, device: torch.device) -> Contender:
    """Return pytorch_mppi as it comes, in float32, with the same network, reward and K x H."""
    library = peer('pytorch_mppi', 'pytorch_mppi>=0.8')
    dynamics, params, _ = model
    reward: Reward = build_reward(bench_robot(), TERMS)

    def step(state: Tensor, action: Tensor) -> Tensor:
        return dynamics.step(params, None, state, action)[1]

    def cost(state: Tensor, action: Tensor) -> Tensor:
        return -reward(state, action, state)

    ones = torch.ones(dynamics.action_size, device=device)
    planner = library.MPPI(
        step,
        cost,
        dynamics.state_size,
        0.5 * torch.diag(ones),
        num_samples=size.candidates,
        horizon=size.horizon,
        device=device,
        noise_mu=0 * ones,
        u_min=-ones,
        u_max=ones,
    )
    state = torch.zeros(dynamics.state_size, device=device)

    def run() -> None:
        with torch.no_grad():
            planner.command(state)

    return Contender(run)
