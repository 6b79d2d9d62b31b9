# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/long_run.py makes of late commands."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture
def explain(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module('long_run').explain


def test_late_commands_are_told_by_whether_the_machine_stood_still_beside_them(explain):
    # Periods of 100 ms: 8 ms late and so 8 ms early after it, a period left out, 6 ms late.
    sent_ns = [1_000_000 * moment for moment in (0, 100, 208, 300, 400, 600, 706, 803, 900)]
    # A stall that ended at 206 is beside what went out by 406: at 208, 300 and 400.
    found = explain(sent_ns, 0.1, [(0.206, 0.02)])
    assert found == {'number': 4, 'beside_a_stall': 2, 'other_max_ms': 6.0}
    # One that ended later than two periods before, or began later, is beside nothing.
    for stalls in ([], [(-0.001, 0.02)], [(1.0, 0.05)]):
        found = explain(sent_ns[:4], 0.1, stalls)
        assert found == {'number': 2, 'beside_a_stall': 0, 'other_max_ms': 8.0}
