# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`import mbmrl_ros as mb`: what it offers, that it costs nothing, and that its page is true."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import mbmrl_ros as mb

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'python.md'


def test_the_import_takes_neither_torch_nor_mujoco_nor_numpy():
    script = (
        'import sys, mbmrl_ros\n'
        'dir(mbmrl_ros), mbmrl_ros.UserError, mbmrl_ros.__version__\n'
        "print([name for name in ('torch', 'mujoco', 'numpy', 'pydantic') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert said.stdout == '[]\n', said.stderr


def test_every_name_is_there_has_a_docstring_and_stands_on_the_page():
    assert len(mb.__all__) < 12 and set(mb.__all__) <= set(dir(mb))
    page = PAGE.read_text()
    for name in mb.__all__:
        assert getattr(mb, name).__doc__
        assert f'`{name}' in page, name
    with pytest.raises(AttributeError, match='no attribute'):
        mb.nothing  # noqa: B018


def test_what_the_page_says_runs(tmp_path):
    blocks = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    known = {'OUT': tmp_path / 'run'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for block in blocks:
            exec(block, known)
    assert known['planned'].states.shape[0] == known['planned'].actions.shape[0] + 1
    assert known['adapted'].loss_before > 0 and known['rewards'].shape == (64,)
    assert (known['bundle'] / 'bundle.json').exists() and known['agent'].window == 8
