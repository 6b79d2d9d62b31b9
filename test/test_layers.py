# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imports run one way: what a part of the package may use, and which outside libraries."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import layers
import pytest
from layers import LAYERS

PACKAGE = Path(__file__).resolve().parent.parent / 'mbmrl_ros'
MODULES = sorted(PACKAGE.rglob('*.py'))

RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
ROS = {'rclpy', 'launch', 'launch_ros', 'ament_index_python', 'tf2_ros', 'rosbag2_py'}
ROS_SUFFIXES = ('_msgs', '_srvs', '_interfaces')
MUJOCO = {'mujoco', 'gymnasium'}


def part_of(module: Path) -> str:
    """Return the part a file belongs to: its folder, or itself at the top."""
    return module.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imports(source: str) -> Iterator[str]:
    """Yield what source imports, anywhere in it, as dotted names without the imported object."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'line {node.lineno}: relative import'
            names = [alias.name for alias in node.names]
            inside = node.module == 'mbmrl_ros'
            yield from (f'mbmrl_ros.{name}' for name in names) if inside else [node.module or '']


def parts_used(source: str) -> set[str]:
    """Return the parts of the package that source imports."""
    names = (name.split('.') for name in imports(source))
    return {name[1] for name in names if name[0] == 'mbmrl_ros' and len(name) > 1}


def is_ros(library: str) -> bool:
    return library in ROS or library.endswith(ROS_SUFFIXES)


def libraries_used(source: str) -> set[str]:
    return {name.split('.')[0] for name in imports(source)}


def test_the_reader_of_imports_sees_every_form():
    source = (
        'import rclpy.node, mbmrl_ros.spec.robot\n'
        'from mbmrl_ros import types, __version__\n'
        'def late():\n    from mbmrl_ros.nodes.common.messages import to_message\n'
    )
    assert parts_used(source) == {'spec', 'types', '__version__', 'nodes'}
    assert libraries_used(source) == {'rclpy', 'mbmrl_ros'}


@pytest.mark.parametrize('module', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_parts_below_its_own(module):
    part = part_of(module)
    if part == '__init__':
        # How threads wait has to be said before anything imports torch.
        # Beside that, what it offers, for those who read types; at run time when it is used.
        assert parts_used(module.read_text()) == {'system', 'api', 'envs'}
        assert (
            libraries_used((PACKAGE / 'system/machine.py').read_text()) <= sys.stdlib_module_names
        )
        return
    assert part in RANK, f'{part} has no place in LAYERS'
    for used in parts_used(module.read_text()) - {part, '__version__'}:
        assert used in RANK, f'{used} has no place in LAYERS'
        assert RANK[used] < RANK[part], f'{part} may not import {used}'


def test_every_room_has_a_place_and_no_place_is_empty():
    rooms = {part_of(module) for module in MODULES} - {'__init__'}
    assert rooms == set(RANK)


def test_the_page_of_the_architecture_shows_the_layers_as_they_are():
    page = layers.PAGE.read_text()
    assert layers.with_table(page) == page, 'python test/helpers/layers.py writes it anew'
    # What the page names is there.
    named = re.findall(r'`([a-z_/]+\.py)`', page)
    assert len(named) > 20
    for name in named:
        assert (PACKAGE / name).exists() or (PACKAGE.parent / name).exists(), name


# Folders of nodes/, each a process or what processes share, in the order of the imports.
ROOMS = [
    'common', 'by_hand', 'recording', 'controller', 'gate', 'simulator', 'episode', 'learners',
    'security',
]  # fmt: skip


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_of_nodes_imports_only_rooms_before_it(room):
    below = {'__init__', *ROOMS[: ROOMS.index(room) + 1]}
    for module in (PACKAGE / 'nodes' / room).rglob('*.py'):
        names = (name.split('.') for name in imports(module.read_text()))
        used = {name[2] for name in names if name[:2] == ['mbmrl_ros', 'nodes'] and name[2:]}
        assert used - {'EXECUTABLES'} <= below, module.name
    folders = {path.name for path in (PACKAGE / 'nodes').iterdir() if path.is_dir()}
    assert folders - {'__pycache__'} == set(ROOMS)


def test_only_nodes_import_ros():
    users = {part_of(module) for module in MODULES
             if any(map(is_ros, libraries_used(module.read_text())))}  # fmt: skip
    assert users <= {'nodes'}


def test_only_sim_and_envs_import_mujoco():
    users = {part_of(module) for module in MODULES
             if MUJOCO & libraries_used(module.read_text())}  # fmt: skip
    assert users <= {'sim', 'envs'}
    assert 'sim' in users


IMPORT_WITHOUT = """
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        library = name.partition('.')[0]
        if library in {libraries!r} or library.endswith({suffixes!r}):
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Missing())
for part in {parts!r}:
    package = importlib.import_module(f'mbmrl_ros.{{part}}')
    folders = getattr(package, '__path__', [])
    for module in pkgutil.walk_packages(folders, f'{{package.__name__}}.'):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_robot_planners_algorithms_and_cli_import_without_ros_and_mujoco():
    script = IMPORT_WITHOUT.format(
        libraries=ROS | MUJOCO,
        suffixes=ROS_SUFFIXES,
        parts=['robot', 'planners', 'algorithms', 'cli'],
    )
    run = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert {'mbmrl_ros.robot.controller', 'mbmrl_ros.planners.mppi'} <= set(run.stdout.split())
