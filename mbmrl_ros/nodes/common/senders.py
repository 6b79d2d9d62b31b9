# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who publishes on a topic: one sender is listened to, and all are named.

A message says by its GID which publisher it is from, and the graph says which node that is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.robot.sources import WHOLE, OneSource, Part, Sender

# How long a sender that is refused is spoken of after its last message, and how often the graph is
# asked who else publishes commands.
SPOKEN_OF_S = 2.0
LOOK_S = 0.1
# Of a GID: which participant, that is, which process.
PROCESS = slice(0, 12)
LISTEN = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


def sender_of(info: Any) -> Sender:
    """Return the GID in what comes with a message; empty where there is none."""
    gid = info.get('publisher_gid') if isinstance(info, dict) else None
    return bytes(gid['data']) if gid else b''


def publishers(node: Node, topic: str) -> dict[Sender, str]:
    """Return the publishers of a topic by their node's full name; topic: resolved."""
    found = {}
    for info in node.get_publishers_info_by_topic(topic):
        name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
        found[bytes(info.endpoint_gid)] = name
    return found


class Names:
    """Names of publishers, also of those that are gone; two of one name are told apart."""

    def __init__(self, node: Node) -> None:
        """node: that asks the graph."""
        self._node = node
        self._known: dict[Sender, str] = {}

    def of(self, topic: str, senders: Iterable[Sender]) -> list[str]:
        """Return the names of the nodes that publish, with a GID where two have the same one."""
        senders = list(senders)
        if any(sender not in self._known for sender in senders):
            self._known |= publishers(self._node, topic)
        names = [self._known.get(sender, 'an unknown node') for sender in senders]
        return [
            f'{name} ({sender.hex()[8:24]})' if names.count(name) > 1 else name
            for name, sender in zip(names, senders)
        ]


class Senders:
    """One source for each of some topics."""

    def __init__(self, node: Node, timeouts_s: dict[str, float]) -> None:
        """timeouts_s: by topic, after how long a silence another sender takes over."""
        self._node, self._names = node, Names(node)
        self._sources = {topic: OneSource(timeout_s) for topic, timeout_s in timeouts_s.items()}

    def take(self, topic: str, info: Any, now_s: float, parts: Iterable[Part] = WHOLE) -> bool:
        """Whether a message counts. info: what came with it; now_s: steady clock; parts: in it."""
        source, sender = self._sources[topic], sender_of(info)
        if not sender:
            return True
        rivals = source.rivals(sender, now_s, parts)
        # Of two simulators, all topics are to come from the same one.
        if rivals and all(self._more_elsewhere(topic, sender, one, now_s) for one in rivals):
            source.give(sender, now_s, parts)
        return source.take(sender, now_s, parts)

    def values(self) -> dict[str, int]:
        """Return how many messages of other senders were refused, for the diagnostics."""
        return {
            f'second sender: {topic}': source.refused
            for topic, source in self._sources.items()
            if source.refused
        }

    def conflicts(self) -> list[str]:
        """Return of every topic with several senders which one counts."""
        now_s = time.monotonic()
        found = []
        for topic, source in self._sources.items():
            others, holders = source.others(now_s, SPOKEN_OF_S), source.holders(now_s)
            if not others or not holders:
                continue
            full = self._node.resolve_topic_name(topic)
            names = self._names.of(full, [*holders, *others])
            count = ' and '.join(names[: len(holders)]) + (' count' + 's' * (len(holders) == 1))
            refused = zip(names[len(holders) :], others.values())
            counts = ', '.join(f'{name} ({number} refused)' for name, number in refused)
            found.append(f'{full} has {len(names)} senders: {count}, not {counts}')
        return found

    def _more_elsewhere(self, topic: str, one: Sender, other: Sender, now_s: float) -> bool:
        """Whether the process of one sender holds more of the other topics than the other."""
        held = Counter(
            holder[PROCESS]
            for name, source in self._sources.items()
            if name != topic
            for holder in source.holders(now_s)
        )
        return held[one[PROCESS]] > held[other[PROCESS]]


class CommandTopic:
    """The topic on which a node commands a robot: its publisher, and who else publishes there.

    The receiver takes everything, so that two who command it alternate. Only messages count: a
    publisher may belong to a node that is inactive, or was killed just now.
    """

    def __init__(
        self,
        resources: NodeResources,
        kind: Any,
        topic: str,
        timeout_s: float,
        tell: Callable[[str], object],
    ) -> None:
        """timeout_s: for how long a message of somebody else counts [s].

        tell: gets, again and again, why no command of the node's own may go out; empty if there is
        no reason.
        """
        self._resources, self._kind, self._timeout_s = resources, kind, timeout_s
        self._tell = tell
        self._names = Names(resources.node)
        self._topic = resources.node.resolve_topic_name(topic)
        before = publishers(resources.node, self._topic)
        self.publisher = resources.publisher(kind, topic, 1, open_qos=True)
        after = publishers(resources.node, self._topic)
        own = resources.node.get_fully_qualified_name()
        self._own = {gid for gid, name in after.items() if name == own and gid not in before}
        self._heard_s: dict[Sender, float] = {}
        self._listening = False
        resources.timer(LOOK_S, self._look)

    @property
    def listeners(self) -> int:
        """How many listen, apart from this watch."""
        return int(self.publisher.get_subscription_count()) - self._listening

    @property
    def others(self) -> str:
        """Who else has sent commands within the time-out; empty if nobody has."""
        # Copied at once: reports are made in another thread.
        now_s, heard = time.monotonic(), list(self._heard_s.items())
        senders = [s for s, at_s in heard if now_s - at_s <= self._timeout_s]
        return ', '.join(self._names.of(self._topic, senders))

    def conflicts(self) -> list[str]:
        """Return who else sends commands."""
        others = self.others
        return [f'{others} sends commands too, on {self._topic}'] if others else []

    def check(self) -> None:
        """Raise UserError if somebody else commands the robot."""
        if self.others:
            raise UserError(
                f'{self.others} commands this robot already, on {self._topic}: stop it, or put '
                'command_gate before the motors, which passes one of them'
            )

    def _look(self) -> None:
        """Listen as soon as there is somebody else; our own commands alone cost nothing then."""
        others = set(publishers(self._resources.node, self._topic)) - self._own
        if others and not self._listening:
            self._listening = True
            self._resources.subscription(self._kind, self._topic, self._on_command, LISTEN)
        self._tell('; '.join(self.conflicts()))

    def _on_command(self, message: Any, info: Any) -> None:
        sender = sender_of(info)
        if sender and sender not in self._own:
            known = sender in self._heard_s
            self._heard_s[sender] = time.monotonic()
            if not known:
                self._tell('; '.join(self.conflicts()))
