# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Records and function types that every part of the package shares.

Letters used in shapes throughout: B batch (robots that are controlled side by side), N tasks,
T time steps, M past window (T1 of the thesis), F future window (T2), K candidates, H horizon,
E ensemble members, S state, A action, R raw sensor signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

Params = dict[str, Tensor]
"""Named network parameters: weight{l} [out, in], bias{l} [out], shared or with a leading B (one
set per row); after a gradient step also its low-rank factors (networks/mlp.py)."""

Metrics = dict[str, float]
"""What one iteration measured, by column of metrics.csv."""

Carry = Any
"""What a dynamics model remembers between steps: None for a feed-forward network, and for a
recurrent one that remembers nothing yet."""

OutOfTime = Callable[[], bool]
"""() -> whether the time to plan is up."""

StepFn = Callable[[Carry, Tensor, Tensor], tuple[Carry, Tensor]]
"""(carry, state [B, K, S], action [B, K, A]) -> (carry, next_state [B, K, S])."""

RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(state [..., S], action [..., A] in -1..1, next_state [..., S]) -> reward [...]."""

GoalRewardFn = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(state [..., S], action [..., A] in -1..1, next_state [..., S], goal [..., G]) -> reward."""

DoneFn = Callable[[Tensor], Tensor]
"""(next_state [..., S]) -> whether an episode ends with it [...], bool."""

ValueFn = Callable[[Tensor], Tensor]
"""(state [..., S]) -> the value of what comes after it [...]."""

ProposalFn = Callable[[Tensor], Tensor]
"""(state [..., S]) -> action [..., A] in -1..1."""

PenaltyFn = Callable[[Carry], Tensor]
"""(carry after a rollout) -> what is taken off its return [B, K]."""

LossFn = Callable[[Params, 'Transitions', 'list[LayerRecord] | None'], Tensor]
"""(params, transitions [B, M, .], records) -> loss [B], one value per row. A list of records
collects what passes through the linear layers."""


class Transitions(NamedTuple):
    """Transitions that follow each other in time, without a gap.

    states: [..., M, S] in the units of the robot file; actions: [..., M, A] scaled to -1..1, the
    commands that were applied; next_states: [..., M, S].
    """

    states: Tensor
    actions: Tensor
    next_states: Tensor

    def to(self, *args: Any) -> Transitions:
        """Convert all three tensors, as torch.Tensor.to does."""
        return Transitions(*(tensor.to(*args) for tensor in self))


Layer = int | Literal['scale']
"""The number of a linear layer, or the scale of the inputs."""


def never() -> bool:
    """Return that there is time."""
    return False


class LayerRecord(NamedTuple):
    """What passed through a layer: inputs [B, M, in], outputs [B, M, out]."""

    layer: Layer
    inputs: Tensor
    outputs: Tensor


@dataclass(frozen=True)
class Adapted:
    """A model after adaptation to the last window.

    params: shared, or with one change per row B. loss_before, loss_after: [B] on the past window
    itself, NaN where there was no window. accepted: [B] True where the parameters changed;
    refused: [B] True where they would have, but the result was worse or not finite. carry: what a
    recurrent model remembers of what really happened, [B, 1, .]; plans begin with it and leave
    it as it is.
    """

    params: Params
    loss_before: Tensor
    loss_after: Tensor
    accepted: Tensor
    refused: Tensor
    carry: Carry = None


