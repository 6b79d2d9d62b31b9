# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Online adaptation of meta-learned dynamics models, for robots that run ROS 2."""

__version__ = '0.1.0'

from mbmrl_ros.system.machine import wait_passively as _wait_passively

# Here, since this runs before any module of the package imports torch.
_wait_passively()
