# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What nodes have and say while they run: topics, services, keys of /diagnostics."""

from __future__ import annotations

import argparse
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from topic_meanings import COMMANDS, SENSORS

from mbmrl_ros.nodes.security.entities import Entities, hall
from mbmrl_ros.nodes.security.policy import observed, setups
from mbmrl_ros.spec.robot import load_robot

ROBOT = 'half_cheetah'
OPTIONS = argparse.Namespace(
    robot=ROBOT,
    bundle='half_cheetah/disabled_joint/grbal',
    task='half_cheetah/thesis',
    algorithm='mb_mpo',
    namespace='',
)
# Of algorithms that plan in their model.
PLANNED = {'task': 'half_cheetah/disabled_joint', 'algorithm': 'grbal'}
# What every node of ROS has.
OF_ROS = {'rcl_interfaces', 'lifecycle_msgs', 'type_description_interfaces'}
# Nodes say every second how they are.
HEARD_S = 3.0


class Endpoint(NamedTuple):
    """A topic or service as a node names it. qos: in words; empty for services."""

    direction: str
    name: str
    type: str
    qos: str


class Notes:
    """What nodes had and said while they ran, by their names. diagnostics: keys by status."""

    def __init__(self) -> None:
        self.endpoints: defaultdict[str, set[Endpoint]] = defaultdict(set)
        self.diagnostics: defaultdict[str, set[str]] = defaultdict(set)
        self._asked: set[str] = set()

    def add(self, node: Node, spin: Callable[[], None]) -> None:
        """Note what a node has; of each the first time, wait until it says how it is."""
        name, found = node.get_name(), set(endpoints_of(node))
        self.endpoints[name] |= found
        if name not in self._asked and any(each.name == '/diagnostics' for each in found):
            self._asked.add(name)
            self._listen(node, spin, sum(p.topic == '/diagnostics' for p in node.publishers))

    def _listen(self, node: Node, spin: Callable[[], None], wanted: int) -> None:
        said: set[str] = set()

        def on_message(message: DiagnosticArray) -> None:
            for status in message.status:
                title = status.name.rpartition(': ')[2]
                said.add(title)
                self.diagnostics[title] |= {value.key for value in status.values}

        subscription = node.create_subscription(DiagnosticArray, '/diagnostics', on_message, 10)
        end = time.monotonic() + HEARD_S
        while len(said) < wanted and time.monotonic() < end:
            spin()
        node.destroy_subscription(subscription)


class Observation(NamedTuple):
    """What nodes have: by enclave of the SROS2 policy, and by name with other settings."""

    enclaves: dict[str, Entities]
    others: dict[str, Entities]
    notes: Notes


def endpoints_of(node: Node) -> Iterator[Endpoint]:
    """Yield what a node has, but what all nodes have."""
    robot = node.get_parameter('robot').value if node.has_parameter('robot') else ''
    spec = load_robot(robot or ROBOT)
    groups: tuple[tuple[str, Iterable[Any]], ...] = (
        ('publishes', node.publishers), ('hears', node.subscriptions),
        ('offers', node.services), ('calls', node.clients),
    )  # fmt: skip
    for direction, group in groups:
        for each in group:
            kind = getattr(each, 'msg_type', None) or each.srv_type
            package, what = kind.__module__.split('.')[:2]
            if package in OF_ROS:
                continue
            topic = getattr(each, 'topic', None)
            name = shown_name(topic or each.srv_name, direction)
            if name.lstrip('/') in spec.topics:
                name = SENSORS
            elif name.lstrip('/') == spec.action.topic:
                name = COMMANDS
            qos = qos_text(each.qos_profile) if topic else ''
            yield Endpoint(direction, name, f'{package}/{what}/{kind.__name__}', qos)


def shown_name(name: str, direction: str) -> str:
    """Return a name, or what stands for all that are made in the same way."""
    if re.fullmatch('~/stats/.+', name):
        return '~/stats/<name>'
    if direction == 'offers' and name.count('/') == 2:
        return '~/<kind>/<target>'
    return name


def qos_text(profile: QoSProfile) -> str:
    """Return reliability, durability and depth."""
    words = (profile.reliability.name, profile.durability.name)
    return ', '.join([*(w.lower().replace('_', ' ') for w in words), str(profile.depth)])


def observe(folder: Path) -> Observation:
    """Start all nodes, one by one, and note what they have. folder: for what they write."""
    notes = Notes()
    with hall(load_robot(ROBOT), note=notes.add) as place:
        enclaves = observed(place, setups(OPTIONS, folder))
        others = {name: place.entities(name, given) for name, given in further(folder).items()}
    return Observation(enclaves, others, notes)


def further(folder: Path) -> dict[str, dict[str, Any]]:
    """Return settings that give nodes topics which they have not otherwise."""
    planned = setups(argparse.Namespace(**vars(OPTIONS) | PLANNED), folder / 'planned')['sim']
    return {
        'controller_node': {
            'robot': 'millirobot', 'bundle': 'millirobot/path/grbal', 'budget.share': 0.0
        },
        'command_gate': {'robot': ROBOT, 'deadman_topic': 'deadman'},
        'player_node': {'robot': ROBOT, 'bag': str(folder / 'bag'), 'commands': True},
        'collector_node': planned['collector_node'],
        'model_learner_node': planned['model_learner_node'],
    }  # fmt: skip
