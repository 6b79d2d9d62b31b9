# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What policy search in models shares: its loop, its stages, what is imagined."""
