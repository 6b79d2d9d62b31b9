# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Joints that follow others: `mimic` of a URDF, and MuJoCo's equality of joints."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.polynomial import polynomial

# How stiffly joints that a gear couples follow each other [s], in physics steps (MuJoCo: at least
# two).
_COUPLING_STEPS = 3.0


def couple(description: mujoco.MjSpec, path: Path, step_s: float) -> None:
    """Make joints follow others where the URDF says mimic; not every MuJoCo reads that."""
    known = {equality.name1: equality for equality in description.equalities}
    for joint in ElementTree.parse(path).getroot().iter('joint'):
        name, mimic = joint.get('name'), joint.find('mimic')
        if mimic is None:
            continue
        equality = known.get(name) or description.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT, name1=name, name2=mimic.get('joint')
        )
        offset, multiplier = float(mimic.get('offset', 0)), float(mimic.get('multiplier', 1))
        equality.data[:5] = [offset, multiplier, 0.0, 0.0, 0.0]
        equality.solref[:] = _COUPLING_STEPS * step_s, 1.0


def place_followers(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Put joints that follow others where they belong, as MuJoCo would pull them there.

    y - y0 = a0 + a1 (x - x0) + ... + a4 (x - x0)^4, or a0 without a leader. Followers of followers
    come right in as many passes as the chain is long.
    """
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_EQUALITY:
        return
    of_joints = model.eq_type == mujoco.mjtEq.mjEQ_JOINT
    equalities = np.flatnonzero(of_joints & (data.eq_active != 0))
    for equality in np.tile(equalities, len(equalities)):
        follower, leader = model.eq_obj1id[equality], model.eq_obj2id[equality]
        factors = model.eq_data[equality, :5]
        moved, speed = 0.0, 0.0
        if leader >= 0:
            place = model.jnt_qposadr[leader]
            moved = data.qpos[place] - model.qpos0[place]
            speed = data.qvel[model.jnt_dofadr[leader]]
        place = model.jnt_qposadr[follower]
        data.qpos[place] = model.qpos0[place] + polynomial.polyval(moved, factors)
        slope = polynomial.polyval(moved, polynomial.polyder(factors))
        data.qvel[model.jnt_dofadr[follower]] = slope * speed
