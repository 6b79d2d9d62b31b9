# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work off jobs in processes of one thread each; started again, go on with what is missing.

A result is one JSON file that appears whole or not at all. A training that was killed goes on from
its last iteration, a measurement starts again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from mbmrl_ros.config import UserError
from mbmrl_ros.experiments.grid import slug
from mbmrl_ros.experiments.jobs import Job
from mbmrl_ros.experiments.outcomes import do, finished, in_a_line
from mbmrl_ros.system.outputs import claimed, reason

# A clean server that children are forked from: torch is imported once, and none of the parent's
# threads is in them.
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['mbmrl_ros.experiments.outcomes', 'mbmrl_ros.sim.batch'])


class Running(NamedTuple):
    """A job under way, and where its message comes from."""

    job: Job
    process: BaseProcess
    messages: Connection
    started: float


@dataclass
class Board:
    """What is left to do, what is under way, what failed (job: why)."""

    waiting: list[Job]
    running: list[Running] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)

    def next_job(self) -> Job | None:
        """Take the first job whose needs are met; those whose needs have failed, fail."""
        unmet = {job.work.path for job in self.waiting} | {r.job.work.path for r in self.running}
        for job in list(self.waiting):
            lost = [need for need in job.work.needs if need in self.failed]
            if lost:
                self.waiting.remove(job)
                self.failed[job.work.path] = f'needs {lost[0].parent}, which failed'
                unmet.discard(job.work.path)
            elif not any(need in unmet for need in job.work.needs):
                self.waiting.remove(job)
                return job
        return None


def run_jobs(jobs: list[Job], out: Path, processes: int) -> dict[str, str]:
    """Do what is not done yet; return why jobs failed, by title.

    UserError if a result was made with other settings, or another command works in `out`.
    """
    with claimed(out, 'mbmrl experiment'):
        _start_server()
        left = [job for job in jobs if not finished(job, out)]
        board = Board(left)
        total, done = len(jobs), len(jobs) - len(left)
        with tqdm(total=total, initial=done, unit='cell', desc='cells') as bar:
            try:
                _work_off(board, out, processes, bar)
            finally:
                _end([running.process for running in board.running])
    titles = {job.work.path: job.work.title for job in jobs}
    return {titles[path]: reason for path, reason in board.failed.items()}


def _start_server() -> None:
    """Start what children are forked from such that Ctrl-C, while it imports, is the parent's."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work_off(board: Board, out: Path, processes: int, bar: tqdm[Any]) -> None:
    while True:
        while len(board.running) < processes and (job := board.next_job()):
            board.running.append(_start(job, out))
        bar.set_postfix_str(', '.join(r.job.work.title for r in board.running)[:70])
        if not board.running:
            return
        wait([running.messages for running in board.running])
        for running in [r for r in board.running if r.messages.poll()]:
            good, text = _outcome(running)
            board.running.remove(running)
            title, seconds = running.job.work.title, time.monotonic() - running.started
            if not good:
                board.failed[running.job.work.path] = text
            line = f'{"done" if good else "failed"}: {title}: {text} ({seconds:.0f} s)'
            tqdm.write(line, file=sys.stderr)
            bar.update()


def _start(job: Job, out: Path) -> Running:
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_child, args=(job, out, sender), name=job.work.title)
    process.start()
    sender.close()
    return Running(job, process, receiver, time.monotonic())


def _outcome(running: Running) -> tuple[bool, str]:
    """Return whether a job went well, and its numbers or why not."""
    try:
        good, text = running.messages.recv()
    except EOFError:
        # Killed from outside, or out of memory: then a process says nothing itself.
        running.process.join()
        good, text = False, f'its process ended with exit code {running.process.exitcode}'
    running.process.join()
    running.messages.close()
    return good, text


def _end(processes: list[BaseProcess]) -> None:
    """End processes; whatever they were writing appears whole or not at all."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _child(job: Job, out: Path, messages: Connection) -> None:
    """Do one job in a process of its own; send whether it went well, and its numbers or why."""
    # Ctrl-C goes to the whole group: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    log = out / 'logs' / f'{slug(str(job.work.path.with_suffix("")))}.log'
    try:
        log.parent.mkdir(exist_ok=True)
        with log.open('ab', buffering=0) as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    except OSError as error:
        messages.send((False, f'cannot write {log}: {reason(error)}'))
        return
    messages.send(_done(job, out, log))


def _done(job: Job, out: Path, log: Path) -> tuple[bool, str]:
    """Do a job; return whether it went well, and its numbers or why not."""
    try:
        return True, in_a_line(do(job, out))
    except UserError as error:
        return False, str(error)
    except Exception as error:
        traceback.print_exc()
        return False, f'{type(error).__name__}: {error} (see {log})'
    finally:
        sys.stdout.flush()


def _end_with_parent() -> None:
    """End where the parent was killed: the next command must find no one at work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
