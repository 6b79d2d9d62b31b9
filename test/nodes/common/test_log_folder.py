# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A log that ROS cannot write is named, with what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.log_folder import log_folder, log_folder_fault

NODE = 'import sys; from mbmrl_ros.cli.entry import sim_node; sys.exit(sim_node())'


@pytest.fixture
def environment(monkeypatch):
    """Set the variables that ROS looks at; those that are not given are not there."""

    def use(**variables):
        for name in ('ROS_LOG_DIR', 'ROS_HOME', 'HOME'):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.mark.parametrize(
    ('variables', 'folder'),
    [
        ({'HOME': '/home/a'}, '/home/a/.ros/log'),
        ({'HOME': '/home/a', 'ROS_LOG_DIR': ''}, '/home/a/.ros/log'),
        ({'HOME': '/home/a', 'ROS_HOME': '/data'}, '/data/log'),
        ({'HOME': '/home/a', 'ROS_LOG_DIR': '~/logs', 'ROS_HOME': '/data'}, '/home/a/logs'),
        ({'ROS_LOG_DIR': '/logs'}, '/logs'),
    ],
)
def test_the_folder_is_the_one_of_rcl(environment, variables, folder):
    environment(**variables)
    assert log_folder() == Path(folder)


@pytest.mark.parametrize('variables', [{}, {'HOME': ''}, {'ROS_LOG_DIR': '~/logs'}])
def test_without_home_there_is_none(environment, variables):
    environment(**variables)
    with pytest.raises(UserError, match='HOME is not set'):
        log_folder()


@pytest.mark.parametrize('name', ['ROS_LOG_DIR', 'ROS_HOME', 'HOME'])
def test_one_that_cannot_be_written_is_named_with_the_remedy(environment, tmp_path, name):
    (tmp_path / 'file').touch()
    environment(**{name: str(tmp_path / 'file')})
    said = log_folder_fault()
    assert str(tmp_path / 'file') in said and 'set ROS_LOG_DIR to a folder' in said
    environment(ROS_LOG_DIR=str(tmp_path / 'new'))
    assert log_folder_fault() == ''
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_a_node_without_a_home_says_so_in_one_line(tmp_path):
    variables = {k: v for k, v in os.environ.items() if k not in ('HOME', 'ROS_LOG_DIR')}
    command = [sys.executable, '-c', NODE]
    result = subprocess.run(
        command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    said = 'HOME is not set; set ROS_LOG_DIR to a folder that can be written'
    assert result.stderr.startswith('sim_node: ROS writes a log') and said in result.stderr
    assert len(result.stderr.splitlines()) == 1
