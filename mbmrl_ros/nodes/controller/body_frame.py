# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the body of a robot that moves about is, on /tf, for RViz.

The frames of the links come from robot_state_publisher; the one it cannot know is that of the root
of the URDF. tf2_msgs has no wheel, but every installation with RViz has it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import TransformStamped
from scipy.spatial.transform import Rotation

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.messages import to_nanoseconds, to_stamp
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.robot.kinematics import Chain
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

ANGLES = ('yaw', 'pitch', 'roll')


class BodyFrame:
    """From states of a robot to the frame of its URDF's root."""

    def __init__(self, spec: RobotSpec, axes: dict[int, int]) -> None:
        """spec: of a robot whose simulation has a URDF. axes: the channels of its x, y, z.

        UserError if Pinocchio is not installed.
        """
        assert spec.simulation is not None
        self._axes, self._frame = axes, spec.frame
        places = {str(channel.encoding): index for index, channel in enumerate(spec.state)}
        self._angles = {
            angle: (places[f'sin_{angle}'], places[f'cos_{angle}'])
            for angle in ANGLES
            if f'sin_{angle}' in places and f'cos_{angle}' in places
        }
        chain = Chain(spec.simulation.model, ())
        self.root = next(frame.name for frame in chain.model.frames if frame.name != 'universe')
        # Motion capture sees markers, or whatever the pose is about, and not the root.
        topic = spec.state[next(iter(axes.values()))].topic
        seen = chain.frame(spec.simulation.bodies.get(topic, self.root))
        self._root_in_seen = chain.poses(np.zeros(0))[seen].inverse()

    def transform(self, state: Array, stamp_s: float) -> TransformStamped:
        """Return where the root is in a state [S]."""
        turns = [
            np.arctan2(*state[list(self._angles[angle])]) if angle in self._angles else 0.0
            for angle in ANGLES
        ]
        # Intrinsic z-y'-x'', as in robot/state.py.
        rotation = Rotation.from_euler('ZYX', turns)
        seen = np.zeros(3)
        for axis, channel in self._axes.items():
            seen[axis] = state[channel]
        root = seen + rotation.apply(self._root_in_seen.translation)
        rotation = rotation * Rotation.from_matrix(self._root_in_seen.rotation)
        message = TransformStamped(child_frame_id=self.root)
        message.header.frame_id = self._frame
        message.header.stamp = to_stamp(to_nanoseconds(stamp_s))
        place, turn = message.transform.translation, message.transform.rotation
        place.x, place.y, place.z = map(float, root)
        turn.x, turn.y, turn.z, turn.w = map(float, rotation.as_quat())
        return message


def body_publisher(
    resources: NodeResources, spec: RobotSpec, axes: dict[int, int]
) -> Callable[[Array, float], None] | None:
    """Return what publishes the frame at a state and its time [s], while somebody listens.

    None for a robot without a URDF, and without tf2_msgs or Pinocchio.
    """
    model = spec.simulation.model if spec.simulation else ''
    if not model.endswith('.urdf') or importlib.util.find_spec('tf2_msgs') is None:
        return None
    try:
        body = BodyFrame(spec, axes)
    except UserError as error:
        resources.node.get_logger().warning(f'nothing on /tf: {error}')
        return None
    kind = importlib.import_module('tf2_msgs.msg').TFMessage
    publisher = resources.publisher(kind, '/tf', 10)

    def publish(state: Array, stamp_s: float) -> None:
        if publisher.get_subscription_count():
            publisher.publish(kind(transforms=[body.transform(state, stamp_s)]))

    return publish
