# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In real time the simulator steps as often as its fastest sensor comes, or its actuators act."""

from __future__ import annotations

from dataclasses import dataclass

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.spec.robot import RobotSpec


@dataclass(frozen=True)
class Rates:
    """How time is cut up.

    step_s: of the simulator. physics_steps: in one of its steps. steps: of the simulator in a
    control period. every: by topic, published at every so many steps.
    """

    step_s: float
    physics_steps: int
    steps: int
    every: dict[str, int]


def lockstep_rates(spec: RobotSpec) -> Rates:
    """Return one step per control period, with all topics at every step."""
    return Rates(
        spec.period_s, simulation_of(spec).physics_steps, 1, dict.fromkeys(spec.topics, 1)
    )


def real_time_rates(spec: RobotSpec) -> Rates:
    """Return steps as long as the shortest period of a topic (default: the control period).

    Or of the actuators, if they are faster. UserError if they do not go into each other.
    """
    periods = {name: topic.period_s or spec.period_s for name, topic in spec.topics.items()}
    actuation_s = simulation_of(spec).actuation_s or spec.period_s
    step_s = min([spec.period_s, actuation_s, *periods.values()])
    steps = _times(spec, 'the control period', spec.period_s, step_s)
    physics_steps, rest = divmod(simulation_of(spec).physics_steps, steps)
    if rest:
        raise UserError(
            f'{spec.name}: sensors come {steps} times a period, which its '
            f'{simulation_of(spec).physics_steps} physics steps cannot be cut into'
        )
    every = {name: _times(spec, name, period_s, step_s) for name, period_s in periods.items()}
    return Rates(step_s, physics_steps, steps, every)


def _times(spec: RobotSpec, what: str, period_s: float, step_s: float) -> int:
    times = round(period_s / step_s)
    if abs(times * step_s - period_s) > 1e-6 * period_s:
        raise UserError(
            f'{spec.name}: the simulator steps once per {step_s:g} s, the shortest period_s of a '
            f'topic or actuation_s, and {what} ({period_s:g} s) is no multiple of that'
        )
    return times
