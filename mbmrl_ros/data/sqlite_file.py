# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SQLite files of rosbag2, whole or damaged. Nothing beside a file of the user is written.

What a recorder had not yet put into its database when it was killed lies beside it, in a
write-ahead log; one that was killed while it changed the database left a journal to undo that.
SQLite takes both in by writing, so that is done to a copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mbmrl_ros.data.contents import Contents, full_type, is_latched, one_line

_HEADER_BYTES = 100
_SIDECARS = ('-wal', '-journal')


def read_sqlite(path: Path, contents: Contents) -> None:
    """Read the messages of a database, up to where it is damaged."""
    size, (page_size, pages) = path.stat().st_size, _pages(path)
    was_cut = size < page_size * pages and not sidecars(path)
    if was_cut:
        contents.damage.append(f'it was cut: {size} bytes of {page_size * pages}')
    with contextlib.ExitStack() as stack:
        if was_cut or sidecars(path):
            copy = _copy(path, Path(stack.enter_context(tempfile.TemporaryDirectory())))
            if was_cut:
                # SQLite refuses a file that is shorter than its header says; with zeros in place
                # of the pages that are gone it reads in the order of the rows until it meets them.
                # A page that is there in part goes too: its first rows stand at its end.
                os.truncate(copy, size - size % page_size)
                os.truncate(copy, page_size * pages)
            database = sqlite3.connect(copy)
        else:
            # Without this it would lock the file, and write beside it.
            uri = f'{path.absolute().as_uri()}?immutable=1'
            database = sqlite3.connect(uri, uri=True)
        stack.enter_context(contextlib.closing(database))
        try:
            _read(database, contents)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            contents.damage.append(f'it cannot be read to its end: {one_line(error)}')


def sidecars(path: Path) -> list[Path]:
    """Return the files beside a database that belong to it."""
    beside = [path.with_name(path.name + suffix) for suffix in _SIDECARS]
    return [file for file in beside if file.is_file() and file.stat().st_size]


def _pages(path: Path) -> tuple[int, int]:
    """Return the size of a page and how many there are, by the header; zeros without one."""
    with path.open('rb') as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return 0, 0
    (page_size,), (pages,) = (
        struct.unpack_from('>H', header, 16),
        struct.unpack_from('>I', header, 28),
    )
    return 65536 if page_size == 1 else page_size, pages


def _copy(path: Path, folder: Path) -> Path:
    """Copy a database with what belongs to it."""
    copy = folder / 'copy.db3'
    for file in (path, *sidecars(path)):
        shutil.copyfile(file, copy.with_name(copy.name + file.name.removeprefix(path.name)))
    return copy


def _read(database: sqlite3.Connection, contents: Contents) -> None:
    topics = {}
    for number, topic, kind, encoding, profiles in _topics(database):
        if not (isinstance(topic, str) and isinstance(kind, str)):
            continue
        topics[number] = (topic, full_type(kind), encoding)
        contents.declare(topic, full_type(kind))
        if is_latched(profiles):
            contents.latched.add(topic)
    wanted = [number for number, (topic, *_) in topics.items() if topic in contents.wanted]
    places = ','.join('?' * len(wanted))
    # In the order of the rows: of a damaged file that is as far as the first damage.
    rows = database.execute(
        f'select topic_id, timestamp, case when topic_id in ({places}) then data end '
        'from messages order by rowid',
        wanted,
    )
    for number, log_ns, data in rows:
        if number not in topics:
            contents.refused['messages of a topic that was lost with its description'] += 1
            continue
        topic, kind, encoding = topics[number]
        # Of a damaged page a column can come back as any type.
        if isinstance(log_ns, int) and isinstance(data, bytes | None):
            contents.add(topic, kind, log_ns, data or b'', encoding)
        else:
            contents.refused[f'{topic}: bytes are not of its type'] += 1


def _topics(database: sqlite3.Connection) -> Iterator[tuple[int, str, str, str, str]]:
    """Yield number, name, type, encoding and quality of service, which old bags do not have."""
    columns = {row[1] for row in database.execute('pragma table_info(topics)')}
    profiles = 'offered_qos_profiles' if 'offered_qos_profiles' in columns else "''"
    yield from database.execute(
        f'select id, name, type, serialization_format, {profiles} from topics'
    )
