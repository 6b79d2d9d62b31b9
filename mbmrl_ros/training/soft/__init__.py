# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What soft actor-critics in models share: MAAC, MBPO, DHMBPO."""