@dataclass(frozen=True)
class Plan:
    """What a planner proposes.

    actions: [B, H, A] in -1..1. expected_return: [B] predicted for these candidates' best.
    candidates, returns: [B, K, H, A] and [B, K], for plots. nonfinite: [B] how many rollouts
    were not finite. valid: [B] False where none was, so that there is no plan.
    """

    actions: Tensor
    expected_return: Tensor
    candidates: Tensor
    returns: Tensor
    nonfinite: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Paths:
    """Rollouts, real or imagined: R of each of N tasks, T control steps at most.

    observations: [N, R, T, S] before each action. actions: [N, R, T, A] as the policy drew them.
    rewards: [N, R, T]. last_observation: [N, R, S] after the last step. alive: [N, R, T] True up
    to and including the step in which a path ended; what comes after it counts for nothing.
    ended: [N, R] True where `done` ended it, False where the time limit cut it. distribution: the
    parameters of what each action was drawn from (mean, log_std), each [N, R, T, A]. info:
    recurrent inputs and such, [N, R, T, .].
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    last_observation: Tensor
    alive: Tensor
    ended: Tensor
    distribution: dict[str, Tensor]
    info: dict[str, Tensor] = field(default_factory=dict)


class TaskEnv(Protocol):
    """N tasks with R robots each, side by side, as an algorithm sees them."""

    @property
    def observation_size(self) -> int:
        """S."""

    @property
    def action_size(self) -> int:
        """A."""

    @property
    def tasks(self) -> int:
        """N."""

    @property
    def rollouts(self) -> int:
        """R."""

    @property
    def horizon(self) -> int:
        """T, control steps of an episode."""

    def sample_goals(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw goals [n, G] from the training distribution."""

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin an episode of every robot towards goals [N, G]; return observations [N, R, S]."""

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Act by [N, R, A]; return observations [N, R, S], rewards [N, R], done [N, R]."""


class Problem(NamedTuple):
    """What a plan is made with.

    step: the model. reward: of a transition. value: of the state that a plan ends in, what comes
    after it; without one, nothing counts that comes later. policy: what is proposed in a state.
    penalty: of what the model remembers of a rollout, such as how uncertain it was on the way.
    """

    step: StepFn
    reward: RewardFn
    value: ValueFn | None = None
    policy: ProposalFn | None = None
    penalty: PenaltyFn | None = None


class Root(NamedTuple):
    """Where plans begin: state [B, S], and what the model remembers then."""

    carry: Carry
    state: Tensor


class Planner(Protocol):
    """A sampling planner: pure; model and reward enter as functions."""

    @property
    def config(self) -> Any:
        """Its parameters, `candidates` (K) among them."""

    def initial(self, batch: int) -> Any:
        """Return the planner state of B robots before their first plan (no warm start)."""

    def plan(
        self,
        generator: torch.Generator,
        planner_state: Any,
        problem: Problem,
        root: Root,
        out_of_time: OutOfTime = never,
    ) -> tuple[Any, Plan]:
        """Plan from the root; return the warm start of the next call, and the plan.

        out_of_time: whether the time is up; what was imagined until then has to do.
        """


class Dynamics(Protocol):
    """A model of one control step, with explicit parameters."""

    def step(
        self, params: Params, carry: Carry, state: Tensor, action: Tensor
    ) -> tuple[Carry, Tensor]:
        """(params, carry, state [B, K, S], action [B, K, A]) -> (carry, next_state)."""

    def loss(
        self,
        params: Params,
        transitions: Transitions,
        records: list[LayerRecord] | None = None,
        carry: Carry = None,
    ) -> Tensor:
        """Return the mean squared error of normalised deltas: [B] for transitions [B, M, .].

        carry: from before the first of them; without it, a recurrent model predicts each on its
        own, with nothing remembered.
        """

    def planning_step(self, params: Params, reuse: StepFn | None = None) -> StepFn:
        """Return `step` with these parameters packed for the planner's many evaluations.

        reuse: what an earlier call returned, whose memory may be written over.
        """


class Adapter(Protocol):
    """How parameters follow the last window of transitions."""

    def initial(self, batch: int) -> Any:
        """Return what the adapter remembers of B robots before their first window."""

    def inherit(self, memory: Any, batch: int) -> Any:
        """Return what is left of the memory of an older model of the same shapes.

        What was computed by the older weights says nothing to these, and is forgotten.
        """

    def adapt(self, memory: Any, window: Transitions, attempted: Tensor) -> tuple[Any, Adapted]:
        """Adapt to window [B, M, .]; rows that are not `attempted` [B] keep their parameters.

        Those have fewer transitions than M: the last ones of the window, after rows of NaN.
        """


@dataclass(frozen=True)
class Reading:
    """One sensor message, stripped of ROS.

    topic: name in the robot file. stamp_s: time of measurement [s]. received_s: arrival on the
    steady clock [s]. values: the topic's signals in the order of the robot file. transport_s: from
    measurement to arrival; 0 where that is not known.
    """

    topic: str
    stamp_s: float
    received_s: float
    values: tuple[float, ...]
    transport_s: float = 0.0
