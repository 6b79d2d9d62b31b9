# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From bags to trajectories, cut wherever one step does not follow from the one before.

What lies between two control steps is kept as a transition or dropped for a reason, and the
seconds of both are counted, so that they add up to the length of the bag.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.recordings import Account, Manifest, Session, SessionAccount, total
from mbmrl_ros.recordings.control_steps import Log, Step, find_topics
from mbmrl_ros.robot.history import follows
from mbmrl_ros.robot.state import FAULTS
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

REASONS = FAULTS | {
    'edge': 'before the first control step, and after the last',
    'gap': 'no control step for longer than one and a half periods',
    'refused': 'a message held no reading; which and why is counted apart',
    'duplicate': 'the stamp was that of the step before',
    'irregular': 'stamps less than half a period or more than one and a half apart',
    'no command': 'no command for longer than its time-out',
    'limits': 'commands were outside the limits of the robot file',
    'short': 'the piece that was left is shorter than the shortest asked for',
}
# Room for rounding in commands that are at their limit.
_BEYOND = 1.0 + 1e-6
# Nanoseconds since 1970 as a floating number of seconds are right to 0.2 microseconds.
_ROUNDING_S = 1e-6
# Bags whose reasons stand in an error.
_SHOWN = 3


def read_recordings(
    bags: list[Bag],
    spec: RobotSpec,
    namespace: str | None = None,
    command: str | None = None,
    shortest_steps: int = 1,
    on_bag: Callable[[], object] = lambda: None,
) -> tuple[Manifest, list[Session]]:
    """Read bags, one session each; UserError if none can be read.

    One that cannot be is named in the manifest, with the reason.

    namespace: of the robot, where a bag holds several. command: full topic of the commands that
    the robot followed, if not that of the robot file.
    """
    accounts, sessions, unreadable = [], [], {}
    for bag in bags:
        try:
            log = Log(bag, spec, find_topics(bag, spec, namespace, command))
            session, account = cut(bag, log, shortest_steps)
            sessions.append(session)
            accounts.append(account)
        except UserError as error:
            unreadable[bag.name] = str(error)
        except Exception as error:  # one bag must not cost the others their conversion
            unreadable[bag.name] = f'{bag.where}: {type(error).__name__}: {error}'
        on_bag()
    if not accounts:
        more = f'; and {len(unreadable) - _SHOWN} bags more' if len(unreadable) > _SHOWN else ''
        reasons = '; '.join(list(unreadable.values())[:_SHOWN])
        raise UserError(f'nothing to read: {reasons or "no bags"}{more}')
    manifest = Manifest(
        robot=spec.name,
        robot_hash=spec.hash,
        period_s=spec.period_s,
        shortest_steps=shortest_steps,
        total=total(accounts),
        sessions=tuple(accounts),
        unreadable=unreadable,
        reasons=REASONS,
    )
    return manifest, sessions


def cut(bag: Bag, log: Log, shortest_steps: int) -> tuple[Session, SessionAccount]:
    """Cut a bag into trajectories and account for its time."""
    cutter = _Cutter(log.spec, shortest_steps)
    for step in log.steps():
        cutter.add(step)
    cutter.close()
    trajectories, dropped_s = cutter.trajectories, dict(cutter.dropped_s)
    counted_s = cutter.kept_s + sum(dropped_s.values())
    account = SessionAccount(
        name=bag.name,
        messages=dict(log.messages),
        refused=dict(log.refused),
        damage=bag.damage,
        notes=tuple(log.notes),
        seconds=log.seconds,
        kept_s=cutter.kept_s,
        dropped_s=dropped_s | {'edge': max(0.0, log.seconds - counted_s)},
        trajectories=len(trajectories),
        transitions=sum(trajectory.steps for trajectory in trajectories),
    )
    return Session(bag.name, trajectories), account


def refusals(manifest: Manifest) -> Counter[str]:
    """Return how many messages held no reading in all bags, by reason."""
    counts: Counter[str] = Counter()
    for session in manifest.sessions:
        counts.update(session.refused)
    return counts


def chief_reason(account: Account, refused: Counter[str]) -> str:
    """Return why most of the time of recordings was dropped."""
    reason = max(account.dropped_s, key=lambda key: account.dropped_s[key])
    text = f'{reason}, {account.dropped_s[reason]:.1f} of {account.seconds:.1f} s'
    if reason == 'refused' and refused:
        (message, count), *_ = refused.most_common(1)
        return f'{text} ({count} x {message})'
    return f'{text} ({REASONS[reason]})'


class _Cutter:
    """Puts steps together to trajectories, and counts seconds."""

    def __init__(self, spec: RobotSpec, shortest_steps: int) -> None:
        self.trajectories: list[Trajectory] = []
        self.kept_s = 0.0
        self.dropped_s: defaultdict[str, float] = defaultdict(float)
        self._spec, self._shortest = spec, shortest_steps
        self._before: Step | None = None
        self._states: list[Array] = []
        self._actions: list[Array] = []
        self._piece_s = 0.0

    def add(self, step: Step) -> None:
        """Take the next step."""
        if self._before is not None and _same(self._before, step):
            return
        before, self._before = self._before, step
        reason = '' if before is None else self._reason(before, step)
        if before is not None and reason:
            self.dropped_s[reason] += step.at_s - before.at_s
        if before is None or reason or step.action is None:
            self.close()
            self._states = [] if step.state is None else [step.state]
            return
        assert step.state is not None
        self._states.append(step.state)
        self._actions.append(step.action)
        self._piece_s += step.at_s - before.at_s

    def close(self) -> None:
        """End a piece."""
        if len(self._actions) >= self._shortest:
            self.kept_s += self._piece_s
            states, actions = np.stack(self._states), np.stack(self._actions)
            self.trajectories.append(
                Trajectory(
                    torch.from_numpy(states).float(),
                    torch.from_numpy(actions).float(),
                    torch.full((len(actions),), -1),
                )
            )
        elif self._actions:
            self.dropped_s['short'] += self._piece_s
        self._states, self._actions, self._piece_s = [], [], 0.0

    def _reason(self, before: Step, step: Step) -> str:
        """Return why this step does not follow from the one before, or nothing."""
        spec, elapsed_s = self._spec, step.stamp_s - before.stamp_s
        if step.at_s - before.at_s > 1.5 * spec.period_s:
            return 'gap'
        if before.fault or step.fault:
            return before.fault or step.fault
        if elapsed_s == 0:
            return 'duplicate'
        if step.action is None or not follows(elapsed_s, spec.period_s):
            return 'irregular'
        if step.at_s - step.commanded_s > spec.action.timeout_s + _ROUNDING_S:
            return 'no command'
        return 'limits' if np.abs(step.action).max() > _BEYOND else ''


def _same(before: Step, step: Step) -> bool:
    """Whether a state was sent again, as a simulator in lockstep does until it is answered."""
    if before.state is None or step.state is None or step.stamp_s != before.stamp_s:
        return False
    return np.array_equal(before.state, step.state)
