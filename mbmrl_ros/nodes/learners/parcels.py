# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policies, models and episodes as bytes on a topic: safetensors, with what they are of.

Nothing that can run is in them, and nothing of them is used before all of it has been checked.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load, save
from std_msgs.msg import UInt8MultiArray

from mbmrl_ros.nodes.learners.signing import NO_KEY, Signature
from mbmrl_ros.types import Params

MOST_BYTES = 64 * 2**20


class Version(NamedTuple):
    """What is newer is larger, also after a node was killed: its starts are counted on disk."""

    start: int
    number: int

    def __str__(self) -> str:
        return f'{self.start}.{self.number}'

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return what `str` gave; ValueError if it is none."""
        version = cls(*(int(part) for part in text.split('.')))
        if version.start < 0 or version.number < 1:
            raise ValueError(f'a version is 0.1 at least, got {text!r}')
        return version


class Origin(NamedTuple):
    """Whom tensors are for: the hash of a robot file, and names."""

    robot: str
    algorithm: str
    task: str


@dataclass(frozen=True)
class Parcel:
    """Tensors on their way. sent_s: when they were sent, by the wall clock of the sender."""

    kind: str
    version: Version
    tensors: Params
    sent_s: float = field(default_factory=time.time)

    def pack(self, origin: Origin) -> bytes:
        """Return it as bytes."""
        head = {'kind': self.kind, 'version': str(self.version), 'sent_s': repr(self.sent_s)}
        whole = {name: value.detach().clone().contiguous() for name, value in self.tensors.items()}
        return save(whole, head | origin._asdict())


@dataclass(frozen=True)
class Layout:
    """What tensors must be there, as examples of the same shape and type.

    optional: others that may be there, all of them or none, with a first dimension of any length.
    free_length: whether all first dimensions may be longer, by the same number.
    """

    tensors: Params
    optional: Params = field(default_factory=dict)
    free_length: bool = False

    def problem(self, tensors: Params) -> str:
        """Return what does not fit; empty where all does."""
        wanted, free = dict(self.tensors), self.free_length
        if self.optional.keys() & tensors.keys():
            wanted |= self.optional
        if wanted.keys() != tensors.keys():
            other = min(wanted.keys() ^ tensors.keys())
            return f'{other} is {"missing" if other in wanted else "unknown"}'
        lengths = {len(value) - len(self.tensors[name]) for name, value in tensors.items()
                   if free and value.dim()}  # fmt: skip
        if len(lengths) > 1 or min(lengths, default=0) < 0:
            return 'its parts are not equally long'
        for name, value in tensors.items():
            example = wanted[name]
            first = 1 if free or name in self.optional else 0
            same = value.dim() == example.dim() and value.shape[first:] == example.shape[first:]
            if not same or value.dtype != example.dtype:
                shapes = f'{tuple(value.shape)} and not {tuple(example.shape)}'
                return f'{name} is {value.dtype} {shapes}'
            if not bool(value.isfinite().all()):
                return f'{name} is not finite'
        return ''


def unpack(
    signed: bytes,
    kind: str,
    origin: Origin,
    layout: Layout,
    signature: Signature = NO_KEY,
) -> Parcel | str:
    """Return what bytes hold, or the reason why they are refused."""
    if len(signed) > MOST_BYTES:
        return f'more than {MOST_BYTES} bytes'
    data = signature.opened(signed)
    if isinstance(data, str):
        return data
    try:
        tensors = load(data)
        head = _head(data)
        version, sent_s = Version.parse(head['version']), float(head['sent_s'])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        return f'damaged: {type(error).__name__}'
    if head.get('kind') != kind:
        return f'it is no {kind}'
    for name, wanted in origin._asdict().items():
        if head.get(name) != wanted:
            return f'of another {name}'
    problem = layout.problem(tensors)
    return problem or Parcel(kind, version, tensors, sent_s)


def message_of(data: bytes) -> UInt8MultiArray:
    """Return bytes as a message."""
    return UInt8MultiArray(data=array('B', data))


def _head(data: bytes) -> Mapping[str, str]:
    size = int.from_bytes(data[:8], 'little')
    head: Mapping[str, str] = json.loads(data[8 : 8 + size])['__metadata__']
    return head
