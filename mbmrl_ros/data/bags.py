# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of ROS 2, MCAP or SQLite, whole or damaged: topics and messages, without ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from mbmrl_ros.config import UserError
from mbmrl_ros.data.salvage import Raw, salvage

SUFFIXES = ('.mcap', '.db3')
STORE = Stores.ROS2_KILTED


class Message(NamedTuple):
    """A message. log_ns: when it was recorded [ns]. data: decoded, with the fields of its type."""

    topic: str
    log_ns: int
    data: Any


class Bag:
    """A recording: a folder that `ros2 bag record` or `mbmrl record` wrote, or one file of it."""

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self.path = path
        self.name = path.name if path.is_dir() else path.stem
        self.damage = ''
        self.undecodable: Counter[str] = Counter()

    @cached_property
    def topics(self) -> dict[str, str]:
        """Names and message types; empty if nothing at all can be read."""
        try:
            with Reader(self.path) as reader:
                return {c.topic: c.msgtype for c in reader.connections}
        except Exception as error:  # rosbags raises all kinds on damaged files
            self.damage = self.damage or _one_line(error)
            return {topic: kind for topic, kind, _, _ in self._salvaged()}

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of some topics in the order in which they were recorded.

        Of a damaged bag: what is sound; then `damage` says what is wrong. A message whose bytes
        are not of its type is left out and counted in `undecodable`.
        """
        store = get_typestore(STORE)
        for topic, kind, log_ns, raw in self._raw(topics):
            try:
                data = store.deserialize_cdr(raw, kind)
            except Exception:  # assertions, struct errors, unknown types
                self.undecodable[topic] += 1
                continue
            yield Message(topic, log_ns, data)

    def raw(self, topics: Collection[str]) -> list[Message]:
        """Return the messages of some topics, their data as CDR bytes."""
        found = self._raw(topics)
        return [Message(topic, log_ns, raw) for topic, _, log_ns, raw in found]

    def _raw(self, topics: Collection[str]) -> list[Raw]:
        try:
            with Reader(self.path) as reader:
                wanted = [c for c in reader.connections if c.topic in topics]
                found = reader.messages(wanted) if wanted else ()
                return [(c.topic, c.msgtype, log_ns, raw) for c, log_ns, raw in found]
        except Exception as error:  # rosbags raises all kinds on damaged files
            self.damage = self.damage or _one_line(error)
            return [message for message in self._salvaged() if message[0] in topics]

    def _salvaged(self) -> list[Raw]:
        messages: list[Raw] = []
        for file in bag_files(self.path):
            try:
                messages.extend(salvage(file))
            except (OSError, ValueError) as error:
                self.damage = f'{self.damage}; {file.name}: {_one_line(error)}'
        return sorted(messages, key=lambda message: message[2])


def bag_files(path: Path) -> list[Path]:
    """Return the storage files of a bag."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)


def find_bags(paths: Iterable[Path]) -> list[Bag]:
    """Return the bags that are named, and those in folders that are named, by name.

    UserError if one is neither, or if two have the same name.
    """
    bags: dict[str, Bag] = {}
    for path in paths:
        for bag in _bags_at(path):
            if bag.name in bags:
                raise UserError(
                    f'{bag.path} and {bags[bag.name].path} are both named {bag.name}; rename one'
                )
            bags[bag.name] = bag
    return list(bags.values())


def _bags_at(path: Path) -> list[Bag]:
    if _is_bag(path):
        return [Bag(path)]
    inside = sorted(child for child in path.iterdir() if _is_bag(child)) if path.is_dir() else []
    if not inside:
        what = 'no such file or folder' if not path.exists() else 'neither a bag nor holds any'
        raise UserError(f'{path}: {what} (a bag is a folder of .mcap or .db3 files, or one such)')
    return [Bag(child) for child in inside]


def _is_bag(path: Path) -> bool:
    if path.is_dir():
        return (path / 'metadata.yaml').exists() or bool(bag_files(path))
    return path.is_file() and path.suffix in SUFFIXES


def _one_line(error: Exception) -> str:
    return ' '.join(f'{error or type(error).__name__}'.split())[:200]
