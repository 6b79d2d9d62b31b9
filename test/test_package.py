# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package as others get it: its papers in order, and whole after an installation."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import mbmrl_ros
from mbmrl_ros import config

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
EXECUTABLES = {
    'mbmrl', 'sim_node', 'controller_node', 'command_gate', 'recorder_node', 'player_node',
    'trainer_node', 'collector_node', 'model_learner_node', 'policy_learner_node',
}  # fmt: skip


def setup_arguments() -> dict[str, ast.expr]:
    """Return the keyword arguments of the call of setup() in setup.py."""
    for node in ast.walk(ast.parse((ROOT / 'setup.py').read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'setup':
            return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    raise AssertionError('setup.py calls setup()')


def requirements() -> dict[str, list[str]]:
    """Return the requirements in setup.py by extra; '' has those of every installation."""
    arguments = setup_arguments()
    extras = ast.literal_eval(arguments['extras_require'])
    return {'': ast.literal_eval(arguments['install_requires']), **extras}


def ros_packages_imported() -> set[str]:
    """Return the ROS packages that the package's own files import."""
    text = '\n'.join(path.read_text() for path in (ROOT / 'mbmrl_ros').rglob('*.py'))
    found = re.findall(r'^\s*(?:from|import) (rclpy|\w+_(?:msgs|srvs|interfaces))\b', text, re.M)
    return set(found)


def files_under(folder: Path) -> set[str]:
    """Return the paths of all files below folder, those that Python compiled left out."""
    files = {path for path in folder.rglob('*') if path.is_file() and path.suffix != '.pyc'}
    return {str(path.relative_to(folder)) for path in files}


def test_package_xml_is_format_3_and_ament_python():
    assert MANIFEST.tag == 'package' and MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('export/build_type') == 'ament_python'
    assert MANIFEST.findtext('license') == 'Apache-2.0'
    # colcon takes a package whose address it cannot read for a plain Python package.
    assert re.fullmatch(r'[\w.-]+@[\w-]+(\.[\w-]+)*\.[a-z]{2,}',
                        MANIFEST.find('maintainer').get('email'))  # fmt: skip


def test_name_and_version_are_the_same_everywhere():
    arguments = setup_arguments()
    versions = {
        MANIFEST.findtext('version'),
        ast.literal_eval(arguments['version']),
        mbmrl_ros.__version__,
    }
    assert len(versions) == 1
    assert MANIFEST.findtext('name') == config.PACKAGE == mbmrl_ros.__name__
    changelog = (ROOT / 'CHANGELOG.rst').read_text()
    assert re.search(rf'^(Forthcoming|{re.escape(versions.pop())} \(.*\))\n-+$', changelog, re.M)


def test_every_ros_package_that_is_imported_is_required_by_package_xml_and_by_the_extra():
    imported = ros_packages_imported()
    assert 'rclpy' in imported
    depends = {element.text for element in MANIFEST.findall('exec_depend')}
    assert imported | {'launch', 'launch_ros'} <= depends
    wheels = {re.split(r'[\[<>=]', wheel)[0] for wheel in requirements()['ros']}
    assert {f'ros-{name.replace("_", "-")}' for name in imported} <= wheels


def test_no_python_requirement_names_launch():
    # On the index that name belongs to a project that has nothing to do with ROS.
    names = {re.split(r'[\[<>= ]', text)[0] for texts in requirements().values() for text in texts}
    assert names.isdisjoint({'launch', 'launch_ros', 'launch-ros'})


def test_every_python_requirement_with_a_rosdep_key_is_in_package_xml():
    depends = ' '.join(element.text or '' for element in MANIFEST.findall('exec_depend'))
    without_key = {'mcap', 'safetensors', 'zstandard'}
    for text in [*requirements()[''], *requirements()['sim']]:
        name = re.split(r'[<>=]', text)[0].replace('pyyaml', 'yaml')
        assert name in without_key or f'python3-{name}' in depends


def test_executables_lie_where_ros2_run_looks_and_on_the_path(installation):
    prefix = installation.prefix
    assert {path.name for path in (prefix / 'lib' / 'mbmrl_ros').iterdir()} == EXECUTABLES
    for folder in ('lib/mbmrl_ros', 'bin'):
        for name in EXECUTABLES:
            assert os.access(prefix / folder / name, os.X_OK), f'{folder}/{name}'


def test_data_files_are_installed_with_their_folders(installation):
    share = installation.prefix / 'share' / 'mbmrl_ros'
    for folder in ('config', 'bundles', 'launch'):
        assert files_under(share / folder) == files_under(ROOT / folder)
    assert (share / 'package.xml').is_file()
    marker = 'share/ament_index/resource_index/packages/mbmrl_ros'
    assert (installation.prefix / marker).is_file()


def test_the_modules_are_installed_with_their_types_and_without_the_tests(installation):
    modules = files_under(ROOT / 'mbmrl_ros')
    assert files_under(installation.library / 'mbmrl_ros') == modules
    assert 'py.typed' in modules
    others = {path.name for path in installation.library.iterdir()} - {'mbmrl_ros'}
    assert all(name.endswith('.dist-info') for name in others)


@pytest.mark.parametrize('by', ['pip', 'ament'])
def test_the_installed_package_finds_its_own_share_directory(installation, tmp_path, by):
    script = 'import mbmrl_ros.config as c; print(c.__file__); print(c.share_directory())'
    ament_prefixes = str(installation.prefix) if by == 'ament' else ''
    command = [sys.executable, '-c', script]
    output = installation.run(*command, cwd=tmp_path, AMENT_PREFIX_PATH=ament_prefixes)
    module, share = output.split()
    assert Path(module) == installation.library / 'mbmrl_ros' / 'config.py'
    assert Path(share) == installation.prefix / 'share' / 'mbmrl_ros'


@pytest.mark.parametrize('folder', ['lib/mbmrl_ros', 'bin'])
def test_the_installed_command_lists_the_installed_robots(installation, tmp_path, folder):
    command = installation.prefix / folder / 'mbmrl'
    assert 'half_cheetah' in installation.run(sys.executable, command, 'robots', cwd=tmp_path)


def test_colcon_builds_it_as_an_ament_package(tmp_path):
    pytest.importorskip('colcon_ros', reason='colcon is not in this environment')
    folders = ['--build-base', tmp_path / 'build', '--install-base', tmp_path / 'install']
    command = [sys.executable, '-m', 'colcon', 'build', '--base-paths', ROOT, *folders]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    package = tmp_path / 'install' / 'mbmrl_ros'
    assert {path.name for path in (package / 'lib' / 'mbmrl_ros').iterdir()} == EXECUTABLES
    assert files_under(package / 'share/mbmrl_ros/config') == files_under(ROOT / 'config')
    assert (package / 'share/ament_index/resource_index/packages/mbmrl_ros').is_file()
