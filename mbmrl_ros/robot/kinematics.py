# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points on a robot from its joint positions, by Pinocchio.

Pinocchio is imported with the first robot that has points, so that no other robot needs it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from mbmrl_ros.config import UserError, closest, find_file, is_uri
from mbmrl_ros.spec.model_text import why_no_model
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


def points_at(spec: RobotSpec, positions: Array) -> dict[str, Array]:
    """Return every point [..., 3] [m] of the robot file at joint positions [..., A] [rad].

    In the frame of the URDF's root. UserError if the URDF lacks a joint or a frame, or Pinocchio
    is not installed.
    """
    kinematics = spec.kinematics
    if kinematics is None:
        return {}
    chain = _chain(kinematics.urdf, spec.action.joints)
    places = [
        (chain.frame(point.frame), np.array(point.at)) for point in kinematics.points.values()
    ]
    rows = np.reshape(positions, (-1, positions.shape[-1]))
    found = np.empty((len(rows), len(places), 3))
    for row, values in enumerate(rows):
        poses = chain.poses(values)
        for column, (frame, at) in enumerate(places):
            found[row, column] = poses[frame].act(at)
    shaped = found.reshape(*positions.shape[:-1], len(places), 3)
    return {name: shaped[..., column, :] for column, name in enumerate(kinematics.points)}


class _Follower(NamedTuple):
    """A joint at slope [A] times positions [A], plus an offset [rad, m]."""

    joint: Any
    slope: Array
    offset: float


class Chain:
    """The rigid bodies of a URDF."""

    def __init__(self, urdf: str, joints: tuple[str, ...]) -> None:
        """joints: that positions are given of, in this order.

        Joints that mimic one of them follow it; others stay at zero.
        """
        pinocchio = _pinocchio()
        # A package that could not be found is missed now.
        urdf = str(find_file(urdf, Path())) if is_uri(urdf) else urdf
        if objection := why_no_model(Path(urdf)):
            raise UserError(f'Pinocchio cannot load {urdf}: {objection}')
        try:
            self.model: Any = pinocchio.buildModelFromUrdf(urdf)
        except (ValueError, RuntimeError) as error:
            line = ' '.join(str(error).split())
            raise UserError(f'Pinocchio cannot load {urdf}: {line}') from error
        self.data: Any = self.model.createData()
        self._library, self._urdf = pinocchio, urdf
        self._check_joints(joints)
        self._joints = [self._joint(name) for name in joints]
        self._followers = self._mimics(joints)
        self._zero: Array = pinocchio.neutral(self.model)

    def frame(self, name: str) -> int:
        """Return the number of a link's frame; UserError names those there are."""
        if not self.model.existFrame(name):
            names = [frame.name for frame in self.model.frames]
            raise UserError(f'{self._urdf}: no frame {name!r}; {closest(name, names)}')
        return int(self.model.getFrameId(name))

    def configuration(self, positions: Array) -> Array:
        """Return Pinocchio's configuration: joints without limits are points on a circle."""
        q = self._zero.copy()
        places = zip(self._joints, positions)
        followers = ((f.joint, f.slope @ positions + f.offset) for f in self._followers)
        for joint, position in (*places, *followers):
            if joint.nq == 2:
                q[joint.idx_q : joint.idx_q + 2] = np.cos(position), np.sin(position)
            else:
                q[joint.idx_q] = position
        return q

    def poses(self, positions: Array) -> Any:
        """Return the poses of all frames, by number, at positions [A] [rad]."""
        self._library.framesForwardKinematics(self.model, self.data, self.configuration(positions))
        return self.data.oMf

    def gravity(self, positions: Array) -> Array:
        """Return the torques [A] [N m] that hold the robot's weight at positions [A] [rad]."""
        torques = self._library.computeGeneralizedGravity(
            self.model, self.data, self.configuration(positions)
        )
        own = np.array([torques[joint.idx_v] for joint in self._joints])
        # What a follower carries is carried by the joint that it follows (virtual work).
        return own + sum(
            (torques[follower.joint.idx_v] * follower.slope for follower in self._followers),
            np.zeros(len(own)),
        )

    def _joint(self, name: str) -> Any:
        return self.model.joints[self.model.getJointId(name)]

    def _check_joints(self, joints: tuple[str, ...]) -> None:
        names = list(self.model.names)[1:]
        missing = [joint for joint in joints if joint not in names]
        if missing:
            listed = ', '.join(map(repr, missing))
            raise UserError(f'{self._urdf}: no joint {listed}; {closest(missing[0], names)}')

    def _mimics(self, joints: tuple[str, ...]) -> list[_Follower]:
        """Return the joints that follow those of which positions are given, also at second hand.

        Read from the file: not every Pinocchio does.
        """
        found: dict[str, tuple[str, float, float]] = {}
        for joint in ElementTree.parse(self._urdf).getroot().iter('joint'):
            name, mimic = str(joint.get('name')), joint.find('mimic')
            if mimic is not None and name not in joints and self.model.existJointName(name):
                slope, offset = float(mimic.get('multiplier', 1)), float(mimic.get('offset', 0))
                found[name] = str(mimic.get('joint')), slope, offset
        return [self._follower(name, found, joints) for name in found]

    def _follower(
        self, name: str, mimics: dict[str, tuple[str, float, float]], joints: tuple[str, ...]
    ) -> _Follower:
        leader, slope, offset, seen = name, 1.0, 0.0, {name}
        while leader in mimics:
            leader, factor, constant = mimics[leader]
            slope, offset = slope * factor, slope * constant + offset
            if leader in seen:
                raise UserError(f'{self._urdf}: joint {name!r} mimics itself')
            seen.add(leader)
        return _Follower(
            self._joint(name),
            slope * np.array([joint == leader for joint in joints], float),
            offset,
        )


_chain = functools.lru_cache(maxsize=8)(Chain)


def _pinocchio() -> Any:
    try:
        import pinocchio
    except ImportError as error:
        raise UserError('points on a robot need Pinocchio: pip install pin') from error
    return pinocchio
