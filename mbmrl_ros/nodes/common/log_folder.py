# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start ROS in a process; where its log cannot be written, say so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from mbmrl_ros.config import UserError
from mbmrl_ros.system.outputs import claimed

REMEDY = 'set ROS_LOG_DIR to a folder that can be written'


def init_ros(**options: Any) -> None:
    """Call rclpy.init, without its signal handlers; UserError names what is wrong.

    options: its arguments and context.
    """
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO, **options)
    except Exception as error:  # rcl's errors have no common base
        line = log_folder_fault() or f'ROS arguments are not valid: {" ".join(str(error).split())}'
        raise UserError(line) from error


def log_folder_fault() -> str:
    """Return why ROS cannot write its log, with the remedy; empty where it can."""
    try:
        with claimed(log_folder(), 'node'):
            return ''
    except UserError as error:
        return f'ROS writes a log: {error}; {REMEDY}'


def log_folder() -> Path:
    """Return where ROS writes its log, as rcl finds it; UserError if HOME is wanted and unset."""
    chosen = os.environ.get('ROS_LOG_DIR') or ''
    folder = chosen or os.path.join(os.environ.get('ROS_HOME') or '~/.ros', 'log')
    home = os.environ.get('HOME') or ''
    if folder.startswith('~') and not home:
        raise UserError(f'its folder is {folder}, and HOME is not set')
    return Path(home + folder[1:] if folder.startswith('~') else folder)
