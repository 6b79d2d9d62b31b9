# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What tests run under and share: a ROS domain of their own, one thread, an installation."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch
from node_process import preload

from mbmrl_ros.nodes import EXECUTABLES

ROOT = Path(__file__).resolve().parent.parent
DOMAIN_PORT = 22119


def claim_domain() -> tuple[int, socket.socket]:
    """Return a domain (1..100) that no other run on this machine has, and what holds it.

    The port that stands for a domain is the one domain_coordinator of ROS 2 uses.
    """
    for domain in range(1, 101):
        claim = socket.socket()
        try:
            claim.bind(('127.0.0.1', DOMAIN_PORT + domain))
        except OSError:
            claim.close()
        else:
            return domain, claim
    raise RuntimeError('all ROS domains from 1 to 100 are taken on this machine')


# A shell that starts the tests in the background has Ctrl-C ignored, and so would have all
# processes that they start and interrupt; one that was started by nohup, hang-ups too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, lambda *_: None)

# At import, before any test module reads the environment through rclpy or a message class.
DOMAIN, CLAIM = claim_domain()
os.environ['ROS_DOMAIN_ID'] = str(DOMAIN)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'
os.environ.pop('ROS_STATIC_PEERS', None)
# On small tensors a second thread mostly waits, and the more so on a busy machine.
torch.set_num_threads(1)


# What takes longest begins first, so that no core waits for another one at the end.
LONGEST = ('demo', 'experiments', 'test_own_robot', 'nodes', 'bench', 'launch', 'training')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take long first."""

    def rank(item: pytest.Item) -> int:
        names = {part.removesuffix('.py') for part in item.path.relative_to(ROOT / 'test').parts}
        return next((n for n, name in enumerate(LONGEST) if name in names), len(LONGEST))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Say what processes that tests start have imported: when all test modules are."""
    preload([*EXECUTABLES.values(), 'mbmrl_ros.experiments.outcomes', 'mbmrl_ros.sim.batch'])


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Put the handlers back: a node that ran in this process ignores what would end it."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.fixture(scope='session', autouse=True)
def ros_log_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the log files of nodes out of the home directory."""
    os.environ['ROS_LOG_DIR'] = str(tmp_path_factory.mktemp('ros_log'))


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command to its end, which must be good; return what it printed."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@dataclass(frozen=True)
class Installation:
    """The package, installed by pip from its source distribution, under a prefix of its own."""

    prefix: Path
    library: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment of a process that uses this installation."""
        return {**os.environ, 'PYTHONPATH': str(self.library), 'AMENT_PREFIX_PATH': '', **changes}

    def run(self, *command: str | Path, cwd: Path, **changes: str) -> str:
        """Run one of its commands, or a script that imports it."""
        return run(*command, cwd=cwd, environment=self.environment(**changes))


@pytest.fixture(scope='session')
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Build the source distribution from a copy of the checkout and install it."""
    folder = tmp_path_factory.mktemp('package')
    ignored = shutil.ignore_patterns('.*', '__pycache__', 'build', 'install', 'log', 'out', 'runs')
    shutil.copytree(ROOT, folder / 'source', ignore=ignored)
    build = 'import setuptools.build_meta as b; print(b.build_sdist(".."))'
    archive = run(sys.executable, '-c', build, cwd=folder / 'source').split()[-1]
    prefix = folder / 'prefix'
    run(
        sys.executable, '-m', 'pip', 'install', '--no-index', '--no-deps', '--ignore-installed',
        '--no-build-isolation', '--prefix', prefix, folder / archive,
        cwd=folder,
    )  # fmt: skip
    scheme = sysconfig.get_preferred_scheme('prefix')
    paths = sysconfig.get_paths(scheme, vars={'base': str(prefix), 'platbase': str(prefix)})
    return Installation(prefix, Path(paths['purelib']))


@pytest.fixture(scope='session')
def walks() -> ModuleType:
    """Return test/walks.py: bags of a robot that walks as told."""
    spec = importlib.util.spec_from_file_location('walks', ROOT / 'test' / 'walks.py')
    module = importlib.util.module_from_spec(spec)
    # Data classes look their own module up.
    sys.modules['walks'] = module
    spec.loader.exec_module(module)
    return module
