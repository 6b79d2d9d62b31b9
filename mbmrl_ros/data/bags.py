# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of ROS 2 and ROS 1, whole or damaged: topics and messages, without ROS."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mbmrl_ros.config import UserError
from mbmrl_ros.data.contents import STORE, Contents, one_line
from mbmrl_ros.data.metadata import METADATA, check_claim, chosen_files, read_claim
from mbmrl_ros.data.storage import is_storage, plain_name, read_storage

# What writers leave behind a message: FastDDS, and so rclpy, up to 8 bytes and an alignment.
_PADDING_BYTES = 16


# What file systems take for a name, with room for the suffix of a trajectory file.
_LONGEST_NAME = 255 - len('.safetensors')


class Message(NamedTuple):
    """A message. log_ns: when it was recorded [ns]. data: decoded, with the fields of its type.

    raw: the same as CDR.
    """

    topic: str
    log_ns: int
    data: Any
    raw: bytes


class Bag:
    """A recording: a folder that `ros2 bag record` or `mbmrl record` wrote, or one file of it.

    damage: what is wrong with its files; empty if they are whole. undecodable: messages whose
    bytes are not of their type, by topic. refused: messages that cannot be used, by reason. All
    three are of the last reading.
    """

    def __init__(self, path: Path, files: Sequence[Path] = ()) -> None:
        """Open nothing yet. files: those of the folder that belong to it, if not all do."""
        self.path = path
        self.name = _name(path) if not files else recording(files[0])
        self._files = list(files)
        self.damage = ''
        self.undecodable: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    @cached_property
    def topics(self) -> dict[str, tuple[str, ...]]:
        """Names, each with its message types; empty if nothing at all can be read."""
        kinds: dict[str, tuple[str, ...]] = {}
        for topic, kind in self._contents.counts:
            kinds[topic] = (*kinds.get(topic, ()), kind)
        return kinds

    @property
    def where(self) -> str:
        """Its path, for messages."""
        return printable(self.path)

    @property
    def latched(self) -> set[str]:
        """Topics whose publishers kept the past for those who come late (transient local)."""
        return self._contents.latched

    @cached_property
    def _contents(self) -> Contents:
        return self._read(())

    def messages(
        self, topics: Collection[str], types: Mapping[str, Collection[str]] | None = None
    ) -> Iterator[Message]:
        """Yield the messages of some topics in the order in which they were recorded.

        Of a damaged bag: what is sound; then `damage` says what is wrong. Left out and counted in
        `refused`: messages whose bytes are not of their type, and those of other types than
        `types` lists for their topic.
        """
        contents = self._read(topics)
        self.undecodable.clear()
        self.refused = contents.refused
        for topic, kind, log_ns, raw in sorted(contents.messages, key=lambda raw: raw.log_ns):
            wanted = types.get(topic) if types else None
            if wanted is not None and kind not in wanted:
                self.refused[f'{topic}: {kind} instead of {" or ".join(wanted)}'] += 1
                continue
            try:
                data = decode(raw, kind)
            except Exception:  # assertions, struct errors, unknown types
                self.undecodable[topic] += 1
                self.refused[f'{topic}: bytes are not of its type'] += 1
                continue
            yield Message(topic, log_ns, data, raw)

    def _read(self, topics: Collection[str]) -> Contents:
        contents = Contents(frozenset(topics))
        try:
            self._read_files(contents)
        except OSError as error:
            contents.damage.append(f'cannot be read: {one_line(error)}')
        self.damage = '; '.join(contents.damage)
        return contents

    def _read_files(self, contents: Contents) -> None:
        if self._files or not self.path.is_dir():
            for file in self._files or [self.path]:
                read_storage(file, contents)
            return
        files, claim = storage_files(self.path), read_claim(self.path, contents)
        files = chosen_files(claim, files, contents)
        for file in files:
            read_storage(file, contents)
        check_claim(claim, files, contents)


def decode(raw: bytes, kind: str) -> Any:
    """Return a message; ValueError, or what rosbags raises, if the bytes are none of its type.

    As `Typestore.deserialize_cdr`, which takes no more than three bytes of padding.
    """
    if len(raw) < 4 or raw[0] != 0 or raw[1] > 1:
        raise ValueError('not plain CDR')
    definition = STORE.get_msgdef(kind)
    read = definition.deserialize_cdr_le if raw[1] else definition.deserialize_cdr_be
    message, end = read(memoryview(raw)[4:], 0, definition.cls, STORE)
    # FastDDS allows for each part of a list.
    parts = getattr(message, 'transforms', getattr(message, 'points', ()))
    if not end + 4 <= len(raw) <= end + 4 + _PADDING_BYTES * (1 + len(parts)):
        raise ValueError(f'{len(raw)} bytes, the message has {end + 4}')
    return message


