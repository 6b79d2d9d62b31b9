# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0

from mbmrl_ros.sim.gl_choice import check_gl_at_import

check_gl_at_import()
