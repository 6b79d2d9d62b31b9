# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What MUJOCO_GL may be: MuJoCo refuses all else with a traceback, as soon as it is imported.

So that is looked at when somebody imports MuJoCo, and no sooner: a controller does without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

from mbmrl_ros.config import UserError, closest

VALID = (
    'egl', 'osmesa', 'glfw', 'glx', 'enable', 'enabled', 'on', 'true', '1',
    'disable', 'disabled', 'off', 'false', '0',
)  # fmt: skip
"""Of MuJoCo, on Linux."""


def check_gl(asked: str) -> None:
    """Raise UserError where MUJOCO_GL is what MuJoCo cannot be imported with."""
    name = asked.lower().strip()
    if name and name not in VALID and sys.platform == 'linux':
        raise UserError(f'MUJOCO_GL is {asked!r}; {closest(name, VALID)}; or unset it')


class _BeforeMuJoCo(MetaPathFinder):
    """Finds nothing, and looks at MUJOCO_GL when MuJoCo is about to be found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == 'mujoco' and 'mujoco' not in sys.modules:
            check_gl(os.environ.get('MUJOCO_GL', ''))


def check_gl_at_import() -> None:
    """Look at MUJOCO_GL from now on, whenever MuJoCo is imported."""
    sys.meta_path.insert(0, _BeforeMuJoCo())
