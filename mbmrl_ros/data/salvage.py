# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can still be read of a damaged bag file: everything up to the damage.

A recorder that was killed leaves an MCAP file without its end, a disk that was full or pulled out
leaves any file cut short. Readers that want the index refuse both.
"""

from __future__ import annotations

import contextlib
import mmap
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rosbags.rosbag2.storage_mcap import decompress

Raw = tuple[str, str, int, bytes]
"""(topic, message type, log time [ns], CDR bytes)."""

_MCAP_MAGIC = b'\x89MCAP0\r\n'
_SQLITE_MAGIC = b'SQLite format 3\0'
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 3, 4, 5, 6


def salvage(path: Path) -> Iterator[Raw]:
    """Yield the messages of a bag file in the order of the file, up to the damage."""
    with path.open('rb') as file:
        magic = file.read(16)
        if magic.startswith(_MCAP_MAGIC):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                yield from _mcap(memoryview(buffer[len(_MCAP_MAGIC) :]))
        elif magic == _SQLITE_MAGIC:
            yield from _sqlite(path)


def _mcap(records: memoryview) -> Iterator[Raw]:
    """Read records (https://mcap.dev/spec) one after the other, without the index."""
    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    for code, body in _flat(records):
        if code == _SCHEMA:
            (number,) = struct.unpack_from('<H', body)
            schemas[number] = _texts(body, 2, 1)[0]
        elif code == _CHANNEL:
            number, schema = struct.unpack_from('<HH', body)
            channels[number] = (_texts(body, 4, 1)[0], schemas.get(schema, ''))
        elif code == _MESSAGE:
            number, _, log_ns = struct.unpack_from('<HIQ', body)
            if number in channels:
                yield (*channels[number], log_ns, bytes(body[22:]))


def _flat(records: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (code, body) of records, those inside chunks in place of the chunk."""
    with contextlib.suppress(struct.error):
        offset = 0
        while offset < len(records):
            code, size = struct.unpack_from('<BQ', records, offset)
            body = records[offset + 9 : offset + 9 + size]
            offset += 9 + size
            if code == _CHUNK:
                yield from _flat(_chunk(body))
            elif len(body) == size:
                yield code, body


def _chunk(body: memoryview) -> memoryview:
    """Return the records of a chunk; of one that was cut or changed, what is sound."""
    _, _, size, checksum, length = struct.unpack_from('<QQQII', body)
    compression = bytes(body[32 : 32 + length]).decode(errors='replace')
    data = body[40 + length :]
    if not compression:
        return data
    try:
        return memoryview(decompress(bytes(data), compression, size, checksum))
    except Exception:  # whatever the decompressor says of damaged bytes
        return memoryview(b'')


def _texts(body: memoryview, offset: int, count: int) -> list[str]:
    texts = []
    for _ in range(count):
        (length,) = struct.unpack_from('<I', body, offset)
        texts.append(bytes(body[offset + 4 : offset + 4 + length]).decode(errors='replace'))
        offset += 4 + length
    return texts


def _sqlite(path: Path) -> Iterator[Raw]:
    """Read the rows of a database that was cut, by giving it back its length in zeros.

    SQLite refuses a file that is shorter than its header says; with zeros in place of the pages
    that are gone it reads in the order of the rows until it meets them. A page that is there in
    part goes too: its first rows stand at its end.
    """
    content = path.read_bytes()
    if len(content) < 100:
        return
    (size,) = struct.unpack_from('>H', content, 16)
    (pages,) = struct.unpack_from('>I', content, 28)
    size = 65536 if size == 1 else size
    whole = content[: len(content) // size * size]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / 'copy.db3'
        copy.write_bytes(whole.ljust(size * pages, b'\0'))
        with (
            contextlib.suppress(sqlite3.DatabaseError),
            contextlib.closing(sqlite3.connect(f'file:{copy}?mode=ro', uri=True)) as database,
        ):
            yield from database.execute(
                'select name, type, timestamp, data from messages '
                'join topics on topics.id = topic_id order by messages.id'
            )
