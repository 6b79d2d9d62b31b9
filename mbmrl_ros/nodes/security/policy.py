# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl security`: the SROS2 policy of a robot's nodes, an enclave for each.

/mbmrl/robot/...   commands go through command_gate; nobody else may publish to the motors
/mbmrl/sim/...     with the simulator and its clock; the controller or the collector commands
/mbmrl/play/...    a bag is played, and a controller plans beside it
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from mbmrl_ros.algorithms import LEARNERS
from mbmrl_ros.nodes.by_hand.asking import ASKING
from mbmrl_ros.nodes.security.entities import Entities, Hall, hall
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system.outputs import write_text

BY_HAND = 'by_hand'
# Element, its attribute, what is in it.
RULES = {
    'publish': ('topics', 'topic'),
    'subscribe': ('topics', 'topic'),
    'reply': ('services', 'service'),
    'request': ('services', 'service'),
}
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!-- mbmrl security writes this file, from what the nodes of {robot} have when they run. -->
<policy version="0.2.0">
  <enclaves>
"""
FOOT = """  </enclaves>
</policy>
"""
Setups = dict[str, dict[str, dict[str, Any]]]


def security_command(options: argparse.Namespace) -> None:
    """Start the nodes of a robot where nobody hears them, and write what they need."""
    spec = load_robot(options.robot)
    with tempfile.TemporaryDirectory() as folder:
        plan = setups(options, Path(folder))
        with hall(spec, options.namespace) as place:
            text = policy(spec, observed(place, plan), options.namespace)
    write_text(options.out, text)
    print(f'{options.out}: {text.count("<enclave ")} enclaves')
    if spec.simulation and spec.simulation.model.endswith('.urdf') and not _has_tf():
        print('without /tf, as tf2_msgs is not installed here: run this where it is')


def setups(options: argparse.Namespace, folder: Path) -> Setups:
    """Return the parameters of the nodes that run together. folder: for what they write."""
    robot, task = options.robot, options.task
    control: dict[str, Any] = {'robot': robot, 'budget.share': 0.0}
    control |= {'bundle': options.bundle} if options.bundle else {'mode': 'collect'}
    learn = {'task': task, 'algorithm': options.algorithm}
    # Those that plan in their model have no policy to be learned.
    kinds = ('model',) if options.algorithm in LEARNERS else ('model', 'policy')
    out = {'out': str(folder / 'learn')}
    learners = {f'{kind}_learner_node': learn | out for kind in kinds}
    collect = learn | out
    bag = str(folder / 'bag')
    plan: Setups = {
        'robot': {
            'command_gate': {'robot': robot},
            'controller_node': control | {'gate': True},
            'recorder_node': {'robot': robot, 'out': bag},
        },
        'sim': {
            'sim_node': {'robot': robot},
            'controller_node': control | {'use_sim_time': True},
            'recorder_node': {'robot': robot, 'out': f'{bag}_sim', 'use_sim_time': True},
        },
        'play': {'player_node': {'robot': robot, 'bag': bag}},
    }
    if options.bundle:
        shadow = {'shadow': True, 'use_sim_time': True}
        plan['play']['controller_node'] = control | shadow
    if task:
        plan['robot'] |= {'collector_node': collect | {'gate': True, 'reset': ''}, **learners}
        plan['sim'] |= {'collector_node': collect, **learners}
        plan['robot']['trainer_node'] = learn | {'out': str(folder / 'train')}
    return plan


def observed(place: Hall, plan: Setups) -> dict[str, Entities]:
    """Return what nodes have, by enclave."""
    found: dict[str, Entities] = {}
    for setup, nodes in plan.items():
        of_setup: dict[str, Entities] = {}
        for name, parameters in nodes.items():
            of_setup[name] = place.entities(name, parameters, say=name == 'recorder_node')
        if setup != 'play':
            of_setup[BY_HAND] = _by_hand(place, of_setup)
        found |= {f'/mbmrl/{setup}/{name}': each for name, each in of_setup.items()}
    return found


def policy(spec: RobotSpec, enclaves: Mapping[str, Entities], namespace: str = '') -> str:
    """Return the text of a policy file."""
    lines = (line for path, each in enclaves.items() for line in _enclave(path, each, namespace))
    return HEAD.format(robot=spec.name) + ''.join(f'{line}\n' for line in lines) + FOOT


def _by_hand(place: Hall, nodes: Mapping[str, Entities]) -> Entities:
    """Return what `mbmrl stop` and `mbmrl break` need, of nodes that have what these look for."""
    own = place.plain_entities(ASKING)
    offered = {service for each in nodes.values() for service in each.reply}
    stops = _ending(offered, ('/e_stop', '/release'))
    switches = {name for name in offered if '/sim_node/' in name and '/disabled_joint/' in name}
    heard = {topic for each in nodes.values() for topic in each.subscribe}
    return Entities(
        own.publish | _ending(heard, ('/disturbance',)),
        own.subscribe | {'/diagnostics'},
        own.reply,
        own.request | stops | switches,
    )


def _ending(names: Iterable[str], ends: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name for name in names if name.endswith(ends))


def _enclave(path: str, entities: Entities, namespace: str) -> Iterator[str]:
    node = path.rpartition('/')[2]
    node = ASKING if node == BY_HAND else node
    where = '/' if node == ASKING else f'/{namespace.strip("/")}'
    yield f'    <enclave path={quoteattr(path)}>'
    yield '      <profiles>'
    yield f'        <profile ns={quoteattr(where)} node={quoteattr(node)}>'
    for rule, names in entities._asdict().items():
        group, item = RULES[rule]
        if names:
            yield f'          <{group} {rule}="ALLOW">'
            yield from (f'            <{item}>{name}</{item}>' for name in sorted(names))
            yield f'          </{group}>'
    yield '        </profile>'
    yield '      </profiles>'
    yield '    </enclave>'


def _has_tf() -> bool:
    return importlib.util.find_spec('tf2_msgs') is not None
