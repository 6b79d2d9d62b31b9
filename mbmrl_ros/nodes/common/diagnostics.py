# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Entries of /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
MOST_REASONS = 10


def diagnostic_message(
    node: Node, task: str, robot: str, level: bytes, message: str, values: Mapping[str, Any]
) -> DiagnosticArray:
    """Return one status with its values as text; floats keep six digits."""
    status = DiagnosticStatus(
        level=level,
        name=f'{node.get_fully_qualified_name().lstrip("/")}: {task}',
        message=message,
        hardware_id=robot,
        values=[KeyValue(key=key, value=_text(value)) for key, value in values.items()],
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = node.get_clock().now().to_msg()
    return array


def reasons(prefix: str, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the most frequent reasons as keys of a status."""
    most = sorted(counts.items(), key=lambda item: -item[1])[:MOST_REASONS]
    return {f'{prefix}: {reason}': count for reason, count in most}


def with_notices(
    level: bytes,
    message: str,
    values: dict[str, Any],
    conflicts: Sequence[str],
    notices: Sequence[str] = (),
) -> tuple[bytes, str]:
    """Return level and message, a warning at least where something should not be as it is.

    conflicts: said in any case. notices: said where all else is well. Both are added to `values`.
    """
    every = [*conflicts, *notices]
    values |= {f'notice {place}': notice for place, notice in enumerate(every, 1)}
    said = every if level == OK else list(conflicts)
    return (max(level, WARN), '; '.join([message, *said])) if said else (level, message)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'{value:.6g}' if isinstance(value, float) else str(value)
