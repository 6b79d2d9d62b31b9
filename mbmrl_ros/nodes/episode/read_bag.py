# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read a recorded run back, through the robot's own readers and StateAssembler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.nodes.episode.episode import Episode, lead_periods
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.message_fields import message_stamp_ns
from mbmrl_ros.robot.readings import read_command, sensor_reader
from mbmrl_ros.robot.state import StateAssembler
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Reading

Readings = dict[str, dict[int, tuple[float, ...]]]
"""topic -> stamp [ns] -> values."""


@dataclass(frozen=True)
class RecordedRun:
    """signals: [T+1, R]. trajectory: states and applied actions. stats: per tick, by name.

    A state is not a number where the robot had none, such as in a drop-out of motion capture.
    """

    signals: Array
    trajectory: Trajectory
    stats: dict[str, Array]


def read_run(bag: Path, episode: Episode) -> RecordedRun:
    """Read the first `steps` steps of a run; UserError if the bag holds fewer."""
    spec = episode.spec
    readings, commands, stats = _read_messages(bag, episode)
    lead, stamps = lead_periods(spec), sorted(set(commands).intersection(*readings.values()))
    if len(stamps) < lead + episode.steps + 1:
        raise UserError(f'{bag} holds {len(stamps) - 1 - lead} steps instead of {episode.steps}')
    run = slice(lead, lead + episode.steps + 1)
    states, stamps = _states(spec, readings, stamps)[run], stamps[run]
    actions = np.stack([from_units(spec, commands[stamp]) for stamp in stamps[:-1]])
    trajectory = Trajectory(
        torch.from_numpy(states).float(),
        torch.from_numpy(actions).float(),
        torch.full((episode.steps,), -1),
    )
    ticks = {name: np.array(values[lead : lead + episode.steps]) for name, values in stats.items()}
    signals = np.stack([_signals(spec, readings, stamp) for stamp in stamps])
    return RecordedRun(signals, trajectory, ticks)


def _read_messages(
    bag: Path, episode: Episode
) -> tuple[Readings, dict[int, Array], dict[str, list[float]]]:
    """Return readings by topic and stamp [ns], commands [A] by stamp, and columns of stats."""
    spec, root = episode.spec, f'/{episode.namespace}/'
    readers = {topic: sensor_reader(spec, topic) for topic in spec.topics}
    readings: Readings = {topic: {} for topic in spec.topics}
    commands: dict[int, Array] = {}
    stats: dict[str, list[float]] = {}
    for full, _, message, _ in Bag(bag).messages(episode.topics):
        topic = full.removeprefix(root)
        if topic in readers:
            reading, stamp = readers[topic](message, 0.0), message_stamp_ns(message)
            if isinstance(reading, Reading) and stamp is not None:
                readings[topic][stamp] = reading.values
        elif full == episode.applied:
            command, stamp = read_command(spec, message), message_stamp_ns(message)
            if not isinstance(command, str) and stamp is not None:
                commands[stamp] = command
        elif full == episode.stats:
            for dimension, value in zip(message.layout.dim, message.data):
                stats.setdefault(dimension.label, []).append(float(value))
    return readings, commands, stats


def _states(spec: RobotSpec, readings: Readings, stamps: list[int]) -> Array:
    """Return the states [T, S] of stamps in order, as the robot put them together.

    Arrivals are the stamps: in lockstep no message is under way while time passes.
    """
    assembler, states = StateAssembler(spec), np.full((len(stamps), spec.state_size), np.nan)
    for row, stamp in zip(states, stamps):
        for topic, by_stamp in readings.items():
            assembler.on_reading(Reading(topic, stamp / 1e9, stamp / 1e9, by_stamp[stamp]))
        assembler.begin_period(stamp / 1e9)
        state = assembler.assemble(stamp / 1e9).state
        if state is not None:
            row[:] = state
    return states


def _signals(spec: RobotSpec, readings: Readings, stamp: int) -> Array:
    """Return the readings of one stamp in the order of the robot file: [R]."""
    values = {
        signal: value
        for topic, by_stamp in readings.items()
        for signal, value in zip(spec.topic_signals(topic), by_stamp[stamp])
    }
    return np.array([values[signal] for signal in spec.signals])
