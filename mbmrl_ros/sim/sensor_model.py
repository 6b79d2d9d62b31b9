# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What sensors make of the truth: age, noise, resolution and drop-outs, for N robots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.actuator_model import Direct, MotorDrive
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.spec.channels import read_signal
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Sensing
from mbmrl_ros.types import Array


class Senses:
    """The sensors of N robots, each with a stream of noise of its own.

    values: [N, R] what the robot was told last. Every message is as old as its topic's delay,
    which jitters, in parts of a period; the stamp knows nothing of it, as on the real robot.
    """

    def __init__(
        self, spec: RobotSpec, batch: int, drive: Direct | MotorDrive, dropouts: bool
    ) -> None:
        """drive: whose motors have sensors too. UserError if a field is unknown."""
        topics = list(spec.topics)
        sensing = simulation_of(spec).sensing
        settings = [sensing.get(topic, Sensing()) for topic in topics]
        self._drive, self._dropouts = drive, dropouts
        part_s = drive.part_s
        self._delay = np.array([s.delay_s / part_s for s in settings])
        self._jitter = np.array([s.jitter_s / part_s for s in settings])
        # They are read once per step of the world, of which a period may have several.
        share = drive.parts * part_s / spec.period_s
        self._lost = share * np.array([s.lost for s in settings])
        self._found = share / np.array([s.lost_periods for s in settings])
        self._topic = np.array([topics.index(read_signal(s).topic) for s in spec.signals])
        self._noise = by_signal(spec, 'noise', 0.0)
        self._resolution = by_signal(spec, 'resolution', 0.0)
        self._quaternions = quaternions(spec)
        self._actions = spec.action_size
        self._order = {signal: place for place, signal in enumerate(spec.signals)}
        self._rngs = [np.random.default_rng(0)] * batch
        self._silent = np.zeros((batch, len(topics)), bool)
        self.values: Array = np.zeros((batch, len(spec.signals)))

    def reset(self, row: int, rng: np.random.Generator) -> None:
        """Start the noise of one robot afresh."""
        self._rngs[row] = np.random.default_rng(rng.integers(2**63))
        self._silent[row] = False

    def read(self, row: int, samples: Array, speeds: Array) -> None:
        """Store what one robot's sensors measured in a period.

        samples: [P, R] the truth, newest last; P is 1 after a reset. speeds: [A] of the joints.
        """
        rng, size = self._rngs[row], len(self._topic)
        normal = rng.standard_normal(size + len(self._delay))
        uniform = rng.random(len(self._delay) + self._actions)
        ages = np.rint(self._delay + self._jitter * normal[size:])
        places = len(samples) - 1 - ages.clip(0, len(samples) - 1).astype(int)
        fresh = samples[places[self._topic], np.arange(size)].copy()
        readouts = self._drive.readouts(row, speeds, uniform[len(self._delay) :])
        for signal, value in readouts.items():
            fresh[self._order[signal]] = value
        self._disturb(fresh, normal[:size] * self._noise)
        silent = self._silent[row]
        silent[:] = uniform[: len(silent)] < np.where(silent, 1.0 - self._found, self._lost)
        if not self._dropouts or len(samples) == 1:
            silent[:] = False
        self.values[row] = np.where(silent[self._topic], self.values[row], fresh)

    def _disturb(self, signals: Array, noise: Array) -> None:
        """Add noise to signals [R] in place and round them; turn quaternions by it."""
        for places in self._quaternions:
            signals[places] = turned(signals[places], noise[places[1:]])
            noise[places] = 0.0
        signals += noise
        rounded = self._resolution > 0
        steps = np.rint(signals[rounded] / self._resolution[rounded])
        signals[rounded] = steps * self._resolution[rounded]


def make_senses(
    spec: RobotSpec, batch: int, drive: Direct | MotorDrive, dropouts: bool = True
) -> Senses | None:
    """Return the sensors that the robot file describes, None if they tell the truth."""
    simulation = simulation_of(spec)
    if simulation.motors is None and not simulation.sensing:
        return None
    return Senses(spec, batch, drive, dropouts)


def turned(quaternion: Array, angles: Array) -> Array:
    """Return a quaternion [4] (w first) after small turns about its own axes [3] in rad."""
    w, v = quaternion[0], quaternion[1:]
    half = 0.5 * angles
    result = np.array([w - v @ half, *(v + w * half + np.cross(v, half))])
    return np.asarray(result / np.linalg.norm(result))


def by_signal(spec: RobotSpec, setting: str, default: float) -> Array:
    """Return a setting that is given by topic and field, as [R]; UserError if one fits none."""
    result = np.full(len(spec.signals), default)
    for topic, sensing in simulation_of(spec).sensing.items():
        for field, value in getattr(sensing, setting).items():
            places = [
                place
                for place, signal in enumerate(spec.signals)
                if signal.startswith((f'{topic}:{field}.', f'{topic}:{field}['))
                or signal == f'{topic}:{field}'
            ]
            if not places:
                raise UserError(f'simulation.sensing.{topic}.{setting}: no signal {field!r}')
            result[places] = value
    return result


def quaternions(spec: RobotSpec) -> list[NDArray[np.int64]]:
    """Return where in the signals [R] there are quaternions, w first."""
    return [
        np.array([spec.signals.index(f'{signal[:-1]}{part}') for part in 'wxyz'])
        for signal in spec.signals
        if signal.endswith('orientation.w')
    ]
