# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What raises in the worker's thread takes nothing along."""

import threading
import time

import pytest

from mbmrl_ros.nodes.controller.worker import Worker

PATIENCE_S = 20.0


def broken() -> None:
    raise RuntimeError('bundle does not fit')


@pytest.mark.parametrize('reports', [True, False])
@pytest.mark.parametrize('place', [0, 1, 2])
def test_a_job_that_raises_loses_neither_those_beside_it_nor_the_tick(place, reports, capsys):
    done: list[str] = []
    errors: list[str] = []

    def on_error(trace: str) -> None:
        errors.append(trace.splitlines()[-1])
        if not reports:
            raise OSError('no log')

    worker = Worker(1000.0, 1, lambda due: done.append('tick'), on_error)
    worker.open()
    busy = threading.Event()
    # So that all that follows is there at once.
    worker.submit(lambda: busy.wait(PATIENCE_S))
    jobs = [lambda: done.append('release'), lambda: done.append('reset')]
    jobs.insert(place, broken)
    for job in jobs:
        worker.submit(job)
    worker.due(time.monotonic())
    busy.set()
    worker.wait(lambda: None)
    worker.wait(lambda: None)
    assert done == ['release', 'reset', 'tick']
    assert errors == ['RuntimeError: bundle does not fit']
    assert ('no log' in capsys.readouterr().err) != reports
    worker.close()


def test_a_tick_that_raises_is_followed_by_the_next():
    ticks: list[object] = []
    errors: list[str] = []

    def tick(due: object) -> None:
        ticks.append(due)
        broken()

    worker = Worker(1000.0, 1, tick, errors.append)
    worker.open()
    for _ in range(2):
        worker.due(time.monotonic())
        worker.wait(lambda: None)
        worker.wait(lambda: None)
    assert len(ticks) == len(errors) == 2
    worker.close()
