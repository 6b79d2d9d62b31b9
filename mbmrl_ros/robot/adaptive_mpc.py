# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adapt, then plan: one tick of Algorithm 10, for one robot or for many side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.models.device import synchronize
from mbmrl_ros.models.mean import MeanDynamics
from mbmrl_ros.robot.action_source import ActionSource, Decision
from mbmrl_ros.robot.cuda_graph import CudaGraph, map_tensors
from mbmrl_ros.robot.latency import Pending, predict_forward
from mbmrl_ros.types import (
    Adapted,
    Adapter,
    Carry,
    Dynamics,
    OutOfTime,
    Params,
    PenaltyFn,
    Plan,
    Planner,
    Problem,
    ProposalFn,
    RewardFn,
    Root,
    StepFn,
    Transitions,
    ValueFn,
    never,
)


class AdaptiveModel(NamedTuple):
    """A dynamics model, what adapts it, and M (T1), the transitions that it adapts to.

    value, policy, penalty: see types.Problem.
    """

    dynamics: Dynamics
    adapter: Adapter
    window_size: int
    value: ValueFn | None = None
    policy: ProposalFn | None = None
    penalty: PenaltyFn | None = None

    def problem(self, step: StepFn, reward: RewardFn) -> Problem:
        """Return what a plan is made with. step: of the parameters as they are now."""
        return Problem(step, reward, self.value, self.policy, self.penalty)


class Deadline:
    """Whether the time for imagining is up. passed: whether it was, when somebody asked."""

    def __init__(self, until_s: float) -> None:
        """until_s: on the steady clock."""
        self.passed = False
        self._until_s = until_s

    def __call__(self) -> bool:
        """Return whether time is up; once it is, it stays so."""
        self.passed = self.passed or time.monotonic() > self._until_s
        return self.passed


class AdaptiveMPC:
    """Model predictive control on a model that adapts at every tick (thesis, Algorithm 10).

    Training collects data with this very object and the robot is driven by it, so that what is
    trained for and what is done at run time cannot differ.
    """

    def __init__(
        self,
        model: AdaptiveModel,
        planner: Planner,
        reward: RewardFn,
        generator: torch.Generator,
        batch: int = 1,
    ) -> None:
        """batch: B robots that share model and planner.

        Everything is computed where the generator lies: dynamics and adapter must lie there too.
        """
        self.batch = batch
        self._model = model
        self._generator = generator
        self._device = generator.device
        # Of the plan before: the next one packs its parameters into the same memory.
        self._step: StepFn | None = None
        self._adapt = self._recorded(model.adapter.adapt)
        self._use(planner, reward)
        self.reset()

    @property
    def window_size(self) -> int:
        """M, the transitions that the model adapts to."""
        return self._model.window_size

    @property
    def planner(self) -> Planner:
        """What plans."""
        return self._planner

    def reset(self) -> None:
        """Forget the warm start and what the adapter remembers; parameters are as trained."""
        self._memory = self._model.adapter.initial(self.batch)
        self._planner_state = self._on_device(self._planner.initial(self.batch))

    def use_planner(self, planner: Planner) -> None:
        """Exchange the planner; the warm start stays, cut or extended to the new horizon."""
        fresh = self._on_device(planner.initial(self.batch))
        self._use(planner, self._reward)
        self._planner_state = _refitted(self._planner_state, fresh)

    def use_reward(self, reward: RewardFn) -> None:
        """Exchange the reward; the warm start stays."""
        self._use(self._planner, reward)

    def use_model(self, model: AdaptiveModel) -> None:
        """Exchange the model for a newer one of the same shapes.

        The warm start stays, and of what the adapter remembers that which is not of the old
        weights: that a fault was found. ReBAL's carry is recomputed by the new weights from the
        last M transitions, at the next tick.
        """
        self._model = model
        self._memory = model.adapter.inherit(self._memory, self.batch)
        # What is packed there has the statistics of the old model.
        self._step = None
        self._adapt = self._recorded(model.adapter.adapt)
        self._use(self._planner, self._reward)

    def inherit_warm_start(self, other: ActionSource) -> None:
        """Go on with the warm start of another one, for the same robots, if it has any."""
        if isinstance(other, AdaptiveMPC):
            self._planner_state = _refitted(
                self._on_device(other._planner_state), self._planner_state
            )

    def act(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending = (),
        until_s: float = math.inf,
    ) -> Decision:
        """Choose the next action.

        window: [B, M, .]; attempted: [B] False where it is not full yet (robot/history.py), so
        that the parameters stay as trained; state: [B, S] in units; pending: what the robot does
        before the action can take effect (robot/latency.py); until_s: on the steady clock, when
        imagining has to end (on a GPU, whose work is recorded as a whole, it does not).
        """
        deadline = Deadline(until_s)
        started = time.perf_counter()
        window, attempted, state = self._on_device((window, attempted, state))
        memory, adapted = self._adapt(self._memory, window, attempted)
        synchronize(self._device)
        adapted_at = time.perf_counter()
        with torch.no_grad():
            carry, start = self._predict_forward(adapted, state, pending)
            planner_state, plan = self._plan(
                adapted.params, self._planner_state, carry, start, self._watched(deadline)
            )
            # A mean of actions at a limit may be beyond it by its rounding.
            action, valid = plan.actions[:, 0].clamp(-1.0, 1.0).cpu(), plan.valid.cpu()
        self._memory, self._planner_state = memory, planner_state
        adapt_s, plan_s = adapted_at - started, time.perf_counter() - adapted_at
        return Decision(
            *(action, valid, adapted, plan, adapt_s, plan_s, start, carry),
            dynamics=self._model.dynamics,
            truncated=deadline.passed,
        )

    def _predict_forward(
        self, adapted: Adapted, state: Tensor, pending: Pending
    ) -> tuple[Carry, Tensor]:
        """Return carry and state [B, S] when the action takes effect.

        Never recorded: how many actions are pending changes from tick to tick.
        """
        moving = [(self._on_device(action), periods) for action, periods in pending]
        return predict_forward(self._model.dynamics, adapted.params, adapted.carry, state, moving)

    def _imagine_and_choose(
        self,
        params: Params,
        planner_state: Any,
        carry: Carry,
        state: Tensor,
        out_of_time: OutOfTime,
    ) -> tuple[Any, Plan]:
        """Return the planner's next warm start, and its plan."""
        self._step = self._model.dynamics.planning_step(params, self._step)
        return self._planner.plan(
            self._generator,
            planner_state,
            self._model.problem(self._step, self._reward),
            Root(carry, state),
            out_of_time,
        )

    def _use(self, planner: Planner, reward: RewardFn) -> None:
        """Exchange what a recording of the plan holds, and so the recording."""
        self._planner, self._reward = planner, reward
        self._plan = self._recorded(self._imagine_and_choose)

    def _recorded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._device.type == 'cpu':
            return function
        return CudaGraph(function, self._generator)

    def _watched(self, deadline: Deadline) -> OutOfTime:
        return deadline if self._device.type == 'cpu' else never

    def _on_device(self, tree: Any) -> Any:
        return map_tensors(lambda tensor: tensor.to(self._device), tree)


