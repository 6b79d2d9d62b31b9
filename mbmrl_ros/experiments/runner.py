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
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mbmrl_ros.config import UserError
from mbmrl_ros.experiments.jobs import Job
from mbmrl_ros.experiments.outcomes import do, finished, in_a_line, log_of
from mbmrl_ros.experiments.ray_workers import Workers, ray_workers
from mbmrl_ros.system.outputs import claimed, reason

# A clean server that children are forked from: torch is imported once, and none of the parent's
# threads is in them.
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['mbmrl_ros.experiments.outcomes', 'mbmrl_ros.sim.batch'])


def run_jobs(jobs: list[Job], out: Path, processes: int, address: str = '') -> dict[str, str]:
    """Do what is not done yet; return why jobs failed, by title.

    address: of a Ray cluster that does it; empty: processes of this machine do.

    UserError if a result was made with other settings, or another command works in `out`.
    """
    with claimed(out, 'mbmrl experiment'):
        left = [job for job in jobs if not finished(job, out)]
        done = len(jobs) - len(left)
        if not left:
            return {}
        with (
            ray_workers(address, len(left)) if address else _processes(processes) as workers,
            tqdm(total=len(jobs), initial=done, unit='cell', desc='cells') as bar,
        ):
            return _work_off(left, out, workers, bar)


def _work_off(jobs: list[Job], out: Path, workers: Workers, bar: tqdm[Any]) -> dict[str, str]:
    """Do jobs, each of which comes after those that it needs; return why some failed."""
    waiting, failed = list(jobs), dict[Path, str]()
    # Pools of one, so that who is ended from outside takes no other job along.
    free = [workers.new_pool() for _ in range(workers.places)]
    running: dict[Future[tuple[str, float]], tuple[Job, Executor]] = {}
    while waiting or running:
        at_work = [job for job, _ in running.values()]
        to_come = {job.work.path for job in (*waiting, *at_work)}
        for job in list(waiting):
            lost = [need for need in job.work.needs if need in failed]
            if lost:
                failed[job.work.path] = f'needs {lost[0].parent}, which failed'
            elif not free or to_come & set(job.work.needs):
                continue
            else:
                pool = free.pop()
                running[pool.submit(workers.do, job, out)] = job, pool
            waiting.remove(job)
        bar.set_postfix_str(', '.join(job.work.title for job, _ in running.values())[:70])
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job, pool = running.pop(future)
            error = future.exception()
            if error is None:
                text, seconds = future.result()
                line = f'done: {job.work.title}: {text} ({seconds:.0f} s)'
            else:
                failed[job.work.path] = _why(error, job, out)
                line = f'failed: {job.work.title}: {failed[job.work.path]}'
            broken = isinstance(error, BrokenProcessPool)
            free.append(workers.new_pool() if broken else pool)
            tqdm.write(line, file=sys.stderr)
            bar.update()
    titles = {job.work.path: job.work.title for job in jobs}
    return {titles[path]: why for path, why in failed.items()}


def _why(error: BaseException, job: Job, out: Path) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenProcessPool):
        return 'its process was ended from outside, perhaps for lack of memory'
    return f'{type(error).__name__}: {error} (see {log_of(job, out)})'


@contextmanager
def _processes(count: int) -> Iterator[Workers]:
    """Yield pools of one process that end with this, whatever they do."""
    # Ctrl-C while the server imports is the parent's.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    others = set(multiprocessing.active_children())
    made: list[ProcessPoolExecutor] = []

    def new_pool() -> ProcessPoolExecutor:
        made.append(ProcessPoolExecutor(1, CONTEXT, _begin))
        return made[-1]

    try:
        yield Workers(count, new_pool, _do)
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        for pool in made:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Make ready a process of the pool."""
    # Ctrl-C goes to the whole group: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """End where the parent was killed: the next command must find no one at work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _do(job: Job, out: Path) -> tuple[str, float]:
    """Do a job in a process of the pool; return its numbers in a line, and how long it took."""
    started, log = time.monotonic(), log_of(job, out)
    try:
        log.parent.mkdir(exist_ok=True)
        with log.open('ab', buffering=0) as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    except OSError as error:
        raise UserError(f'cannot write {log}: {reason(error)}') from error
    try:
        return in_a_line(do(job, out)), time.monotonic() - started
    except UserError:
        raise
    except Exception:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
