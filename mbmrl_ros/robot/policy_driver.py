# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy drives a robot, and learns from what really happened.

A rollout is made of control steps that are the policy's own and follow each other. After a gap, a
fallback, a stop or a decayed command it is begun anew, as a rollout of training holds none. What
limits do to a command, and the time until it takes effect, belong to the robot: the reward is that
of the action that was applied, the credit goes to the one that was drawn.

Nobody puts the robot back between two rollouts: the next one begins where the last one ended, and
after an end (a fall), once the robot is in a state that ends no episode.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.policies.gaussian import Distribution, sample
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.latency import Pending
from mbmrl_ros.robot.policy_learners import PolicyLearner, Step
from mbmrl_ros.types import DoneFn, RewardFn, Transitions

Exploration = Literal['auto', 'always', 'never']
"""When actions are drawn: while there are rollouts to adapt from, always, never (the mean)."""

WAITING = 'policy: waiting for a state that ends no episode'


@dataclass(frozen=True)
class DrivenTask:
    """A task as it is met on a robot.

    horizon: steps of a rollout. reward: (state [1, S], applied action in -1..1 [1, A], next
    state) -> [1], under the goal that was given, all in float64. done: which states end a rollout.
    observe: state [1, S] -> what the policy is shown. action_scale: the action of the policy that
    stands for 1. squashed: whether a tanh bounds its actions (policies/squashed.py).
    """

    horizon: int
    reward: RewardFn
    done: DoneFn
    observe: Callable[[Tensor], Tensor]
    action_scale: float
    squashed: bool = False


class _Acted(NamedTuple):
    """What was answered to a state [1, S]."""

    state: Tensor
    observation: Tensor
    action: Tensor
    distribution: Distribution


class PolicyDriver:
    """An ActionSource of one robot that plans nothing; all of it lies on the CPU.

    Threads: `disown` from any, everything else from the one that ticks.
    """

    window_size = 1

    def __init__(
        self,
        learner: PolicyLearner,
        task: DrivenTask,
        generator: torch.Generator,
        exploration: Exploration = 'auto',
    ) -> None:
        """generator: of the actions, on the CPU."""
        self._learner, self._task, self._generator = learner, task, generator
        self._exploration = exploration
        self._disowned = self._known = 0
        self.reset()

    def reset(self) -> None:
        """Forget the rollouts, and what was learned from them."""
        self._learner.reset()
        self._steps = 0
        self._acted: _Acted | None = None
        self._told = ''

    def disown(self) -> None:
        """Take note that something else than the last action went out, or what came before it."""
        # What matters is that it changes, which it does also if two threads do it at once.
        self._disowned += 1

    @torch.no_grad()
    def act(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending = (),
        until_s: float = math.inf,
    ) -> Decision:
        """Return the next action for a state [1, S], having learned from what the last one did.

        window: [1, 1, .], the last transition where it is `attempted` [1].
        """
        started = time.perf_counter()
        self._observe(window, attempted, state)
        adapted = self._learner.poll()
        adapted_at = time.perf_counter()
        learner, task = self._learner, self._task
        waiting = self._steps == 0 and bool(task.done(state)[0])
        observation = task.observe(state)
        drawn = learner.distribution(observation)
        action = sample(drawn, self._generator) if self._explores else drawn['mean']
        finite = action.isfinite().all(-1)
        if learner.recording and not waiting:
            self._acted = _Acted(state, observation, action, drawn)
        bounded = action.tanh() if task.squashed else action
        scaled = (bounded.double() / task.action_scale).clamp(-1.0, 1.0)
        return Decision(
            torch.where(finite[:, None], scaled, 0.0),
            finite,
            adapted,
            adapt_s=adapted_at - started,
            plan_s=time.perf_counter() - adapted_at,
            mode=WAITING if waiting and learner.recording else learner.mode,
        )

    @property
    def _explores(self) -> bool:
        if self._exploration == 'auto':
            return self._learner.exploring
        return self._exploration == 'always'

    def _observe(self, window: Transitions, attempted: Tensor, state: Tensor) -> None:
        """Add what came of the last action to the rollout, or begin it anew."""
        acted, self._acted = self._acted, None
        # Read once: another thread may count on.
        count = self._disowned
        disowned, self._known = count != self._known, count
        if acted is None:
            return
        before, action, after = (part[:, -1].double() for part in window)
        # After a missed period the last transition does not begin where the action was chosen.
        follows = bool(attempted[0]) and torch.equal(window.states[:, -1], acted.state)
        if disowned or not follows:
            self._restart()
            return
        reward = self._task.reward(before, action, after).float()
        if not bool(reward.isfinite()):
            self._tell('the reward of a step is not finite; the rollout is begun anew')
            self._restart()
            return
        done = self._task.done(after)
        self._learner.record(Step(*acted[1:], reward, done))
        self._steps += 1
        if bool(done) or self._steps == self._task.horizon:
            self._steps = 0
            self._learner.end_rollout(self._task.observe(state))

    def _tell(self, problem: str) -> None:
        """Say a problem once: at every step it would hide all else."""
        if problem != self._told:
            logging.getLogger(__name__).warning(problem)
        self._told = problem

    def _restart(self) -> None:
        self._steps = 0
        self._learner.restart()
