# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bars of progress, in a terminal and in a file."""

from __future__ import annotations

import io
import sys

import pytest

from mbmrl_ros.system.bar import progress_bar


@pytest.mark.parametrize('terminal', [True, False])
def test_a_file_gets_a_bar_at_the_begin_and_at_the_end_of_a_quick_job(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, now = io.StringIO(), 0.0
    monkeypatch.setattr(stream, 'isatty', lambda: terminal)
    monkeypatch.setattr(sys, 'stderr', stream)
    with progress_bar(20, 'step', 'fit') as bar:
        monkeypatch.setattr(bar, '_time', lambda: now)
        bar.start_t = bar.last_print_t = now
        for _ in range(20):
            now += 1.0
            bar.update()
    shown = [part for part in stream.getvalue().split('\r') if 'step' in part]
    # 20 s, one update a second: each is drawn in a terminal, none of them in a file.
    assert len(shown) == (22 if terminal else 2)
    assert 'fit: 100%' in shown[-1]
