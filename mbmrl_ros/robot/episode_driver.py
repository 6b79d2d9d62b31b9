# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drives a robot episode after episode, with the newest policy at the begin of each.

What is kept are pieces without gaps: control steps that are the policy's own and follow each
other. A missed period, a fallback, a stop or a decayed command ends a piece, and the episode goes
on with another one; mostly an episode is one piece. Where a model is learned it does not matter
who chose an action, and a missed period whose transition is known ends none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.latency import Pending
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import DoneFn, Transitions

Propose = Callable[[Tensor], Tensor]
"""State [1, S] -> action [1, A] in -1..1."""
OnPiece = Callable[[Trajectory, Propose], None]
"""Gets a piece of an episode, and what it was driven by."""

WAITING = 'collecting: waiting for the robot to be put back'


class EpisodeDriver:
    """An ActionSource of one robot. Between two episodes it answers with the fallback.

    Threads: `use`, `begin` and `disown` from any, everything else from the one that ticks.
    waiting: whether an episode is to be begun.
    """

    window_size = 1

    def __init__(
        self, spec: RobotSpec, horizon: int, done: DoneFn, propose: Propose, on_piece: OnPiece
    ) -> None:
        """horizon: steps of an episode. done: which states [1, S] end one before."""
        self._horizon, self._done, self._on_piece = horizon, done, on_piece
        self._newest = self._propose = propose
        fallback = from_units(spec, np.asarray(spec.action.fallback, np.float64))
        self._fallback = torch.from_numpy(fallback)[None]
        self._disowned = self._known = 0
        self.waiting, self._ticks = True, 0
        self._forget()

    @property
    def proposal(self) -> Propose:
        """What the present episode is driven by, or the last one was."""
        return self._propose

    def use(self, propose: Propose) -> None:
        """Drive with something else from the next episode on."""
        self._newest = propose

    def begin(self) -> None:
        """Begin an episode, in whatever state the robot is."""
        self._propose, self._ticks = self._newest, 0
        self.waiting = False

    def disown(self) -> None:
        """Take note that something else than the last action went out."""
        # What matters is that it changes, which it does also if two threads do it at once.
        self._disowned += 1

    def reset(self) -> None:
        """End the piece that is under way: the robot may be somewhere else."""
        self._cut()

    def act(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending = (),
        until_s: float = math.inf,
    ) -> Decision:
        """Return the next action for a state [1, S], having kept what the last one led to.

        window: [1, M, .], the last transitions; NaN before the first.
        """
        self._observe(window, state)
        if self.waiting:
            return Decision(self._fallback, torch.ones(1, dtype=torch.bool), mode=WAITING)
        decision = self._decide(window, attempted, state, pending, until_s)
        if not self._states:
            self._states.append(state)
        self._acted = True
        self._ticks += 1
        return replace(decision, mode=f'collecting: step {self._ticks} of {self._horizon}')

    @torch.no_grad()
    def _decide(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending,
        until_s: float,
    ) -> Decision:
        """Return the action of an episode that is under way; as `act`."""
        action = self._propose(state)
        valid = action.isfinite().all(-1)
        return Decision(torch.where(valid[:, None], action.double(), 0.0), valid)

    def _observe(self, window: Transitions, state: Tensor) -> None:
        acted, self._acted = self._acted, False
        # Read once: another thread may count on.
        count = self._disowned
        disowned, self._known = count != self._known, count
        if not acted:
            return
        if disowned or not self._extend(window):
            self._cut()
        if self._ticks >= self._horizon or bool(self._done(state)[0]):
            self._cut()
            self.waiting = True

    def _extend(self, window: Transitions) -> bool:
        """Keep the transitions since the last state that is kept; False where one is missing.

        After a missed period a window of one does not begin where the action was chosen. In a
        longer one, what led there is known as well.
        """
        same = (window.states[0] == self._states[-1]).all(-1).nonzero()
        if not len(same):
            return False
        first = int(same[-1])
        self._actions += [row[None] for row in window.actions[0, first:]]
        self._states += [row[None] for row in window.next_states[0, first:]]
        return True

    def _cut(self) -> None:
        states, actions = self._states, self._actions
        self._forget()
        if actions:
            nothing = torch.full((len(actions),), -1)
            piece = Trajectory(torch.cat(states).float(), torch.cat(actions).float(), nothing)
            self._on_piece(piece, self._propose)

    def _forget(self) -> None:
        self._states: list[Tensor] = []
        self._actions: list[Tensor] = []
        self._acted = False
