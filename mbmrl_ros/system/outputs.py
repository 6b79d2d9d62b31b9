# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are written: checked before the work, whole or not there after it."""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mbmrl_ros.system.endings import UserError

SPACE = (errno.ENOSPC, errno.EDQUOT)
NOT_FILES = {stat.S_IFDIR: 'a folder', stat.S_IFBLK: 'a disk', stat.S_IFSOCK: 'a socket'}
# What a command reads, by name or by suffix.
READ_NAMES = ('bundle.json', 'manifest.json', 'run.json', 'training.json')
READ_SUFFIXES = (
    '.safetensors', '.mcap', '.db3', '.zstd', '.bag', '.yaml', '.csv', '.xml', '.urdf',
)  # fmt: skip


def reason(error: Exception) -> str:
    """Return why something cannot be written, with the remedy where it is space that is missing.

    A library in Rust names the system's error by number in its text.
    """
    found = re.search(r'\(os error (\d+)\)', str(error))
    number = getattr(error, 'errno', None) or (int(found[1]) if found else None)
    text = os.strerror(number) if number else str(error)
    remedy = '; free some space' if number in SPACE else ''
    return f'{text}{remedy}'


def output_file(text: str) -> Path:
    """Return the path of a file that can be written: for argparse. `-`: standard output."""
    if not text:
        raise argparse.ArgumentTypeError('needs the name of a file, got nothing')
    path = Path('/dev/stdout' if text == '-' else text)
    try:
        check_file(path)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def check_file(path: Path) -> None:
    """UserError if a file cannot be written, with the cause; what is there stays as it is."""
    folder = Path(os.path.realpath(path)).parent
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    except OSError as error:
        raise UserError(f'cannot write {path}: {reason(error)}') from error
    what = NOT_FILES.get(stat.S_IFMT(mode))
    if what and _own_descriptor(path) is None:
        raise UserError(f'cannot write {path}: it is {what}; name a file')
    if mode and not os.access(path, os.W_OK):
        raise UserError(f'cannot write {path}: {os.strerror(errno.EACCES)}')
    if mode and not _is_replaceable(path):
        return
    if not folder.is_dir():
        shown = folder if path.is_symlink() else path.parent
        raise UserError(f'cannot write {path}: there is no folder {shown}; make it first')
    with replacing(path, keep=True):
        pass


def check_inputs_stay(target: Path | None, inputs: Iterable[Path]) -> None:
    """UserError if a target is a file that the command reads, or may read by way of others."""
    if target is None or not target.is_file():
        return
    place = target.resolve()
    is_read = place.name in READ_NAMES or place.suffix in READ_SUFFIXES
    for path in inputs:
        within = path.is_dir() and place.is_relative_to(path.resolve())
        if (is_read and within) or (path.exists() and target.samefile(path)):
            raise UserError(f'{target} is an input of this command; choose another file')
    # Files name others that are read: a robot file the one that it extends, its model, its URDF.
    if place.suffix in READ_SUFFIXES:
        raise UserError(
            f'{target} is there, and {place.suffix} is of files that commands read; choose '
            'another file'
        )


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all; UserError names the cause if it cannot be.

    Links are followed. Where there is a pipe or a device, the text goes into it.
    """
    content = text.encode('utf-8', 'backslashreplace')
    if _is_replaceable(path):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        return
    try:
        descriptor = _own_descriptor(path)
        sys.stdout.flush()
        with open(path if descriptor is None else os.dup(descriptor), 'wb') as file:
            file.write(content)
    except OSError as error:
        raise UserError(f'cannot write {path}: {reason(error)}') from error


def as_json(value: Any, indent: int = 2) -> str:
    """Return JSON of nothing but ASCII: a name of a file need not be text in any encoding."""
    return json.dumps(value, indent=indent) + '\n'


@contextlib.contextmanager
def replacing(path: Path, keep: bool = False) -> Iterator[Path]:
    """Yield a file to write that takes the place of `path` at the end of the block.

    It lies in the same folder, and is gone if the block raises. keep: try, and leave the old one.
    A system's error in the block becomes a UserError that names its cause.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f'.{os.urandom(4).hex()}.partial')
    try:
        temporary.touch(exist_ok=False)
        mode = (target if target.exists() else temporary).stat().st_mode
        yield temporary
        # Some libraries write files that only their owner may read.
        temporary.chmod(stat.S_IMODE(mode))
        if not keep:
            os.replace(temporary, target)
    except UserError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and '(os error ' not in str(error):
            raise
        raise UserError(f'cannot write {path}: {reason(error)}') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _is_replaceable(path: Path) -> bool:
    """Whether a path is a plain file, or to become one, in a folder that takes another."""
    if _own_descriptor(path) is not None:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode) and os.access(
            Path(os.path.realpath(path)).parent, os.W_OK | os.X_OK
        )
    except OSError:
        return True


def _own_descriptor(path: Path) -> int | None:
    """Return the descriptor of this process that a path stands for, such as /dev/fd/63.

    To open standard output again would write over what was printed to it, if it is a file.
    """
    named = re.fullmatch(r'/(?:dev|proc/self)/fd/(\d+)', str(path))
    for descriptor in (1, 2, *([int(named[1])] if named else [])):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
    return None


@contextlib.contextmanager
def claimed(folder: Path, who: str = 'command') -> Iterator[None]:
    """Make a folder, and keep other commands out of it; UserError if it cannot be written to.

    It is removed if it was made here and nothing has been put into it.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        try:
            os.makedirs(os.path.realpath(folder), exist_ok=True)
            probe = folder / f'.{os.urandom(4).hex()}.partial'
            probe.touch()
            probe.unlink()
            descriptor = os.open(folder, os.O_RDONLY)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(
                f'cannot write to {folder}: {reason(error)}{_obstacle(folder)}'
            ) from error
        except OSError as error:
            raise UserError(f'cannot write to {folder}: {reason(error)}') from error
        try:
            if not _lock(descriptor):
                made.clear()
                raise UserError(
                    f'another {who} is at work in {folder}; wait for it, or choose another --out'
                )
            yield
        finally:
            os.close(descriptor)
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _obstacle(folder: Path) -> str:
    """Return what keeps a folder from being made where there is something else."""
    place = Path(os.path.realpath(folder))
    there = next((path for path in (place, *place.parents) if path.exists()), place)
    return '' if there.is_dir() else f'; {there} is a file, choose a folder'


def _lock(descriptor: int) -> bool:
    """Lock a folder as long as the descriptor is open; False where another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True
