# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record topics to an MCAP bag, byte for byte as they came over the wire."""

from __future__ import annotations

import os
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.rosbag2.storage_mcap import McapWriter, PendingChunk

from mbmrl_ros.config import UserError
from mbmrl_ros.data.contents import STORE
from mbmrl_ros.system.outputs import reason

DEPTH = 2000
STAMPED_SUFFIXES = (
    '/JointState', '/Odometry', '/PoseStamped', '/Clock', '/DiagnosticArray', '/Path',
    '/PointCloud2', '/Imu', '/PoseWithCovarianceStamped', '/TwistStamped', '/TransformStamped',
    '/JointTrajectory',
)  # fmt: skip


class Flushed(NamedTuple):
    """What the file of a bag holds for sure.

    size: in bytes. chunks: how many. messages: by the number of a channel. counts: by topic.
    """

    size: int
    chunks: int
    messages: dict[int, int]
    counts: Counter[str]


class BagRecorder:
    """Subscribes raw and writes every message.

    Bytes are not decoded, so nothing is lost or changed. What was flushed before a kill stays
    readable (MCAP). `problem` says why nothing is written any more; empty while all is well. With
    a problem the bag is closed: it ends with what was flushed, and `counts` with it.
    `counts` and `newest`: messages written and the last of them, by topic.
    """

    def __init__(
        self,
        node: Node,
        folder: Path,
        topics: Mapping[str, Any],
        kept: Collection[str] = (),
        now_ns: Callable[[], int] | None = None,
        wires: Mapping[str, str] | None = None,
    ) -> None:
        """topics: full names to message classes. folder: must not exist yet.

        kept: topics whose publishers keep the past (transient local), so that nothing is lost
        before the recorder is connected. now_ns: when a message came; without it, the time that
        it is stamped with, and for one without a stamp the newest one seen. wires: where a topic
        is heard, if not by the name that it is recorded under.
        """
        self.counts: Counter[str] = Counter()
        self.newest: dict[str, bytes] = {}
        self.bytes = 0
        self.problem = ''
        self._node, self._now_ns, self._wires = node, now_ns, wires or {}
        self._stamp_ns = 0
        self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
            self._safe = self._flushed()
        except (OSError, WriterError) as error:
            raise UserError(f'cannot write a bag at {folder}: {reason(error)}') from error
        for topic, message in topics.items():
            durability = (
                DurabilityPolicy.TRANSIENT_LOCAL if topic in kept else DurabilityPolicy.VOLATILE
            )
            self.add(topic, message, ReliabilityPolicy.RELIABLE, durability)

    def add(
        self,
        topic: str,
        message: Any,
        reliability: ReliabilityPolicy,
        durability: DurabilityPolicy,
        offered: Sequence[QoSProfile] = (),
    ) -> Any:
        """Record a topic from now on; return its subscription.

        offered: quality of service of its publishers, for who plays the bag; by default as here.
        """
        name = f'{message.__module__.split(".")[0]}/msg/{message.__name__}'
        quality = QoSProfile(depth=DEPTH, reliability=reliability, durability=durability)
        profiles = dict.fromkeys(_recorded(profile) for profile in offered or [quality])
        connection = self._writer.add_connection(
            topic, name, typestore=STORE, offered_qos_profiles=list(profiles)
        )
        stamped = self._now_ns is None and name.endswith(STAMPED_SUFFIXES)

        def write(raw: bytes) -> None:
            self._write(topic, connection, raw, stamped)

        return self._node.create_subscription(
            message, self._wires.get(topic, topic), write, quality, raw=True
        )

    def _write(self, topic: str, connection: Any, raw: bytes, stamped: bool) -> None:
        if self.problem:
            return
        if stamped:
            # After the 4 bytes that say how it is encoded comes the stamp: seconds, nanoseconds.
            order = '<' if raw[1] & 1 else '>'
            seconds, nanoseconds = struct.unpack_from(f'{order}iI', raw, 4)
            self._stamp_ns = max(self._stamp_ns, seconds * 1_000_000_000 + nanoseconds)
        storage = self._storage
        log_ns = self._stamp_ns if self._now_ns is None else self._now_ns()
        try:
            self._writer.write(connection, log_ns, raw)
            self.counts[topic] += 1
            self.newest[topic] = raw
            self.bytes += len(raw)
            if not storage.chunk.msgs:  # it was full, and is in the file
                self._safe = self._flushed()
        except (OSError, WriterError) as error:
            self._give_up(f'cannot write on: {reason(error)}')

    def flush(self) -> None:
        """Hand what came to the operating system, so that a kill does not cost it.

        rosbags by itself does so per megabyte, which of a slow robot is minutes.
        """
        if self.problem or not self._storage.chunk.msgs:
            return
        try:
            self._storage.close_chunk()
            self._safe = self._flushed()
        except OSError as error:
            self._give_up(f'cannot write on: {reason(error)}')

    def close(self) -> None:
        """Finish the bag."""
        if self.problem:
            return
        self.flush()
        try:
            if not self.problem:
                self._writer.close()
        except OSError as error:
            self._give_up(f'cannot finish the bag: {reason(error)}')

    @property
    def _storage(self) -> McapWriter:
        assert isinstance(self._writer.storage, McapWriter)
        return self._writer.storage

    def _flushed(self) -> Flushed:
        """Hand all chunks to the operating system; return what the file holds with them."""
        storage = self._storage
        storage.bio.flush()
        return Flushed(
            storage.bio.tell(),
            len(storage.chunks),
            dict(storage.channel_stats),
            self.counts.copy(),
        )

    def _give_up(self, problem: str) -> None:
        """End the bag behind the last chunk that is whole, by an index if there is space for it.

        What a full disk took of the next one is cut off, which makes space.
        """
        self.problem, safe = problem, self._safe
        if self._writer.storage is None:
            self._cut_off(safe.size)
            return
        storage = self._storage
        with suppress(OSError):  # what it still holds goes nowhere
            storage.bio.close()
        self.counts = safe.counts
        storage.chunk = PendingChunk(2**63 - 1, 0, BytesIO(), defaultdict(list))
        del storage.chunks[safe.chunks :]
        storage.channel_stats |= dict.fromkeys(storage.channel_stats, 0) | safe.messages
        self._writer.counts |= storage.channel_stats
        try:
            os.truncate(storage.path, safe.size)
            storage.bio = storage.path.open('ab')
            self._writer.close()
        except OSError:
            self._cut_off(safe.size)

    def _cut_off(self, size: int) -> None:
        """Leave the file as after a kill, unless it has been closed and metadata.yaml is lost."""
        storage = self._writer.storage
        if isinstance(storage, McapWriter):
            with suppress(OSError):
                storage.bio.close()
            with suppress(OSError):
                os.truncate(storage.path, size)
            self._writer.storage = None
        with suppress(OSError):
            self._writer.metapath.with_suffix('.yaml.tmp').unlink()

    def __enter__(self) -> Self:
        """Record until the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the bag, also after an error."""
        self.close()


def _recorded(profile: QoSProfile) -> Qos:
    """Return a quality of service as bags have it; the numbers are those of rmw in both."""
    return Qos(
        QosHistory(int(profile.history)),
        profile.depth,
        QosReliability(int(profile.reliability)),
        QosDurability(int(profile.durability)),
        _time(profile.deadline),
        _time(profile.lifespan),
        QosLiveliness(int(profile.liveliness)),
        _time(profile.liveliness_lease_duration),
        profile.avoid_ros_namespace_conventions,
    )


def _time(duration: Duration) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, 1_000_000_000))
