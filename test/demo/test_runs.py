# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of a demo: what has finished stays, whatever becomes of the others."""

import io
import signal
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from mbmrl_ros.config import UserError
from mbmrl_ros.demo import runs as module
from mbmrl_ros.demo.progress import Lines
from mbmrl_ros.demo.runs import work_off
from mbmrl_ros.nodes.episode.processes import Ending
from mbmrl_ros.system import machine

PATIENCE_S = 30.0


class Fake:
    """A run that ends when it is let, or raises."""

    def __init__(self, title, error=None):
        self.title, self.episode, self.error = title, SimpleNamespace(steps=3), error
        self.begun, self.let = threading.Event(), threading.Event()
        self.stopped = False

    def perform(self, on_step, stop):
        self.begun.set()
        on_step(1)
        while not self.let.is_set() and not stop.wait(0.001):
            pass
        self.stopped = stop.is_set()
        if self.error:
            raise self.error


@pytest.fixture
def progress():
    return Lines(Console(file=io.StringIO()))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, 'LOOK_S', 0.01)


def test_a_run_that_fails_costs_none_of_the_others(progress, capsys):
    stall, bug = UserError('no step for 60 s'), RuntimeError('a bug')
    runs = [Fake('a'), Fake('b', stall), Fake('c', bug), Fake('d')]
    for run in runs:
        run.let.set()
    done = []
    failed = work_off(runs, progress, lambda run: done.append(run.title), Ending())
    assert sorted(done) == ['a', 'd']
    assert failed == {'b': 'no step for 60 s', 'c': 'RuntimeError: a bug'}
    assert 'Traceback' in capsys.readouterr().err


def test_one_at_a_time_on_a_busy_machine_and_two_on_a_quiet_one(progress, monkeypatch):
    monkeypatch.setattr(machine, 'cores', lambda: 2.0)
    for load, together in ((4.0, 1), (0.0, 2)):
        monkeypatch.setattr(machine, 'load', lambda: load)  # noqa: B023
        runs = [Fake('a'), Fake('b'), Fake('c')]
        worker = threading.Thread(target=work_off, args=(runs, progress, print, Ending()))
        worker.start()
        assert all(run.begun.wait(PATIENCE_S) for run in runs[:together])
        assert not runs[together].begun.wait(0.1), 'there is no room for it'
        for run in runs:
            run.let.set()
        worker.join(PATIENCE_S)
        assert all(run.begun.is_set() for run in runs)


def test_a_signal_ends_the_runs_under_way(progress):
    run, ending = Fake('a'), Ending()

    def look():
        assert run.begun.wait(PATIENCE_S)
        ending.note(signal.SIGINT, None)

    progress.look = look
    with pytest.raises(KeyboardInterrupt):
        work_off([run], progress, print, ending)
    assert run.stopped