def storage_files(folder: Path) -> list[Path]:
    """Return the storage files in a folder, compressed ones only without their original."""
    # A link that leads nowhere is one that cannot be read; a pipe would be waited for.
    files = sorted(
        file
        for file in folder.iterdir()
        if is_storage(file) and (file.is_file() or (file.is_symlink() and not file.exists()))
    )
    plain = {file.name for file in files if file.name == plain_name(file.name)}
    return [
        file
        for file in files
        if file.name == plain_name(file.name) or plain_name(file.name) not in plain
    ]


def find_bags(paths: Iterable[Path]) -> list[Bag]:
    """Return the bags that are named, and those at any depth in folders that are named.

    One that is named twice counts once. UserError if a path is none and holds none, or if two
    bags have the same name.
    """
    bags: dict[str, Bag] = {}
    for path in paths:
        for bag in _bags_at(path):
            if len(os.fsencode(bag.name)) > _LONGEST_NAME:
                raise UserError(f'{printable(bag.path)}: its name is too long; rename it')
            before = bags.setdefault(bag.name, bag)
            if os.path.realpath(before.path) != os.path.realpath(bag.path):
                raise UserError(
                    f'{printable(bag.path)} and {printable(before.path)} are both named '
                    f'{bag.name}; rename one'
                )
    return list(bags.values())


def _bags_at(path: Path) -> list[Bag]:
    if not os.path.lexists(path):
        raise UserError(f'{printable(path)}: no such file or folder (a bag is {_WHAT})')
    if not path.is_dir():
        if not is_storage(path):
            raise UserError(f'{printable(path)}: not a bag (a bag is {_WHAT})')
        return [Bag(path)]
    found = list(_bags_below(path, set()))
    if not found:
        raise UserError(f'{printable(path)}: neither a bag nor holds any (a bag is {_WHAT})')
    return found


_WHAT = 'a folder of .mcap or .db3 files, or one such, or a .bag of ROS 1; compressed or not'


def _bags_below(folder: Path, seen: set[str]) -> Iterator[Bag]:
    """Yield a folder if it is a bag, and those in it; links may lead in circles."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        children = sorted(folder.iterdir())
        yield from _bags_in(folder)
    except OSError:
        # Who reads it says why that cannot be done.
        yield Bag(folder)
        return
    for child in children:
        if child.is_dir():
            yield from _bags_below(child, seen)


def _bags_in(folder: Path) -> list[Bag]:
    """Return the bags of the storage files in a folder: one, or one for each recording."""
    if (folder / METADATA).exists():
        return [Bag(folder)]
    groups: dict[str, list[Path]] = {}
    for file in storage_files(folder):
        groups.setdefault(recording(file), []).append(file)
    if len(groups) == 1 and not any(_is_ros1(file) for file in storage_files(folder)):
        return [Bag(folder)]
    return [Bag(folder, files) if len(files) > 1 else Bag(files[0]) for files in groups.values()]


def recording(file: Path) -> str:
    """Return what the parts of a recording that was split, such as `run_0`, have in common.

    Bags of ROS 1 are on their own: there is no telling their parts from other recordings.
    """
    stem = Path(plain_name(file.name)).stem
    return printable(Path(stem if _is_ros1(file) else re.sub(r'_\d+$', '', stem)))


def _is_ros1(file: Path) -> bool:
    return plain_name(file.name).lower().endswith('.bag')


def _name(path: Path) -> str:
    """Return the name of a bag, also of `.` and of names that are not UTF-8."""
    path = path if path.name not in ('', '..') else path.resolve()
    name = path.name if path.is_dir() else plain_name(path.name)
    stem = name if path.is_dir() else Path(name).stem
    return printable(Path(stem)) or 'bag'


def printable(path: Path) -> str:
    """Return a path as text that can be printed and written to a file: other bytes as escapes."""
    return os.fsencode(path).decode('utf-8', 'backslashreplace')
