# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a policy learns from its own rollouts while it drives: by gradient steps, or by memory.

Both count rollouts, and both can begin one anew as if its steps had never been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from mbmrl_ros.policies.gaussian import Distribution, GaussianPolicy
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.policies.squashed import SquashedPolicy
from mbmrl_ros.types import Adapted, Params, Paths

Adapt = Callable[[Sequence[Paths]], Adapted]
"""R rollouts before each inner step so far -> the parameters after the last of the steps."""

Start = Callable[[Callable[[], Adapted]], Future[Adapted]]
"""Computes something, at once or in another thread."""


class Step(NamedTuple):
    """A control step of the policy's own: observation, action [1, .]; reward, done: [1].

    distribution: that the action was drawn from.
    """

    observation: Tensor
    action: Tensor
    distribution: Distribution
    reward: Tensor
    done: Tensor


class PolicyLearner(Protocol):
    """What a driver needs of it."""

    @property
    def recording(self) -> bool:
        """Whether steps are wanted."""

    @property
    def exploring(self) -> bool:
        """Whether there are rollouts to adapt from yet, for which actions are drawn."""

    @property
    def mode(self) -> str:
        """What it is at, in words."""

    def reset(self) -> None:
        """Forget what was learned."""

    def restart(self) -> None:
        """Begin the present rollout anew: its steps have never been."""

    def distribution(self, observation: Tensor) -> Distribution:
        """Return the distribution of actions [1, A] for an observation [1, S]."""

    def record(self, step: Step) -> None:
        """Keep a step, whose observation was the last one asked about."""

    def end_rollout(self, last_observation: Tensor) -> None:
        """Learn from a rollout: its last step was done, or it has reached its horizon."""

    def poll(self) -> Adapted | None:
        """Use what was computed meanwhile; return how the last adaptation went, if one did.

        It is accepted or refused only in the first answer of many.
        """


class Schedule(NamedTuple):
    """When to adapt: R rollouts of at most `horizon` steps before each of the inner steps."""

    rollouts: int
    horizon: int
    inner_steps: int


class GradientLearner:
    """Inner steps, each from rollouts of its own; then the parameters stay (MAML, ProMP)."""

    def __init__(
        self,
        policy: GaussianPolicy | SquashedPolicy,
        params: Params,
        adapt: Adapt,
        schedule: Schedule,
        start: Start,
    ) -> None:
        """params: before any step. schedule: without inner steps, nothing is learned."""
        self._policy, self._trained, self._adapt = policy, params, adapt
        self._schedule, self._start = schedule, start
        self.reset()

    def reset(self) -> None:
        """Forget what was learned."""
        self.params = self._trained
        self._rounds: list[Paths] = []
        self._rollouts: list[Paths] = []
        self._steps: list[Step] = []
        self._running: Future[Adapted] | None = None
        self._outcome: Adapted | None = None

    @property
    def recording(self) -> bool:
        """Whether there are inner steps to take, and none is being computed."""
        return self._running is None and len(self._rounds) < self._schedule.inner_steps

    exploring = recording

    @property
    def mode(self) -> str:
        """What it is at."""
        rollouts, _, inner_steps = self._schedule
        if self._running is not None:
            return 'policy: adapting'
        if not self.recording:
            return 'policy: adapted' if inner_steps else 'policy: as trained'
        seen = len(self._rounds) * rollouts + len(self._rollouts)
        return f'policy: rollout {seen + 1} of {rollouts * inner_steps}'

    def restart(self) -> None:
        """Drop the steps of the present rollout."""
        self._steps = []

    def distribution(self, observation: Tensor) -> Distribution:
        """Return the distribution of actions [1, A]."""
        return self._policy.distribution(self.params, observation)

    def record(self, step: Step) -> None:
        """Keep a step."""
        self._steps.append(step)

    def end_rollout(self, last_observation: Tensor) -> None:
        """Keep the rollout; after R of them an inner step is computed."""
        self._rollouts.append(_rollout(self._steps, last_observation, self._schedule.horizon))
        self._steps = []
        if len(self._rollouts) < self._schedule.rollouts:
            return
        rounds = [*self._rounds, _together(self._rollouts)]
        self._rollouts = []
        self._running = self._start(lambda: self._adapt(rounds))
        self._asked = rounds

    def poll(self) -> Adapted | None:
        """Go on with the parameters after a step that is done; rollouts of a bad one are lost."""
        if self._running is None or not self._running.done():
            return self._outcome
        running, self._running = self._running, None
        outcome = _result(running)
        if bool(outcome.accepted[0]):
            self.params, self._rounds = outcome.params, self._asked
        nothing = torch.zeros_like(outcome.accepted)
        self._outcome = replace(outcome, accepted=nothing, refused=nothing)
        return outcome


