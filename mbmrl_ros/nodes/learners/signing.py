# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A key that machines share, by which they know each other's bytes: HMAC-SHA256 (RFC 2104).

Signed is all of a parcel: what it is of, its version and its tensors. So bytes that were signed
for one topic are refused on another, and no old ones pass for newer ones.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from mbmrl_ros.system.endings import UserError
from mbmrl_ros.system.outputs import reason

FEWEST_BYTES = 32
# A file of more is none of keys, and might have no end.
MOST_BYTES = 4096
MARK = b'hmac-sha256:'
TAG_BYTES = hashlib.sha256().digest_size


class Signature:
    """Signs bytes, and opens what others have signed. It never shows its key."""

    def __init__(self, key: bytes = b'') -> None:
        """key: what all machines of a training share; empty: nothing is signed."""
        self._key = key

    def sign(self, data: bytes) -> bytes:
        """Return bytes with their signature behind them."""
        return data + MARK + self._tag(data) if self._key else data

    def opened(self, data: bytes) -> bytes | str:
        """Return bytes without their signature, or the reason why they are refused."""
        body, mark, tag = _split(data)
        if not self._key:
            return 'signed, and this node has no key_file' if mark == MARK else data
        if mark != MARK:
            return 'not signed'
        if not hmac.compare_digest(tag, self._tag(body)):
            return 'wrongly signed: by another key, or changed on its way'
        return body

    def _tag(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, 'sha256')


NO_KEY = Signature()


def read_signature(key_file: str) -> Signature:
    """Return what signs by the key of a file; UserError if it is none, or others may read it.

    key_file: a path; empty: nothing is signed.
    """
    if not key_file:
        return Signature()
    path = Path(key_file).expanduser()
    try:
        # Whoever names a pipe is not to wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, 'rb') as file:
            mode = os.fstat(descriptor).st_mode
            content = file.read(MOST_BYTES + 1) if stat.S_ISREG(mode) else b''
    except OSError as error:
        raise UserError(
            f'cannot read key_file {path}: {reason(error)}; make one by: mbmrl key FILE'
        ) from error
    if not stat.S_ISREG(mode):
        raise UserError(f'key_file {path} is no plain file; make one by: mbmrl key FILE')
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(
            f'key_file {path} is open to others (mode {stat.S_IMODE(mode):04o}): '
            f'chmod 600 {path}, or make a new one if somebody may have read it'
        )
    key = content.strip()
    if not FEWEST_BYTES <= len(key) <= MOST_BYTES:
        raise UserError(
            f'key_file {path} holds {"more than " if len(content) > MOST_BYTES else ""}'
            f'{min(len(key), MOST_BYTES)} bytes, and a key has {FEWEST_BYTES} to {MOST_BYTES}; '
            'make one by: mbmrl key FILE'
        )
    return Signature(key)


def key_command(options: argparse.Namespace) -> None:
    """Write a new key of 256 random bits that only its owner may read; no file is replaced."""
    path: Path = options.file
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, 'w') as file:
            file.write(f'{secrets.token_hex(FEWEST_BYTES)}\n')
    except FileExistsError as error:
        raise UserError(f'{path} is there already; remove it, or name another file') from error
    except OSError as error:
        raise UserError(f'cannot write {path}: {reason(error)}') from error
    print(f'{path}: a new key; copy it to all machines of the training, and to nobody else')


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what is signed, the mark and the tag; of unsigned bytes, the mark is no mark."""
    end = max(0, len(data) - TAG_BYTES)
    middle = max(0, end - len(MARK))
    return data[:middle], data[middle:end], data[end:]
