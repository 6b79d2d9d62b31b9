# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What there is, by name."""

from __future__ import annotations

from mbmrl_ros.bundles.files import bundle_names
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS


def list_tasks() -> dict[str, str]:
    """Return every task with its description."""
    return {name: task.description for name, task in (TASKS | POLICY_TASKS).items()}


def list_bundles() -> list[str]:
    """Return the shipped bundles."""
    return bundle_names()
