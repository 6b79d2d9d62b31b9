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
from mbmrl_ros.nodes.episode import Episode
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.readings import read_command, sensor_reader, stamp_ns
from mbmrl_ros.robot.state import encode
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array


@dataclass(frozen=True)
class RecordedRun:
    """signals: [T+1, R]. trajectory: states and applied actions. stats: per tick, by name."""

    signals: Array
    trajectory: Trajectory
    stats: dict[str, Array]


def read_run(bag: Path, episode: Episode) -> RecordedRun:
    """Read the first `steps` steps of a run; UserError if the bag holds fewer."""
    spec, root = episode.spec, f'/{episode.namespace}/'
    readers = {topic: sensor_reader(spec, topic) for topic in spec.topics}
    readings: dict[str, dict[int, tuple[float, ...]]] = {topic: {} for topic in spec.topics}
    commands: dict[int, Array] = {}
    stats: dict[str, list[float]] = {}
    for full, _, message in Bag(bag).messages(episode.topics):
        topic = full.removeprefix(root)
        if topic in readers:
            reading = readers[topic](message, 0.0)
            if not isinstance(reading, str):
                readings[topic][stamp_ns(message.header.stamp)] = reading.values
        elif full == episode.applied:
            command = read_command(spec, message)
            if not isinstance(command, str):
                commands[stamp_ns(message.header.stamp)] = command
        elif full == episode.stats:
            for dimension, value in zip(message.layout.dim, message.data):
                stats.setdefault(dimension.label, []).append(float(value))
    stamps = sorted(set(commands).intersection(*readings.values()))[: episode.steps + 1]
    if len(stamps) < episode.steps + 1:
        raise UserError(f'{bag} holds {len(stamps) - 1} steps instead of {episode.steps}')
    signals = np.stack([_signals(spec, readings, stamp) for stamp in stamps])
    actions = np.stack([from_units(spec, commands[stamp]) for stamp in stamps[:-1]])
    trajectory = Trajectory(
        torch.from_numpy(encode(spec, signals)).float(),
        torch.from_numpy(actions).float(),
        torch.full((episode.steps,), -1),
    )
    ticks = {name: np.array(values[: episode.steps]) for name, values in stats.items()}
    return RecordedRun(signals, trajectory, ticks)


def _signals(
    spec: RobotSpec, readings: dict[str, dict[int, tuple[float, ...]]], stamp: int
) -> Array:
    """Put the readings of one moment in the order of the robot file: [R]."""
    values = {
        signal: value
        for topic, by_stamp in readings.items()
        for signal, value in zip(spec.topic_signals(topic), by_stamp[stamp])
    }
    return np.array([values[signal] for signal in spec.signals])
