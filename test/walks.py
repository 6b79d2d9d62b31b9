# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of a robot that walks as told, for tests of all that reads bags. No test is in here."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_KILTED)
TYPES = {
    'pose': 'geometry_msgs/msg/PoseStamped',
    'joint_states': 'sensor_msgs/msg/JointState',
    'imu': 'sensor_msgs/msg/Imu',
    'telemetry': 'std_msgs/msg/Float64MultiArray',
    'commands': 'std_msgs/msg/Float64MultiArray',
}
PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite': StoragePlugin.SQLITE3}
START_S = 1000.0
PERIOD_S = 0.1
SPEED = 0.25
TURN = 12.0


@dataclass
class Row:
    """What a millirobot sends at one moment, and the command that it is sent."""

    at_s: float
    stamp_s: float
    place: np.ndarray
    turn: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    legs: tuple[float, float] = (0.0, 0.0)
    rates: tuple[float, float, float] = (0.0, 0.0, 0.0)
    readings: tuple[float, float, float] = (40.0, -60.0, 900.0)
    command: tuple[float, float] = (400.0, 300.0)
    silent: set[str] = field(default_factory=set)


def walk(steps: int, start_s: float = START_S, period_s: float = PERIOD_S) -> list[Row]:
    """Return the rows of a robot that walks along x, a period apart."""
    rows = []
    for step in range(steps):
        time_s = step * period_s
        # Motion capture never reads the same twice.
        noise = 1e-5 * np.array([math.sin(7.0 * step), math.sin(5.0 * step), math.cos(3.0 * step)])
        rows.append(
            Row(
                start_s + time_s,
                start_s + time_s,
                np.array([SPEED * time_s, 0.0, 0.06]) + noise,
                legs=(TURN * time_s, 0.5 * TURN * time_s),
                command=(400.0 + 20 * (step % 5), 300.0 + 10 * (step % 7)),
            )
        )
    return rows


def messages(row: Row) -> dict[str, Any]:
    """Return the messages of a row by topic."""
    types = STORE.types
    vector, quaternion = types['geometry_msgs/msg/Vector3'], types['geometry_msgs/msg/Quaternion']
    nanoseconds = round(row.stamp_s * 1e9)
    stamp = types['builtin_interfaces/msg/Time'](*divmod(nanoseconds, 1_000_000_000))
    header = types['std_msgs/msg/Header'](stamp, 'world')
    w, x, y, z = row.turn
    orientation, unknown = quaternion(x, y, z, w), np.zeros(9)
    pose = types['geometry_msgs/msg/Pose'](
        types['geometry_msgs/msg/Point'](*map(float, row.place)), orientation
    )
    names, none = ['left_legs', 'right_legs'], np.zeros(0)
    legs = np.array(row.legs, np.float64)
    return {
        'pose': types[TYPES['pose']](header, pose),
        'joint_states': types[TYPES['joint_states']](header, names, legs, none, none),
        'imu': types[TYPES['imu']](
            header, quaternion(0.0, 0.0, 0.0, 1.0), unknown, vector(*row.rates), unknown,
            vector(0.0, 0.0, 0.0), unknown,
        ),
        'telemetry': _array(row.readings),
        'commands': _array(row.command),
    }  # fmt: skip


def _array(values: tuple[float, ...]) -> Any:
    layout = STORE.types['std_msgs/msg/MultiArrayLayout']([], 0)
    return STORE.types['std_msgs/msg/Float64MultiArray'](layout, np.array(values, np.float64))


def write_bag(
    folder: Path, rows: list[Row], storage: str = 'mcap', namespace: str = '/millirobot'
) -> Path:
    """Write rows as a bag; return its folder."""
    with Writer(folder, version=9, storage_plugin=PLUGINS[storage]) as writer:
        connections = {
            topic: writer.add_connection(f'{namespace}/{topic}', kind, typestore=STORE)
            for topic, kind in TYPES.items()
        }
        for row in rows:
            for topic, message in messages(row).items():
                if topic not in row.silent:
                    raw = STORE.serialize_cdr(message, TYPES[topic])
                    writer.write(connections[topic], round(row.at_s * 1e9), bytes(raw))
    return folder


def storage_file(bag: Path) -> Path:
    """Return the one file of a bag that holds messages."""
    return next(path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
