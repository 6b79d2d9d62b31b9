# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which signals end a process in order."""

import signal

import pytest

from mbmrl_ros.nodes.common.signals import ending_signals, exit_code


@pytest.fixture
def handle():
    """Set the handler of a signal, until the end of the test."""
    before = {}

    def change(number, handler):
        before.setdefault(number, signal.signal(number, handler))

    yield change
    for number, handler in before.items():
        signal.signal(number, handler)


def test_whatever_would_end_the_process_counts(handle):
    names = [
        'HUP', 'QUIT', 'USR1', 'USR2', 'PIPE', 'ALRM', 'VTALRM', 'PROF', 'XCPU', 'XFSZ', 'IO',
        'PWR', 'STKFLT', 'TRAP', 'SYS', 'RTMIN', 'RTMAX',
    ]  # fmt: skip
    numbers = [getattr(signal, f'SIG{name}') for name in names]
    for number in numbers:
        handle(number, signal.SIG_DFL)
    assert {signal.SIGINT, signal.SIGTERM, *numbers} <= set(ending_signals())


def test_what_is_ignored_or_handled_stays_so_but_a_request_to_stop(handle):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        handle(number, signal.SIG_IGN)
    handle(signal.SIGUSR1, lambda *_: None)
    found = set(ending_signals())
    assert {signal.SIGINT, signal.SIGTERM} <= found
    assert found.isdisjoint({signal.SIGHUP, signal.SIGUSR1})


def test_what_cannot_be_caught_or_ends_nothing_is_left_alone():
    numbers = [
        getattr(signal, f'SIG{n}') for n in ('KILL', 'STOP', 'SEGV', 'CHLD', 'CONT', 'TSTP')
    ]
    assert set(ending_signals()).isdisjoint(numbers)


def test_the_exit_code_is_that_of_shells_and_zero_for_a_request_to_stop():
    assert exit_code(signal.SIGINT) == exit_code(signal.SIGTERM) == 0
    assert exit_code(signal.SIGHUP) == 129
