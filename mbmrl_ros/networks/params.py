# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Dicts of tensors in groups: params/weight0, critic/weight0, ..."""

from __future__ import annotations

from mbmrl_ros.types import Params


def group(tensors: Params, name: str) -> Params:
    """Return the tensors of one group, by the names that they have in it."""
    start = f'{name}/'
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
