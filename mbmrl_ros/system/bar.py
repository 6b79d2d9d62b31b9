# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far one thing is: a bar in a terminal, now and then the same where there is none."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

# A log of a training over night has to stay readable.
SAY_S = 30.0


def progress_bar(total: int, unit: str, desc: str | None = None, **options: Any) -> tqdm[Any]:
    """Return a bar on stderr; in a file or a pipe it is written at most every 30 s.

    options: those of tqdm.
    """
    often = 0.1 if sys.stderr.isatty() else SAY_S
    return tqdm(total=total, unit=unit, desc=desc, mininterval=often, **options)