def _refitted(warm: Any, fresh: Any) -> Any:
    """Return a warm start in the shape of a fresh one, which it gives way to if it is no kin.

    Both are tuples of tensors [B, H, ...] or None. Where the horizon has become longer, the last
    action is repeated, as it is when a plan moves on by a step.
    """
    if warm is None or type(warm) is not type(fresh):
        return fresh
    return type(fresh)(*(_lasting(old, new.shape[1]) for old, new in zip(warm, fresh)))


def _lasting(actions: Tensor, horizon: int) -> Tensor:
    lacking = horizon - actions.shape[1]
    if lacking <= 0:
        return actions[:, :horizon]
    return torch.cat([actions, actions[:, -1:].expand(-1, lacking, -1)], 1)


def adaptive_model(bundle: Bundle, adapter: Adapter) -> AdaptiveModel:
    """Return what is planned in."""
    dynamics = bundle.dynamics
    penalty = None
    if isinstance(dynamics, MeanDynamics) and dynamics.uncertainty_penalty:
        penalty = dynamics.penalty
    value = policy = None
    if bundle.actor is not None:
        value, policy = bundle.actor.value, bundle.actor.propose
        value = value if bundle.actor.has_value else None
    window = bundle.info.past_steps
    return AdaptiveModel(dynamics, adapter, window, value, policy, penalty)


def make_mpc(
    bundle: Bundle,
    adapter: Adapter,
    planner: Planner,
    reward: RewardFn,
    generator: torch.Generator,
    batch: int = 1,
) -> AdaptiveMPC:
    """Put Algorithm 10 together from a bundle: for training, evaluation and the robot.

    bundle and adapter lie where the generator does (bundles/dynamics.py, `on_device`).
    """
    return AdaptiveMPC(adaptive_model(bundle, adapter), planner, reward, generator, batch)
