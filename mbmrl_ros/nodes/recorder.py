# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record topics to an MCAP bag, byte for byte as they came over the wire."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_typestore

from mbmrl_ros.config import UserError

DEPTH = 2000
STAMPED_SUFFIXES = (
    '/JointState', '/Odometry', '/PoseStamped', '/Clock', '/DiagnosticArray', '/Path',
    '/PointCloud2',
)  # fmt: skip


class BagRecorder:
    """Subscribes raw and writes every message with the time it is stamped with.

    Bytes are not decoded, so nothing is lost or changed; messages without a stamp get the newest
    one seen. What was written before a kill stays readable (MCAP).
    """

    def __init__(
        self, node: Node, folder: Path, topics: Mapping[str, Any], kept: Collection[str] = ()
    ) -> None:
        """topics: full names to message classes. folder: must not exist yet.

        kept: topics whose publishers keep the past (transient local), so that nothing is lost
        before the recorder is connected.
        """
        self.counts: Counter[str] = Counter()
        self._now_ns = 0
        self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
        except (OSError, WriterError) as error:
            raise UserError(f'cannot write a bag at {folder}: {error}') from error
        store = get_typestore(Stores.ROS2_KILTED)
        for topic, message in topics.items():
            durability = (
                DurabilityPolicy.TRANSIENT_LOCAL if topic in kept else DurabilityPolicy.VOLATILE
            )
            quality = QoSProfile(
                depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=durability
            )
            name = f'{message.__module__.split(".")[0]}/msg/{message.__name__}'
            connection = self._writer.add_connection(topic, name, typestore=store)
            stamped = name.endswith(STAMPED_SUFFIXES)

            def write(
                raw: bytes,
                topic: str = topic,
                connection: Any = connection,
                stamped: bool = stamped,
            ) -> None:
                self._write(topic, connection, raw, stamped)

            node.create_subscription(message, topic, write, quality, raw=True)

    def _write(self, topic: str, connection: Any, raw: bytes, stamped: bool) -> None:
        if stamped:
            # After the 4 bytes that say how it is encoded comes the stamp: seconds, nanoseconds.
            order = '<' if raw[1] & 1 else '>'
            seconds, nanoseconds = struct.unpack_from(f'{order}iI', raw, 4)
            self._now_ns = max(self._now_ns, seconds * 1_000_000_000 + nanoseconds)
        self._writer.write(connection, self._now_ns, raw)
        self.counts[topic] += 1

    def close(self) -> None:
        """Finish the bag."""
        self._writer.close()

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
