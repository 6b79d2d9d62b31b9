# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the physics that a task multiplies: masses, inertias, frictions, dampings.

A parameter is written `kind:name`, such as `mass:torso`; what it is multiplied by is a goal.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.types import Array


class _Kind(NamedTuple):
    """Of which objects, in which array of the model, and in which of its columns."""

    objects: mujoco.mjtObj
    array: str
    column: int | None = None


KINDS = {
    'mass': _Kind(mujoco.mjtObj.mjOBJ_BODY, 'body_mass'),
    # Principal moments, in the order of the model.
    **{
        f'inertia_{axis}': _Kind(mujoco.mjtObj.mjOBJ_BODY, 'body_inertia', column)
        for column, axis in enumerate('xyz')
    },
    **{
        f'{name}_friction': _Kind(mujoco.mjtObj.mjOBJ_GEOM, 'geom_friction', column)
        for column, name in enumerate(('sliding', 'torsional', 'rolling'))
    },
    'damping': _Kind(mujoco.mjtObj.mjOBJ_JOINT, 'dof_damping'),
}


def is_parameter(goal: str) -> bool:
    """Whether a goal of this name is for the physics, and not for the reward."""
    return ':' in goal


class Parameters:
    """Some parameters of a model, found by their names."""

    def __init__(self, model: mujoco.MjModel, names: Sequence[str]) -> None:
        """UserError names a kind, or an object of the model, that does not exist."""
        self._model = model
        self._places = [_place(model, name) for name in names]
        self._data = mujoco.MjData(model)

    def multiplied(self, factors: Array) -> list[mujoco.MjModel]:
        """Return a model for each row of factors [N, P] of the parameters."""
        return [self._changed(row) for row in np.asarray(factors, np.float64)]

    def _changed(self, factors: Array) -> mujoco.MjModel:
        model = copy.copy(self._model)
        for (array, place), factor in zip(self._places, factors):
            getattr(model, array)[place] *= factor
        # What the solver derives from masses; the published code leaves those of the first model.
        mujoco.mj_setConst(model, self._data)
        return model


def _place(model: mujoco.MjModel, name: str) -> tuple[str, tuple[int, ...]]:
    """Return the array and the place in it that a parameter is."""
    kind_name, _, target = name.partition(':')
    if kind_name not in KINDS:
        raise UserError(f'parameter {name!r}: {closest(kind_name, KINDS)}')
    kind = KINDS[kind_name]
    number = mujoco.mj_name2id(model, kind.objects, target)
    if number < 0:
        valid = _names(model, kind.objects)
        raise UserError(
            f'parameter {name!r}: the model has no such part; {closest(target, valid)}'
        )
    if kind.array == 'dof_damping':
        number = int(model.jnt_dofadr[number])
    return kind.array, (number,) if kind.column is None else (number, kind.column)


def _names(model: mujoco.MjModel, objects: mujoco.mjtObj) -> list[str]:
    counts = {
        mujoco.mjtObj.mjOBJ_BODY: model.nbody,
        mujoco.mjtObj.mjOBJ_GEOM: model.ngeom,
        mujoco.mjtObj.mjOBJ_JOINT: model.njnt,
    }
    found = (mujoco.mj_id2name(model, objects, number) for number in range(counts[objects]))
    return [name for name in found if name]
