# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Threads wait as they should in every process, and there is no more load than cores."""

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest

from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.system import machine

# Ends where torch would be imported, with how OpenMP was told to wait by then.
AT_TORCH = """
import os, sys

class Torch:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Torch())
"""
MODULE = 'import runpy; runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)'
NODES = tuple(EXECUTABLES)


def clean(**changes):
    """Return the environment of somebody who has not heard of OpenMP."""
    kept = {name: value for name, value in os.environ.items() if name not in machine.WAITING}
    kept.pop('OMP_NUM_THREADS', None)
    return kept | changes


def run(script, *arguments, **changes):
    # Nodes that a demo starts end with their input.
    reader, writer = os.pipe()
    try:
        return subprocess.run(
            [sys.executable, '-c', script, *arguments], stdin=reader,
            env=clean(**changes), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    'arguments',
    [
        *(pytest.param((EXECUTABLES[node], '--help'), id=node) for node in NODES),
        pytest.param(('mbmrl_ros.nodes.episode.processes', 'controller_node'), id='in the demo'),
        pytest.param(('mbmrl_ros.cli.main', 'evaluate', '--bundle', 'nowhere'), id='cli'),
    ],
)
def test_every_program_says_how_to_wait_before_it_imports_torch(arguments):
    assert run(AT_TORCH + MODULE, *arguments).stdout == 'passive 10000\n'


def test_a_library_says_it_too_and_leaves_alone_what_is_set():
    script = f'{AT_TORCH}\nimport mbmrl_ros\nimport torch'
    assert run(script).stdout == 'passive 10000\n'
    assert run(script, OMP_WAIT_POLICY='active').stdout == 'active None\n'
    assert run(script, GOMP_SPINCOUNT='200').stdout == 'None 200\n'
    assert run(script, KMP_BLOCKTIME='200').stdout == 'None None\n'


IN_A_POOL = """
import importlib, multiprocessing
import mbmrl_ros

if __name__ == '__main__':
    context = multiprocessing.get_context('forkserver')
    process = context.Process(target=importlib.import_module, args=['torch'])
    process.start()
    process.join()
"""


def test_the_threads_of_torch_do_so_in_processes_that_are_started(tmp_path):
    script = tmp_path / 'pool.py'
    script.write_text(IN_A_POOL)
    result = subprocess.run(
        [sys.executable, script],
        env=clean(OMP_DISPLAY_ENV='VERBOSE'), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    if 'GOMP_SPINCOUNT' not in result.stderr:
        pytest.skip('the OpenMP of this torch does not say how it waits as that of GNU does')
    assert "GOMP_SPINCOUNT = '10000'" in result.stderr


def test_whoever_imported_torch_before_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', SimpleNamespace(get_num_threads=lambda: 2))
    with pytest.warns(RuntimeWarning, match='import mbmrl_ros first, or set OMP_WAIT_POLICY'):
        machine.wait_passively({})
    # A single thread waits for none, and what is set is meant.
    with warnings.catch_warnings(action='error'):
        machine.wait_passively({'GOMP_SPINCOUNT': '1000'})
        monkeypatch.setitem(sys.modules, 'torch', SimpleNamespace(get_num_threads=lambda: 1))
        machine.wait_passively({})


@pytest.mark.parametrize(
    ('cores', 'others', 'at_once'),
    [
        (2, 0.0, 2), (2, 0.2, 2), (2, 0.5, 1), (2, 1.0, 1), (2, 4.0, 1),
        (8, 0.0, 8), (8, 5.0, 3), (8, 30.0, 1), (0.5, 0.0, 1),
    ],
)  # fmt: skip
def test_jobs_have_a_core_each_that_no_other_job_is_on(monkeypatch, cores, others, at_once):
    monkeypatch.setattr(machine, 'cores', lambda: cores)
    running = 0
    # The load counts what runs of ours as well.
    monkeypatch.setattr(machine, 'load', lambda: others + running)
    while machine.has_room(running):
        running += 1
    assert running == at_once


def test_a_quota_of_a_container_is_fewer_cores(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, 'QUOTA', tmp_path / 'cpu.max')
    all_cores = machine.cores()
    for text, cores in (('50000 100000', 0.5), ('max 100000', all_cores), ('', all_cores)):
        machine.QUOTA.write_text(text)
        assert machine.cores() == cores
