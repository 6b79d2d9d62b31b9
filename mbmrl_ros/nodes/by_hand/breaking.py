# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl break`: what can be wrong with a simulated robot, switched while it runs."""

from __future__ import annotations

import argparse

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from std_srvs.srv import SetBool

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.nodes.by_hand.asking import Asking, asking, nobody

SWITCH = 'std_srvs/srv/SetBool'
# Every simulator has it, next to the switches of its disturbances.
PAUSE = '/pause'
NOTHING = 'none'


def break_command(options: argparse.Namespace) -> int:
    """Switch a disturbance, or say what there is; UserError if there is none such."""
    with asking() as node:
        names = node.find(SWITCH, lambda name: True)
        sims = [name.removesuffix(PAUSE) for name in names if name.endswith(PAUSE)]
        if not sims:
            raise nobody('simulator')
        for sim in sims:
            switches = {
                name.removeprefix(f'{sim}/').replace('/', ':', 1): name
                for name in names
                if name.startswith(f'{sim}/') and name != f'{sim}{PAUSE}'
            }
            print(f'{sim.lstrip("/")}: {_switch(node, sim, switches, options)}')
    return 0


def _switch(node: Asking, sim: str, switches: dict[str, str], options: argparse.Namespace) -> str:
    """Return what is wrong with a simulated robot now, or what can be."""
    what = options.what
    if not what and not options.mend:
        return ', '.join(sorted(switches)) or 'nothing of this robot can break'
    if not what:
        return _publish(node, sim, NOTHING)
    # A joint alone stands for its motor.
    full = next((name for name in (what, f'disabled_joint:{what}') if name in switches), None)
    if full is not None:
        answer = node.call(SetBool, switches[full], data=not options.mend)
        if answer is None:
            raise UserError(f'{sim.lstrip("/")} does not answer')
        return f'wrong now: {answer.message}'
    if what.count(':') >= 2 and not options.mend:
        return _publish(node, sim, what)
    joints = [name.removeprefix('disabled_joint:') for name in switches]
    raise UserError(f'{sim.lstrip("/")} has no {what!r}; {closest(what, joints)}')


def _publish(node: Asking, sim: str, text: str) -> str:
    """Set a disturbance with a value, or none; return what is wrong after that."""
    said: list[str] = []

    def on_status(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f'{sim.lstrip("/")}: simulation':
                said.extend(v.value for v in status.values if v.key == 'disturbances')

    node.node.create_subscription(DiagnosticArray, '/diagnostics', on_status, 10)
    publisher = node.node.create_publisher(String, f'{sim}/disturbance', QoSProfile(depth=10))
    node.until(lambda: publisher.get_subscription_count() > 0)
    publisher.publish(String(data=text))
    if not node.until(lambda: bool(said) and text in said[-1]):
        raise UserError(
            f'{sim.lstrip("/")} does not take {text!r}; its own terminal says why, and '
            'mbmrl break says what there is'
        )
    return f'wrong now: {said[-1]}'
