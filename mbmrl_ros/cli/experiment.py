# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the command line's `experiment` does."""

from __future__ import annotations

import argparse
import sys

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.every_study import JOBS
from mbmrl_ros.experiments.jobs import Selection
from mbmrl_ros.experiments.outcomes import finished
from mbmrl_ros.experiments.runner import run_jobs
from mbmrl_ros.experiments.studies import FIGURES


def experiment_command(options: argparse.Namespace) -> int:
    """Run experiments; return 1 where a part of them failed."""
    names = [*FIGURES, *JOBS] if options.names == ['all'] else options.names
    chosen = Selection(
        tuple(options.tasks),
        tuple(options.methods),
        tuple(options.seeds),
        tuple(options.set),
        options.episodes,
        options.steps,
        options.candidates,
        options.quick,
        options.full,
    )
    for name in names:
        if name not in FIGURES and name not in JOBS:
            raise UserError(f'unknown experiment {name!r}; {closest(name, [*FIGURES, *JOBS])}')
    figures = [name for name in names if name in FIGURES]
    jobs = expand(figures, chosen) if figures else []
    known = {job.work.path for job in jobs}
    for name in names:
        for job in JOBS[name](name, chosen) if name in JOBS else ():
            if job.work.path not in known:
                jobs.append(job)
                known.add(job.work.path)
    if not jobs:
        raise UserError('nothing to do: no figure has both the methods and the tasks')
    if options.dry_run:
        for job in jobs:
            state = 'done' if finished(job, options.out) else 'to do'
            print(f'{state:5}  {job.work.title}')
        return 0
    failed = run_jobs(jobs, options.out, options.processes, options.ray)
    for title, reason in failed.items():
        print(f'mbmrl: {title}: {reason}', file=sys.stderr)
    print(f'{len(jobs) - len(failed)} of {len(jobs)} cells are there; mbmrl report {options.out}')
    return 1 if failed else 0
