# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One storage file of a bag, of any kind, by what it begins with and not by its name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag1 import ReaderError as Ros1Error

from mbmrl_ros.data.contents import ZSTD_MAGIC, Contents, one_line
from mbmrl_ros.data.mcap_file import read_mcap
from mbmrl_ros.data.sqlite_file import read_sqlite, sidecars

SUFFIXES = ('.mcap', '.db3', '.bag')
# What is put behind those: by compressors, and by a recorder of ROS 1 that still writes.
LATER_SUFFIXES = ('.zstd', '.zst', '.gz', '.bz2', '.xz', '.lz4', '.active')
COMPRESSED: dict[str, Callable[[BinaryIO], Any]] = {
    'zstd': lambda file: zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True),
    'gzip': gzip.open,
    'bzip2': bz2.open,
    'xz': lzma.open,
}
"""How files are unpacked, by what `storage_kind` says of them."""

_LZ4_MAGIC = b'\x04\x22\x4d\x18'
_MAGICS = {
    b'\x89MCAP0\r\n': 'mcap',
    b'SQLite format 3\0': 'sqlite3',
    b'#ROSBAG V': 'ros1',
    ZSTD_MAGIC: 'zstd',
    b'\x1f\x8b': 'gzip',
    b'BZh': 'bzip2',
    b'\xfd7zXZ\0': 'xz',
}


# What the libraries raise of damaged bytes; an error of the system has a number.
_DAMAGED = (zstandard.ZstdError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError)


def is_storage(path: Path) -> bool:
    """Return whether the name is that of a storage file of a bag."""
    return plain_name(path.name).lower().endswith(SUFFIXES)


def plain_name(name: str) -> str:
    """Return the name of a file before it was compressed."""
    for suffix in LATER_SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name


def storage_kind(path: Path) -> str:
    """Return mcap, sqlite3, ros1, one of COMPRESSED, or nothing; OSError if it cannot be read."""
    with path.open('rb') as file:
        begin = file.read(16)
    if not begin and sidecars(path):
        return 'sqlite3'
    return next((kind for magic, kind in _MAGICS.items() if begin.startswith(magic)), '')


def read_storage(path: Path, contents: Contents) -> None:
    """Read a file as far as it is sound; what is wrong with it goes to `contents.damage`."""
    before = len(contents.damage)
    try:
        if path.exists() and not path.is_file():
            # Nobody may ever write into it.
            raise ValueError('it is a pipe or device, not a file')
        kind = storage_kind(path)
        if kind in COMPRESSED:
            _read_compressed(path, kind, contents)
        elif kind == 'mcap':
            read_mcap(path, contents)
        elif kind == 'sqlite3':
            read_sqlite(path, contents)
        elif kind == 'ros1':
            _read_ros1(path, contents)
        else:
            contents.damage.append(_no_storage(path))
    except Exception as error:  # of damaged files the libraries raise all kinds
        contents.damage.append(f'cannot be read: {one_line(error)}')
    contents.damage[before:] = [f'{path.name}: {text}' for text in contents.damage[before:]]


def _read_compressed(path: Path, kind: str, contents: Contents) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / plain_name(path.name)
        try:
            with path.open('rb') as file, plain.open('wb') as copy:
                shutil.copyfileobj(COMPRESSED[kind](file), copy)
        except _DAMAGED as error:
            contents.damage.append(f'it cannot be unpacked to its end: {one_line(error)}')
        read_storage(plain, contents)


def _read_ros1(path: Path, contents: Contents) -> None:
    try:
        with Ros1Reader(path) as reader:
            for connection in reader.connections:
                contents.declare(connection.topic, connection.msgtype)
                if getattr(connection.ext, 'latching', None) == 1:
                    contents.latched.add(connection.topic)
            for connection, log_ns, data in reader.messages():
                topic, kind = connection.topic, connection.msgtype
                contents.add(topic, kind, log_ns, bytes(data), 'ros1')
    except Ros1Error as error:
        contents.damage.append(
            f'this bag of ROS 1 cannot be read to its end: {one_line(error)} '
            '(rosbag reindex may mend it)'
        )


def _no_storage(path: Path) -> str:
    """Say what a file is instead."""
    with path.open('rb') as file:
        begin = file.read(64)
    if not begin:
        return 'it is empty'
    if begin.startswith(b'version https://git-lfs'):
        return 'it is a pointer of Git LFS; get the file itself with: git lfs pull'
    if begin.startswith(_LZ4_MAGIC):
        return f'it is packed by lz4; unpack it first with: lz4 -d {path.name}'
    return f'it is neither MCAP nor SQLite nor a bag of ROS 1 (it begins with {begin[:8]!r})'
