# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What all nodes of the package have in common."""

import rclpy
from rclpy.impl.rcutils_logger import RcutilsLogger

from mbmrl_ros.nodes.gate.gate_node import make_node
from mbmrl_ros.nodes.recording.player_node import make_node as make_player


def said_by(make, monkeypatch, **parameters):
    """Return what a node logs from configure to activate."""
    said, context = [], rclpy.Context()
    monkeypatch.setattr(RcutilsLogger, 'info', lambda self, text, **rest: said.append(text))
    rclpy.init(context=context)
    try:
        overrides = [rclpy.Parameter(name, value=value) for name, value in parameters.items()]
        node = make(context=context, parameter_overrides=overrides)
        node.trigger_configure()
        node.trigger_activate()
        node.close()
        node.destroy_node()
    finally:
        context.try_shutdown()
    return said


def test_a_node_says_what_it_is_and_which_topics_it_waits_for(monkeypatch):
    (line,) = said_by(make_node, monkeypatch, robot='half_cheetah')
    assert line.startswith('active: robot half_cheetah; hears ')
    heard = line.partition('hears ')[2].split(', ')
    assert {'/wanted_commands', '/joint_states', '/e_stop'} <= set(heard)
    assert '/parameter_events' not in heard


def test_a_node_that_did_not_start_does_not_say_that_it_did(monkeypatch):
    assert said_by(make_player, monkeypatch, bag='/nowhere') == []
