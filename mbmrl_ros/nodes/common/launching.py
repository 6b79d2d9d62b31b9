# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For launch files: a process that fails ends the launch, and the launch says so by its exit code.

launch has no wheel; nothing but launch files, which run where it is installed, imports this.
"""

from __future__ import annotations

import signal
from typing import Any

from launch.actions import RegisterEventHandler
from launch.event_handlers import OnProcessExit

# Of a process that was interrupted along with the launch: of Python, and of a shell.
INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)


def needed(*processes: Any) -> list[Any]:
    """Return processes, and what ends the launch with exit code 1 if one of them fails.

    The others are stopped in order, so that gate and simulator leave the robot at the fallback.
    """
    handlers = [
        RegisterEventHandler(OnProcessExit(target_action=process, on_exit=_on_exit))
        for process in processes
    ]
    # First, to see also a process that fails at once.
    return [*handlers, *processes]


def _on_exit(event: Any, context: Any) -> None:
    if event.returncode == 0 or (context.is_shutdown and event.returncode in INTERRUPTED):
        return
    # What is raised in an event is all that makes launch end with another exit code than 0.
    raise RuntimeError(f'{event.process_name} failed with exit code {event.returncode}')
