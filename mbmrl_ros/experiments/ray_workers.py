# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl experiment --ray`: cells as tasks of a Ray cluster, whose machines share no disk.

A task gets the files that its job reads, and returns those that it wrote. They become results
where the command runs, as those of its own processes do. A cell of a machine that dies is done
again.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mbmrl_ros import __version__
from mbmrl_ros.config import UserError
from mbmrl_ros.experiments.jobs import Job
from mbmrl_ros.experiments.outcomes import do, in_a_line, log_of
from mbmrl_ros.system.cluster import cluster, get_unless, remote
from mbmrl_ros.system.outputs import replacing

Files = dict[str, bytes]
"""What files hold, by their paths below a folder."""
# Each waits in a thread of the command.
MOST_AT_ONCE = 512
RUN, LOGS = 'training.json', 'logs'


class Workers(NamedTuple):
    """Who does jobs. places: how many at once. new_pool: makes one who does one job at a time.

    do: the job, in that pool; returns its numbers in a line, and its seconds.
    """

    places: int
    new_pool: Callable[[], Executor]
    do: Callable[[Job, Path], tuple[str, float]]


class Done(NamedTuple):
    """What came of a job elsewhere; error: why it failed."""

    text: str
    seconds: float
    files: Files
    error: UserError | None


@contextlib.contextmanager
def ray_workers(address: str, count: int) -> Iterator[Workers]:
    """Yield who waits for tasks of a cluster; UserError if there is none. count: of jobs."""
    pools: list[ThreadPoolExecutor] = []
    left = threading.Event()

    def new_pool() -> ThreadPoolExecutor:
        pools.append(ThreadPoolExecutor(1))
        return pools[-1]

    with cluster(address) as ray:
        task = remote(ray, _do_there)

        def do_elsewhere(job: Job, out: Path) -> tuple[str, float]:
            reference = task.remote(job, needed(job, out), __version__)
            done: Done = get_unless(ray, reference, left)
            put(done.files, out, str(job.work.path))
            if done.error is not None:
                raise done.error
            return done.text, done.seconds

        try:
            yield Workers(min(count, MOST_AT_ONCE), new_pool, do_elsewhere)
        finally:
            left.set()
            for pool in pools:
                pool.shutdown(cancel_futures=True)


def needed(job: Job, out: Path) -> Files:
    """Return what a job reads: results that it needs, and what there is of its own."""
    found: Files = {}
    for path in (job.work.path, *job.work.needs):
        place = out / path
        if path.name == RUN and place.parent.is_dir():
            found |= files_in(place.parent, out)
        elif place.is_file():
            found[str(path)] = place.read_bytes()
    return found


def files_in(folder: Path, out: Path) -> Files:
    """Return the whole files of a folder, by their paths below another one."""
    paths = (path for path in sorted(folder.rglob('*')) if path.is_file())
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in paths
        if path.suffix != '.partial'
    }


def put(files: Mapping[str, bytes], out: Path, last: str = '') -> None:
    """Write files; UserError if that fails. last: written when all others are there."""
    for name in sorted(files, key=lambda name: (name == last, name)):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        with replacing(out / name) as temporary:
            temporary.write_bytes(files[name])


def _do_there(job: Job, given: Files, version: str) -> Done:
    """Do a job on a machine of the cluster, in a folder that is gone afterwards."""
    if version != __version__:
        raise UserError(f'a machine of the cluster has mbmrl_ros {__version__}, not {version}')
    torch.set_num_threads(1)
    began_s, text = time.monotonic(), ''
    error: UserError | None = None
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        put(given, out)
        log = log_of(job, out)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('a') as file, _printing_to(file):
            try:
                text = in_a_line(do(job, out))
            except UserError as wrong:
                error = wrong
            except Exception as failure:
                traceback.print_exc()
                # Its class may not be known where the command runs.
                error = UserError(f'{type(failure).__name__}: {failure} (see {LOGS})')
        written = {
            path: data for path, data in files_in(out, out).items() if given.get(path) != data
        }
    return Done(text, time.monotonic() - began_s, written, error)


@contextlib.contextmanager
def _printing_to(file: Any) -> Iterator[None]:
    with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield
