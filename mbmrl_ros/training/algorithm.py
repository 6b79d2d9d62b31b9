# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an algorithm is to the command line: a name, its settings, how it trains and drives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mbmrl_ros.config import Config


@dataclass(frozen=True)
class Algorithm:
    """An algorithm; train(task, config, run, seed) -> bundle."""

    name: str
    summary: str
    Config: type[Config]
    train: Callable[..., Any]
    action_source: Callable[..., Any] | None = None
