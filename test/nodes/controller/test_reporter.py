# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reports in a thread of their own: nobody waits for them, and what fails is said once."""

import threading

import pytest

from mbmrl_ros.nodes.controller.reporter import MOST_JOBS, MOST_KINDS, Reporter

PATIENCE_S = 20.0


def test_things_are_done_in_order_and_what_raises_is_said_once_per_place_and_type():
    said: list[str] = []
    done: list[int] = []
    reporter = Reporter(said.append)

    def fail(number: int) -> None:
        done.append(number)
        raise (ValueError if number % 2 else KeyError)(f'number {number}\nand more')

    for number in range(10):
        reporter.submit(lambda number=number: fail(number))
    reporter.flush(PATIENCE_S)
    assert done == list(range(10)) and reporter.failed == 10
    assert len(said) == 2 and "KeyError: 'number 0" in said[0] and 'number 1' in said[1]
    reporter.forget()
    reporter.submit(lambda: fail(12))
    reporter.flush(PATIENCE_S)
    assert len(said) == 3
    reporter.close()


def test_of_too_many_reports_the_newest_are_kept():
    reporter, release, began = Reporter(lambda trace: None), threading.Event(), threading.Event()
    done: list[int] = []
    reporter.submit(lambda: (began.set(), release.wait(PATIENCE_S)))
    assert began.wait(PATIENCE_S)
    for number in range(MOST_JOBS + 5):
        reporter.submit(lambda number=number: done.append(number))
    assert reporter.dropped == 5
    release.set()
    reporter.flush(PATIENCE_S)
    assert done == list(range(5, MOST_JOBS + 5))
    reporter.close()


def test_a_fault_is_said_before_reports_that_wait_and_of_countless_kinds_some_are():
    said: list[str] = []
    reporter = Reporter(said.append)
    for number in range(2 * MOST_KINDS):
        reporter.error(f'  File "a.py", line {number}, in f\nValueError: no')
    reporter.flush(PATIENCE_S)
    assert len(said) == MOST_KINDS
    reporter.close()


def test_who_cannot_say_a_fault_is_asked_no_more_than_once_for_each():
    asked: list[str] = []

    def on_error(trace: str) -> None:
        asked.append(trace)
        raise OSError('no log')

    reporter = Reporter(on_error)
    for _ in range(3):
        reporter.error('ValueError: no')
        reporter.flush(PATIENCE_S)
    assert len(asked) == 2, 'the fault, and that it could not be said'
    reporter.close()


def test_closing_does_not_wait_for_a_report_that_is_stuck(monkeypatch):
    monkeypatch.setattr('mbmrl_ros.nodes.controller.reporter.JOIN_S', 0.01)
    reporter, release = Reporter(lambda trace: None), threading.Event()
    reporter.submit(lambda: release.wait(PATIENCE_S))
    reporter.close()
    release.set()


@pytest.mark.parametrize('used', [False, True])
def test_closing_does_what_is_left(used):
    reporter, done = Reporter(lambda trace: None), []
    if used:
        reporter.submit(lambda: done.append(1))
    reporter.close()
    assert done == [1] * used
