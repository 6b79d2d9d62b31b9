# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A controller beside recordings: it sees every control step in turn, and drives nothing.

As the node does in shadow mode; but the recording waits for it, so that no period is missed on a
machine of any speed and the same seed gives the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.robot.adaptive_mpc import AdaptiveMPC
from mbmrl_ros.robot.command import to_units
from mbmrl_ros.robot.history import History, stack_windows
from mbmrl_ros.robot.prediction_monitor import PredictionError, PredictionMonitor
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Transitions


@dataclass
class ShadowLog:
    """What happened at every control step of some recordings; rows of one step belong together.

    proposed, recorded: [A] in units, what it would have sent and what was sent. trained, adapted,
    no_change: mean squared errors of normalised changes, of the prediction of the step. window:
    whether there was a whole window to adapt to. accepted: whether adapting changed the model.
    """

    proposed: list[Array] = field(default_factory=list)
    recorded: list[Array] = field(default_factory=list)
    trained: list[float] = field(default_factory=list)
    adapted: list[float] = field(default_factory=list)
    no_change: list[float] = field(default_factory=list)
    window: list[bool] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    tick_s: list[float] = field(default_factory=list)


def run_in_shadow(
    bundle: Bundle,
    mpc: AdaptiveMPC,
    spec: RobotSpec,
    trajectories: Sequence[Trajectory],
    on_step: Callable[[], object] = lambda: None,
) -> ShadowLog:
    """Let a controller see trajectories, each from an empty history on."""
    log, scores = ShadowLog(), PredictionMonitor(bundle.dynamics)
    for trajectory in trajectories:
        mpc.reset()
        history = History(mpc.window_size, spec.period_s, spec.state_size, spec.action_size)
        for step, action in enumerate(trajectory.actions):
            state = trajectory.states[step]
            history.observe(step * spec.period_s, state.double().numpy())
            window, attempted = stack_windows([history])
            started = time.perf_counter()
            decision = mpc.act(window, attempted, state.float()[None])
            log.tick_s.append(time.perf_counter() - started)
            ahead = Transitions(*(
                part.float()[None, None] for part in (state, action, trajectory.states[step + 1])
            ))  # fmt: skip
            adapted = decision.adapted
            assert adapted is not None, 'a plan is made in a model'
            after = _score(scores, adapted.params, adapted.carry, ahead)
            log.adapted.append(after.adapted)
            log.no_change.append(after.no_change)
            log.trained.append(_score(scores, bundle.params, None, ahead).adapted)
            log.window.append(bool(attempted[0]))
            log.accepted.append(bool(adapted.accepted[0]))
            log.proposed.append(to_units(spec, decision.action[0].double().numpy()))
            log.recorded.append(to_units(spec, action.double().numpy()))
            history.applied(action.double().numpy())
            on_step()
    return log


def _score(
    scores: PredictionMonitor, params: Any, carry: Any, ahead: Transitions
) -> PredictionError:
    scores.remember(params, carry)
    return scores.score(ahead)


def summarise(log: ShadowLog, spec: RobotSpec) -> dict[str, Any]:
    """Return means over the steps that had a whole window, by the documented keys."""
    counted = np.array(log.window)
    if not counted.any():
        counted[:] = True
    proposed, recorded = np.array(log.proposed), np.array(log.recorded)
    ticks_ms = 1e3 * np.array(log.tick_s)
    return {
        'steps': len(counted),
        'steps_with_window': int(np.sum(log.window)),
        'loss_trained': float(np.array(log.trained)[counted].mean()),
        'loss_adapted': float(np.array(log.adapted)[counted].mean()),
        'loss_no_change': float(np.array(log.no_change)[counted].mean()),
        'adapted_share': float(np.array(log.accepted)[counted].mean()),
        'tick_ms': {
            'median': float(np.median(ticks_ms)),
            'p99': float(np.percentile(ticks_ms, 99)),
            'late_share': float((ticks_ms > 1e3 * spec.period_s).mean()),
        },
        'commands': {
            joint: {
                'recorded_mean': float(recorded[:, place].mean()),
                'proposed_mean': float(proposed[:, place].mean()),
                'rms_difference': float(
                    np.sqrt(np.square(proposed[:, place] - recorded[:, place]).mean())
                ),
                'correlation': _correlation(proposed[:, place], recorded[:, place]),
            }
            for place, joint in enumerate(spec.action.joints)
        },
    }


def _correlation(one: Array, other: Array) -> float:
    """Return how much two commands go along, -1 to 1; NaN where one of them never changes."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float('nan')
    return float(np.corrcoef(one, other)[0, 1])


def verdict(summary: dict[str, Any]) -> str:
    """Return in a sentence what the numbers say."""
    adapted, trained = summary['loss_adapted'], summary['loss_trained']
    if not adapted < summary['loss_no_change']:
        return (
            'The model predicts the robot no better than that nothing changes: do not drive with '
            'it; compare the topic of the commands (--commands), units and signs, or train on '
            'recordings of this robot'
        )
    share = adapted / summary['loss_no_change']
    said = f'Of the change of a step {share:.1%} is not foreseen'
    if adapted < trained:
        return f'{said}; adapting takes {1 - adapted / trained:.0%} off the error'
    return f'{said}; adapting does not help on these recordings'