def _result(running: Future[Adapted]) -> Adapted:
    """Return what was computed; what raised is a step that is refused."""
    try:
        return running.result()
    except Exception as error:  # the robot is driven on as before
        text = ' '.join(f'{type(error).__name__}: {error}'.split())
        logging.getLogger(__name__).warning('the inner step is refused: %s', text)
        unknown, yes = torch.full((1,), torch.nan), torch.ones(1, dtype=torch.bool)
        return Adapted({}, unknown, unknown, ~yes, yes)


def _rollout(steps: Sequence[Step], last_observation: Tensor, horizon: int) -> Paths:
    """Return steps as a path of one task, filled up with zeros to its horizon."""

    def filled(values: Sequence[Tensor]) -> Tensor:
        known = torch.cat(list(values))
        whole = known.new_zeros(1, 1, horizon, *known.shape[1:])
        whole[0, 0, : len(known)] = known
        return whole

    actions = filled([step.action for step in steps])
    names = steps[0].distribution
    return Paths(
        observations=filled([step.observation for step in steps]),
        actions=actions,
        rewards=filled([step.reward for step in steps]),
        last_observation=last_observation[:, None],
        alive=filled([torch.ones_like(step.done) for step in steps]),
        ended=steps[-1].done[:, None],
        distribution={
            name: filled([step.distribution[name].expand_as(step.action) for step in steps])
            for name in names
        },
    )


def _together(rollouts: Sequence[Paths]) -> Paths:
    """Return rollouts [1, 1, .] side by side: [1, R, .]."""

    def joined(get: Callable[[Paths], Tensor]) -> Tensor:
        return torch.cat([get(paths) for paths in rollouts], 1)

    return Paths(
        observations=joined(lambda paths: paths.observations),
        actions=joined(lambda paths: paths.actions),
        rewards=joined(lambda paths: paths.rewards),
        last_observation=joined(lambda paths: paths.last_observation),
        alive=joined(lambda paths: paths.alive),
        ended=joined(lambda paths: paths.ended),
        distribution={
            name: torch.cat([paths.distribution[name] for paths in rollouts], 1)
            for name in rollouts[0].distribution
        },
    )


class MemoryLearner:
    """A recurrent policy that remembers the rollouts of a trial (RL2).

    It was trained for trials of so many episodes. The last of them is repeated from the memory
    that it began with: a memory of more of them is none that it was trained with.
    """

    def __init__(self, policy: RecurrentPolicy, params: Params, episodes: int) -> None:
        """episodes: of a trial, in training."""
        self._policy, self._params, self._episodes = policy, params, episodes
        self.recording = True
        self.reset()

    def reset(self) -> None:
        """Begin a trial: forget everything."""
        self._seen = 0
        last = torch.zeros(1, self._policy.action_size + 2)
        self._beginning = self._policy.empty(1), last
        self.restart()

    @property
    def exploring(self) -> bool:
        """Whether the last episode of the trial is still to come."""
        return self._seen < self._episodes - 1

    @property
    def mode(self) -> str:
        """What it is at."""
        if not self.exploring:
            return 'policy: adapted'
        return f'policy: rollout {self._seen + 1} of {self._episodes - 1}'

    def restart(self) -> None:
        """Remember what was remembered when the present episode began."""
        self._carry, self._last = self._beginning
        self._following = self._carry

    def distribution(self, observation: Tensor) -> Distribution:
        """Return the distribution of actions [1, A], with what came of the step before."""
        inputs = torch.cat([observation, self._last], -1)
        self._following, drawn = self._policy.step(self._params, self._carry, inputs)
        return drawn

    def record(self, step: Step) -> None:
        """Remember a step (training/meta/trials.py, TrialEnv)."""
        self._carry = self._following
        seen = [step.action, step.reward[:, None], step.done[:, None].float()]
        self._last = torch.cat(seen, -1)

    def end_rollout(self, last_observation: Tensor) -> None:
        """Go on to the next episode, or repeat the last one."""
        self._seen += 1
        if self._seen < self._episodes:
            ended = torch.cat([self._last[:, :-1], torch.ones(1, 1)], -1)
            self._beginning = self._carry, ended
        self.restart()

    def poll(self) -> Adapted | None:
        """Return None: there is no step of which a loss could be told."""
        return None
