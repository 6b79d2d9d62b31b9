# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model file is instead of a model, which the libraries that read it do not say."""

from __future__ import annotations

import re
from pathlib import Path

LFS = b'version https://git-lfs'
POINTER = 'is a pointer of Git LFS; get the file itself with: git lfs pull'


def why_damaged(path: Path, error: Exception) -> str:
    """Return what a file is in place of what it should be, or what a library said of it."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    with path.open('rb') as file:
        return f'it {POINTER}' if file.read(len(LFS)) == LFS else str(error)


def why_no_model(path: Path) -> str:
    """Return why a file is no model and what to do; empty if that is for a library to find out."""
    if path.is_dir():
        return 'it is a folder; name the file in it'
    try:
        text = path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    if text.startswith(LFS):
        return f'{path} {POINTER}'
    if path.suffix.lower() != '.xacro' and not _is_xacro(text):
        return ''
    stem = path.name.removesuffix('.xacro').removesuffix('.urdf')
    # The shell would empty the file before xacro reads it.
    stem += '.expanded' if path.suffix == '.urdf' else ''
    return (
        f'it is a xacro file; expand it (ros2 run xacro xacro {path} > '
        f'{path.with_name(stem + ".urdf")}) and name what comes out'
    )


def _is_xacro(text: bytes) -> bool:
    """Return whether something is left to expand; comments, which xacro leaves, do not count."""
    bare = re.sub(rb'<!--.*?-->', b'', text, flags=re.DOTALL)
    in_values = b'<robot' in bare and re.search(rb'=\s*["\'][^"\']*\$[({]', bare)
    return b'<xacro:' in bare or bool(in_values)
