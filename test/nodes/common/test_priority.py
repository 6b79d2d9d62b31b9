# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real-time priority of a process, and of the thread that plans, one step below."""

import os
import subprocess
import sys

import pytest

from mbmrl_ros.nodes.common import priority
from mbmrl_ros.nodes.common.priority import raise_process, yield_to_messages

# In a process of its own: the tests themselves stay as they are.
PROGRAM = """
import os, threading
from mbmrl_ros.nodes.common.priority import raise_process
from mbmrl_ros.nodes.controller.worker import Worker

def of(thread):
    return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority

seen, hold, begun = {}, threading.Event(), threading.Event()

def old():
    seen['old'] = threading.get_native_id()
    begun.set()
    hold.wait()

threading.Thread(target=old, daemon=True).start()
begun.wait()
refused = raise_process(20)
worker = Worker(60.0, 1, lambda due: None, print)
worker.open()
worker.wait(lambda: seen.update(planning=threading.get_native_id()))
print(refused or [of(0), of(seen['old']), of(seen['planning'])])
hold.set()
worker.close()
"""


def may() -> bool:
    program = 'import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))'
    return subprocess.run([sys.executable, '-c', program], capture_output=True).returncode == 0


@pytest.mark.skipif(not may(), reason='no right to a real-time priority')
def test_threads_of_before_and_after_have_it_and_the_planning_one_is_a_step_below():
    output = subprocess.check_output([sys.executable, '-c', PROGRAM], text=True)
    fifo = os.SCHED_FIFO
    assert output.strip() == str([(fifo, 20), (fifo, 20), (fifo, 19)])


def test_zero_changes_nothing(monkeypatch):
    monkeypatch.setattr(os, 'sched_setscheduler', pytest.fail)
    assert raise_process(0) == ''
    yield_to_messages()


def test_without_the_right_to_it_the_reason_is_said(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'sched_setscheduler', refuse)
    said = raise_process(20)
    assert said.startswith('realtime_priority 20: Operation not permitted; ')
    assert 'rtprio' in said and '\n' not in said


def test_where_there_is_no_such_thing_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(priority, 'THREADS', tmp_path / 'none')
    assert 'only Linux' in raise_process(20)


def test_a_thread_that_may_not_be_lowered_goes_on(monkeypatch):
    refused = []

    def refuse(*asked):
        refused.append(asked)
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'sched_getscheduler', lambda thread: os.SCHED_FIFO)
    monkeypatch.setattr(os, 'sched_getparam', lambda thread: os.sched_param(20))
    monkeypatch.setattr(os, 'sched_setscheduler', refuse)
    yield_to_messages()
    assert [param.sched_priority for _, _, param in refused] == [19]


def test_whether_others_would_get_it_is_asked_by_a_thread_that_ends(monkeypatch):
    asked = []
    monkeypatch.setattr(os, 'sched_setscheduler', lambda *given: asked.append(given[0]))
    assert priority.why_refused(20) == '' and asked == [0]
    assert priority.why_refused(0) == '' and len(asked) == 1
    monkeypatch.undo()
    before = os.sched_getscheduler(0)
    assert bool(priority.why_refused(20)) != may()
    assert os.sched_getscheduler(0) == before
