# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record topics to an MCAP bag, byte for byte as they came over the wire."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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
from rosbags.rosbag2.storage_mcap import McapWriter

from mbmrl_ros.config import UserError
from mbmrl_ros.data.contents import STORE

DEPTH = 2000
STAMPED_SUFFIXES = (
    '/JointState', '/Odometry', '/PoseStamped', '/Clock', '/DiagnosticArray', '/Path',
    '/PointCloud2', '/Imu',
)  # fmt: skip


class BagRecorder:
    """Subscribes raw and writes every message.

    Bytes are not decoded, so nothing is lost or changed. What was flushed before a kill stays
    readable (MCAP). `fault` says why nothing is written any more; empty while all is well.
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
        self.fault = ''
        self._node, self._now_ns, self._wires = node, now_ns, wires or {}
        self._stamp_ns = 0
        self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
        except (OSError, WriterError) as error:
            raise UserError(f'cannot write a bag at {folder}: {error}') from error
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
        if self.fault:
            return
        if stamped:
            # After the 4 bytes that say how it is encoded comes the stamp: seconds, nanoseconds.
            order = '<' if raw[1] & 1 else '>'
            seconds, nanoseconds = struct.unpack_from(f'{order}iI', raw, 4)
            self._stamp_ns = max(self._stamp_ns, seconds * 1_000_000_000 + nanoseconds)
        try:
            log_ns = self._stamp_ns if self._now_ns is None else self._now_ns()
            self._writer.write(connection, log_ns, raw)
        except (OSError, WriterError) as error:
            self.fault = f'cannot write on: {error}'
            return
        self.counts[topic] += 1
        self.newest[topic] = raw
        self.bytes += len(raw)

    def flush(self) -> None:
        """Hand what came to the operating system, so that a kill does not cost it.

        rosbags by itself does so per megabyte, which of a slow robot is minutes.
        """
        storage = self._writer.storage
        try:
            if isinstance(storage, McapWriter) and storage.chunk.msgs:
                storage.close_chunk()
                storage.bio.flush()
        except OSError as error:
            self.fault = self.fault or f'cannot write on: {error}'

    def close(self) -> None:
        """Finish the bag."""
        try:
            self._writer.close()
        except OSError as error:
            self.fault = self.fault or f'cannot finish the bag: {error}'

    def __enter__(self) -> Self:
        """Record until the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
