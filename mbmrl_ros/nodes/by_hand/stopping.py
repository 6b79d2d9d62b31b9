# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl stop`: the emergency stop of every controller and gate that can be found."""

from __future__ import annotations

import argparse
import sys

from std_srvs.srv import Trigger

from mbmrl_ros.nodes.by_hand.asking import asking, nobody

TRIGGER = 'std_srvs/srv/Trigger'


def stop_command(options: argparse.Namespace) -> int:
    """Latch the stop of all nodes that have one, or release it; return 1 if one did not do it."""
    service = '/release' if options.release else '/e_stop'
    done = True
    with asking() as node:
        names = node.find(TRIGGER, lambda name: name.endswith(service))
        # A gate first: it is the last before the motors.
        for name in sorted(names, key=lambda name: 'gate' not in name):
            answer = node.call(Trigger, name)
            said = 'no answer' if answer is None else answer.message
            success = answer is not None and answer.success
            done &= success
            owner = name.removesuffix(service).lstrip('/')
            print(f'{owner}: {said}', file=sys.stdout if success else sys.stderr)
    if not names:
        raise nobody('controller or gate')
    return 0 if done else 1
