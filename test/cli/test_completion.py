# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the shell is told when a user presses Tab."""

import os
import subprocess
import sys

import pytest


def completed(line: str) -> set[str]:
    """Ask as a shell does: by the environment, answered on file descriptor 8."""
    environment = os.environ | {
        '_ARGCOMPLETE': '1',
        '_ARGCOMPLETE_SHELL': 'bash',
        '_ARGCOMPLETE_SUPPRESS_SPACE': '1',
        'COMP_LINE': line,
        'COMP_POINT': str(len(line)),
        'COMP_TYPE': '9',
        '_ARGCOMPLETE_IFS': '\n',
    }
    command = f'exec {sys.executable} -m mbmrl_ros.cli.main 8>&1 9>/dev/null >/dev/null'
    done = subprocess.run(
        ['bash', '-c', command], env=environment, capture_output=True, text=True, check=False
    )
    return {word.strip() for word in done.stdout.split('\n') if word.strip()}


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('mbmrl ev', {'evaluate'}),
        ('mbmrl train re', {'rebal'}),
        ('mbmrl train mb --task pr2', {
            'pr2_left_arm/reach', 'pr2_left_arm/shape_matching', 'pr2_left_arm/block_stacking',
            'pr2_left_arm/thesis', 'pr2_left_arm/reach_undisturbed',
            'pr2_left_arm/shape_matching_undisturbed', 'pr2_left_arm/block_stacking_undisturbed',
        }),
        ('mbmrl demo --robot mil', {'millirobot'}),
        ('mbmrl evaluate --bundle half_cheetah/disabled_joint/g', {
            'half_cheetah/disabled_joint/grbal',
        }),
    ],
)  # fmt: skip
def test_commands_options_and_names_are_completed(line, expected):
    assert completed(line) == expected
