# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shapes that a URDF has for the eye: MuJoCo's reader of URDFs drops them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from mbmrl_ros.types import Array

_GREY = (0.6, 0.62, 0.65, 1.0)


def add_visuals(description: mujoco.MjSpec, path: Path) -> None:
    """Add the boxes, cylinders and spheres of a URDF's visuals in place of what touches things.

    Links that are drawn by meshes, or by nothing, keep the shapes of their collisions.
    """
    root = ElementTree.parse(path).getroot()
    named = ((m.get('name'), _colour(m)) for m in root.iter('material'))
    colours = {name: colour for name, colour in named if colour is not None}
    bodies = {body.name: body for body in description.bodies}
    for link in root.iter('link'):
        body = bodies.get(link.get('name', ''))
        visuals = [(visual, _shape(visual)) for visual in link.iter('visual')]
        if body is None or not any(shape for _, shape in visuals):
            continue
        for geom in body.geoms:
            geom.rgba[3] = 0.0
        for visual, shape in visuals:
            if shape is not None:
                _add(body, visual, shape, colours)


def _add(
    body: mujoco.MjsBody,
    visual: ElementTree.Element,
    shape: tuple[mujoco.mjtGeom, list[float]],
    colours: dict[str | None, tuple[float, ...]],
) -> None:
    kind, size = shape
    place, turn = _origin(visual)
    material = visual.find('material')
    rgba = None if material is None else _colour(material) or colours.get(material.get('name'))
    body.add_geom(
        type=kind, size=size, pos=place, quat=turn, rgba=rgba or _GREY, mass=0.0, contype=0,
        conaffinity=0,
    )  # fmt: skip


def _shape(visual: ElementTree.Element) -> tuple[mujoco.mjtGeom, list[float]] | None:
    box, cylinder, sphere = (
        visual.find(f'geometry/{name}') for name in ('box', 'cylinder', 'sphere')
    )
    if box is not None:
        return mujoco.mjtGeom.mjGEOM_BOX, list(_numbers(box.get('size', '')) / 2)
    if cylinder is not None:
        radius, length = float(cylinder.get('radius', 0)), float(cylinder.get('length', 0))
        return mujoco.mjtGeom.mjGEOM_CYLINDER, [radius, length / 2, 0.0]
    if sphere is not None:
        return mujoco.mjtGeom.mjGEOM_SPHERE, [float(sphere.get('radius', 0)), 0.0, 0.0]
    return None


def _origin(visual: ElementTree.Element) -> tuple[Array, Array]:
    """Return position [3] and quaternion [4]; roll, pitch, yaw are about fixed axes."""
    origin = visual.find('origin')
    xyz, rpy = ('0 0 0', '0 0 0')
    if origin is not None:
        xyz, rpy = origin.get('xyz', xyz), origin.get('rpy', rpy)
    x, y, z, w = Rotation.from_euler('xyz', _numbers(rpy)).as_quat()
    return _numbers(xyz), np.array([w, x, y, z])


def _colour(material: ElementTree.Element) -> tuple[float, ...] | None:
    colour = material.find('color')
    return None if colour is None else tuple(_numbers(colour.get('rgba', '')))


def _numbers(text: str) -> Array:
    return np.array(text.split(), np.float64)
