# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What MB, GrBAL and ReBAL share: a model of the dynamics, from data and of tasks."""
