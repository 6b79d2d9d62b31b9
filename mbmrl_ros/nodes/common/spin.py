# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From command line to exit code: start a lifecycle node, spin it, stop it safely.

The signal handlers are our own: rclpy's invalidate the context first, and then no stopping command
can go out. The time-out of spin_once is finite because the EventsExecutor of the wheels hangs in
an infinite one, and so that a missed wake-up costs no more than that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile
from typing import Any

import rclpy
import torch
from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import ROSInterruptException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.utilities import remove_ros_args

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.log_folder import init_ros
from mbmrl_ros.nodes.common.params import Settings, check_files, help_text
from mbmrl_ros.nodes.common.priority import raise_process
from mbmrl_ros.nodes.common.signals import catch, exit_code, ignore

SPIN_S = 0.1
SETTLE_S = 0.3


def run(
    create: Callable[[], ManagedNode],
    settings: type[Settings],
    name: str,
    arguments: list[str] | None,
) -> int:
    """Run a node until a signal ends it; return the exit code: 2 for wrong input."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {'-h', '--help'} & set(arguments):
        print(f'usage: {name} [--ros-args -p PARAMETER:=VALUE ...]\n\nparameters:')
        print(help_text(settings))
        return 0
    # OpenMP keeps a pool for every thread that computes. What a node computes is small, but for
    # adapting and planning, which have a thread of their own with its own number.
    torch.set_num_threads(1)
    stopping: list[int] = []
    executors: list[SingleThreadedExecutor] = []

    def on_signal(number: int, frame: Any) -> None:
        stopping.append(number)
        for executor in executors:
            executor.wake()

    caught = catch(on_signal)
    try:
        _init(arguments)
        executors.append(SingleThreadedExecutor())
        node = _own_process(create())
        try:
            _spin(node, executors[0], stopping)
        finally:
            # A second signal must not cut the shutdown short, nor the end of the interpreter.
            ignore(caught)
            _end(node, executors[0])
        return exit_code(stopping[0]) if stopping else 0
    except UserError as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 2
    finally:
        ignore(caught)
        rclpy.try_shutdown()


def _own_process(node: ManagedNode) -> ManagedNode:
    """Give a node the process that it has to itself, with the priority that it asks for."""
    node.owns_process = True
    refused = raise_process(node.realtime_priority)
    if refused:
        node.get_logger().warning(refused)
    return node


def _init(arguments: list[str]) -> None:
    check_files(arguments)
    try:
        # name:=value outside of --ros-args is an old form of remapping to rcl, and not what
        # whoever writes it means.
        left = list(takewhile(lambda argument: argument != '--ros-args', arguments))
        left = left or remove_ros_args(arguments)
    except Exception as error:  # rcl's errors have no common base
        line = ' '.join(str(error).split())
        raise UserError(f'ROS arguments are not valid: {line}') from error
    if left:
        raise UserError(f'unknown argument {left[0]!r}; parameters: --ros-args -p name:=value')
    init_ros(args=arguments)


def _spin(node: ManagedNode, executor: SingleThreadedExecutor, stopping: list[int]) -> None:
    executor.add_node(node)
    with suppress(ExternalShutdownException, ROSInterruptException):
        if node.autostart and not stopping:
            _start(node, executor, stopping)
        while not stopping and rclpy.ok():
            executor.spin_once(timeout_sec=SPIN_S)


def _end(node: ManagedNode, executor: SingleThreadedExecutor) -> None:
    """Make the robot safe first, then remove the node."""
    node.stop()
    with suppress(RCLError):  # shut down before, by service
        node.trigger_shutdown()
    executor.shutdown()
    node.destroy_node()


def _start(node: ManagedNode, executor: SingleThreadedExecutor, stopping: list[int]) -> None:
    """Activate the node, a little later than configured, to hear what is latched (e_stop)."""
    _demand(node, node.trigger_configure())
    end = time.monotonic() + SETTLE_S
    while not stopping and time.monotonic() < end:
        executor.spin_once(timeout_sec=SPIN_S)
    if not stopping:
        _demand(node, node.trigger_activate())


def _demand(node: ManagedNode, result: TransitionCallbackReturn) -> None:
    if result != TransitionCallbackReturn.SUCCESS:
        raise UserError(node.problem or 'the node could not be started; see above')
