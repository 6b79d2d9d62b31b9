# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where every executable begins: signals are taken before anything that needs time is imported."""

from __future__ import annotations

import importlib

from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.system.endings import begin_process, exit_code


def mbmrl() -> int:
    """Run the command line."""
    return _run('mbmrl', 'mbmrl_ros.cli.main')


def sim_node() -> int:
    """Run the simulator node."""
    return _run('sim_node', EXECUTABLES['sim_node'])


def controller_node() -> int:
    """Run the controller node."""
    return _run('controller_node', EXECUTABLES['controller_node'])


def command_gate() -> int:
    """Run the node between controller and motors."""
    return _run('command_gate', EXECUTABLES['command_gate'])


def recorder_node() -> int:
    """Run the node that records a robot."""
    return _run('recorder_node', EXECUTABLES['recorder_node'])


def player_node() -> int:
    """Run the node that plays a bag."""
    return _run('player_node', EXECUTABLES['player_node'])


def trainer_node() -> int:
    """Run the node that trains."""
    return _run('trainer_node', EXECUTABLES['trainer_node'])


def collector_node() -> int:
    """Run the node that drives a robot with the newest policy."""
    return _run('collector_node', EXECUTABLES['collector_node'])


def model_learner_node() -> int:
    """Run the node that fits models to what was collected."""
    return _run('model_learner_node', EXECUTABLES['model_learner_node'])


def policy_learner_node() -> int:
    """Run the node that improves a policy in the newest models."""
    return _run('policy_learner_node', EXECUTABLES['policy_learner_node'])


def _run(name: str, module: str) -> int:
    begin_process()
    return exit_code(lambda: int(importlib.import_module(module).main()), name)
