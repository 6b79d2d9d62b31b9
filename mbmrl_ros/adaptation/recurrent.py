# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ReBAL: parameters stay, and the model remembers what really happened (thesis, section 9.2.1).

There a hidden state stands for phi' and the recurrence for the update rule u_psi. Two memories:

window    at every tick afresh from the last T1 transitions, as Algorithm 10 has it
episode   one that goes on for as long as transitions follow each other, as in the authors' code

Imagined steps never come back: plans begin with a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.types import Adapted, Params, Transitions

Span = Literal['window', 'episode']


class Episode(NamedTuple):
    """What is remembered of an episode so far.

    carry: [B, 1, Z]. ended: [B, S] the state that the last transition led to, NaN before there is
    one. errors: [B, M] of the last M predictions, NaN where there were none. Shapes never change:
    where a CUDA graph adapts, another shape costs a recording.
    """

    carry: Tensor
    ended: Tensor
    errors: Tensor


@dataclass(frozen=True)
class RecurrentAdapter:
    """ReBAL's memory, for either span.

    Losses are of one-step predictions on the window: before, of an empty memory for each
    transition; after, of the memory as it was when the transition came. Nothing is accepted or
    refused before there is a whole window, but fewer transitions are remembered as well.
    window_size: M transitions.
    """

    dynamics: RecurrentDynamics
    params: Params
    span: Span
    window_size: int

    def initial(self, batch: int) -> Episode | None:
        """Return the memory of nothing."""
        if self.span == 'window':
            return None
        carry = self.dynamics.empty(batch)
        ended = carry.new_full((batch, self.dynamics.state_size), torch.nan)
        return Episode(carry, ended, carry.new_full((batch, self.window_size), torch.nan))

    def inherit(self, memory: Episode | None, batch: int) -> Episode | None:
        """Return the memory of nothing: the next tick computes it anew from the whole window."""
        return self.initial(batch)

    @torch.no_grad()
    def adapt(
        self, memory: Episode | None, window: Transitions, attempted: Tensor
    ) -> tuple[Episode | None, Adapted]:
        """Remember window [B, M, .], of an episode what is new in it."""
        if memory is None:
            carry, errors = self._follow(self.dynamics.empty(len(attempted)), window)
        else:
            memory = self._go_on(memory, window)
            carry, errors = memory.carry, memory.errors
        before, after = self.dynamics.loss(self.params, window), errors.mean(1)
        accepted = attempted & after.isfinite()
        unknown = torch.full_like(after, torch.nan)
        return memory, Adapted(
            self.params,
            torch.where(attempted, before, unknown),
            torch.where(attempted, after, unknown),
            accepted,
            attempted & ~accepted,
            carry,
        )

    def _go_on(self, memory: Episode, window: Transitions) -> Episode:
        """Consume what is new in the window, or all of it where the memory does not reach it.

        It does not after a gap, after a tick that failed, and where the robot was put elsewhere.
        More than one transition is new where periods were missed.
        """
        count = _new(memory, window)
        newest = Transitions(*(tensor[:, -count:] for tensor in window))
        follows = (memory.ended == newest.states[:, 0]).all(1)
        carry, error = self._follow(memory.carry, newest)
        errors = torch.cat([memory.errors[:, count:], error], 1)
        # A CUDA graph cannot branch on values.
        if follows.is_cuda or not bool(follows.all()):
            fresh, past = self._follow(torch.zeros_like(carry), window)
            carry = torch.where(follows[:, None, None], carry, fresh)
            errors = torch.where(follows[:, None], errors, past)
        return Episode(carry, newest.next_states[:, -1], errors)

    def _follow(self, carry: Tensor, transitions: Transitions) -> tuple[Tensor, Tensor]:
        """Return the carry after the transitions, and the errors [B, T] of predicting them."""
        carry, errors = self.dynamics.follow(self.params, carry, transitions)
        return carry, errors.mean(2)


def _new(memory: Episode, window: Transitions) -> int:
    """Return how many transitions [B, M, .] came after what is remembered, 1 at least.

    Of robots for which it differs, the least; on a GPU 1, since a CUDA graph has one shape.
    """
    if memory.ended.is_cuda:
        return 1
    begins = (memory.ended[:, None] == window.states).all(2)
    # Where a robot stands still, the newest of equal states counts.
    counts = begins.flip(1).to(torch.uint8).argmax(1) + 1
    known = counts[begins.any(1)]
    return int(known.min()) if len(known) else 1
