# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the storage files of a bag hold: messages kept, messages counted, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
import zstandard
from rosbags.typesys import Stores, get_typestore

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
STORE = get_typestore(Stores.ROS2_KILTED)


class Raw(NamedTuple):
    """A message. log_ns: when it was recorded [ns]. data: CDR."""

    topic: str
    type: str
    log_ns: int
    data: bytes


@dataclass
class Contents:
    """Filled by the readers of storage files.

    wanted: topics whose messages are kept. counts: of all that is stored, by topic and type.
    refused: stored messages that cannot be used, by reason. latched: topics whose publishers kept
    the past for those who come late. damage: what is wrong with the files.
    """

    wanted: Collection[str] = ()
    messages: list[Raw] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    latched: set[str] = field(default_factory=set)
    damage: list[str] = field(default_factory=list)

    def declare(self, topic: str, kind: str) -> None:
        """Note a topic, which need not have messages."""
        self.counts[topic, kind] += 0

    def add(self, topic: str, kind: str, log_ns: int, data: bytes, encoding: str = 'cdr') -> None:
        """Count a message, and keep it if it is wanted: as CDR, whatever it was stored as."""
        self.counts[topic, kind] += 1
        if topic not in self.wanted:
            return
        try:
            if data[:4] == ZSTD_MAGIC:
                data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
            if encoding == 'ros1':
                data = bytes(STORE.ros1_to_cdr(data, kind))
        except Exception:  # of zstandard and rosbags: whatever they say of damaged bytes
            self.refused[f'{topic}: bytes are not of its type'] += 1
            return
        if encoding not in ('cdr', 'ros1'):
            self.refused[f'{topic}: stored as {encoding}, not as CDR'] += 1
            return
        self.messages.append(Raw(topic, kind, log_ns, data))


def full_type(name: str) -> str:
    """Return `package/msg/Name`, which older recorders wrote without its middle."""
    package, _, kind = name.partition('/')
    return f'{package}/msg/{kind}' if kind and '/' not in kind else name


def is_latched(profiles: Any) -> bool:
    """Return whether a publisher keeps the past.

    profiles: `offered_qos_profiles`, as YAML or read from it, in numbers (older bags) or names.
    """
    try:
        offered = yaml.safe_load(profiles) if isinstance(profiles, str) else profiles
        names = [str(profile['durability']).lower() for profile in offered or ()]
    except (yaml.YAMLError, TypeError, KeyError):
        return False
    return not {'transient_local', '1'}.isdisjoint(names)


def one_line(error: Exception) -> str:
    """Return what an error says, short and in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return ' '.join(f'{error or type(error).__name__}'.split())[:200]
