# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether tests can draw on this machine."""

import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.rendering import make_context


def drawable():
    try:
        make_context(8, 8).free()
    except UserError:
        return False
    return True


needs_opengl = pytest.mark.skipif(not drawable(), reason='neither EGL nor OSMesa')
