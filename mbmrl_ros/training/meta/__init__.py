# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What meta policy search shares: MAML and its kin, ProMP, RL2."""
