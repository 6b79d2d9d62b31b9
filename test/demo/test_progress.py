# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Somebody who reads a log sees how far the demo is."""

import io

import pytest
from rich.console import Console

from mbmrl_ros.demo.progress import SAY_S, Bars, Lines, make_progress


@pytest.fixture
def text():
    return io.StringIO()


def test_a_terminal_gets_bars_and_everything_else_lines(text):
    assert isinstance(make_progress(Console(file=text, force_terminal=True)), Bars)
    assert isinstance(make_progress(Console(file=text, force_terminal=False)), Lines)


def test_lines_come_when_runs_begin_and_end_and_every_half_minute(text):
    now = [0.0]
    with Lines(Console(file=text), lambda: now[0]) as progress:
        advance = progress.begin('GrBAL, seed 0', 1000)
        for step in range(1000):
            now[0] += 0.125
            advance(step + 1)
            progress.look()
        progress.end('GrBAL, seed 0', 'done')
    lines = text.getvalue().splitlines()
    assert lines[0] == 'GrBAL, seed 0: begins, 1000 steps'
    assert [line.partition(' (load')[0] for line in lines[1:-1]] == [
        f'GrBAL, seed 0: step {step} of 1000' for step in (240, 480, 720, 960)
    ]
    assert SAY_S == 30.0
    assert lines[-1] == 'GrBAL, seed 0: done after 125 s'


def test_a_run_that_fails_is_said_in_both(text):
    for progress in (Bars(Console(file=text, force_terminal=True, width=200)),
                     Lines(Console(file=text))):  # fmt: skip
        text.truncate(0)
        with progress:
            progress.begin('MB, seed 0', 10)(3)
            progress.end('MB, seed 0', 'failed: no step for 60 s')
        assert 'MB, seed 0: failed: no step for 60 s' in text.getvalue()
