# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl bench`: numbers on the screen and in a file, one line and exit code 2 otherwise."""

import json
import sys

import pytest
import torch

from mbmrl_ros.cli.bench import rounded
from mbmrl_ros.cli.main import main

TINY = {
    'tick': ['--candidates', '10', '--horizon', '2', '--width', '8', '--window', '4'],
    'meta': ['--tasks', '2', '--past', '3', '--future', '3', '--width', '8'],
    'sim': ['--robots', 'half_cheetah', '--environments', '2', '--steps', '3'],
}
QUICK = ['--repetitions', '1', '--threads', '1']
PROMISED = {
    'tick': 'candidates horizon precision adapt_ms plan_ms tick_ms limit_ms limit_ratio '
    'pytorch_mppi_ms speedup threads repetitions state_size action_size window device torch '
    'processor',
    'meta': 'step_ms autograd_loop_ms vmap_ms speedup_loop speedup_vmap max_relative_difference',
    'sim': 'robots threads',
}


@pytest.mark.parametrize('what', ['tick', 'meta', 'sim'])
def test_the_file_holds_what_is_printed(what, tmp_path, capsys):
    file = tmp_path / 'numbers.json'
    assert main(['bench', what, *TINY[what], *QUICK, '--json', str(file)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads(file.read_text()) == printed
    assert set(PROMISED[what].split()) <= set(printed)
    assert printed['threads'] == 1
    assert [path.name for path in tmp_path.iterdir()] == ['numbers.json']


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ([], 'required: what'),
        (['ticks'], "invalid choice 'ticks'; did you mean 'tick'?"),
        (['tick', '--candidates', '0'], 'at least 1'),
        (['tick', '--candidates', '1'], 'candidates: '),
        (['tick', '--precision', 'half'], "unknown precision 'half'"),
        (['tick', '--device', 'tpu'], "unknown device 'tpu'"),
        (['meta', '--device', 'tpu'], "unknown device 'tpu'"),
        (['meta', '--tasks', 'many'], "got 'many'"),
        (['meta', '--candidates', '5'], 'unrecognized arguments'),
        (['sim', '--robots', 'dog'], "no robot 'dog'"),
        (['tick', '--json', 'nowhere/numbers.json'], 'there is no folder nowhere'),
    ],
)
def test_wrong_input_gets_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['bench', *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith('mbmrl: ') and said in lines[0]
    assert not list(tmp_path.iterdir())


def test_without_gymnasium_sim_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'gymnasium', None)
    assert main(['bench', 'sim', *TINY['sim'], *QUICK]) == 2
    assert "pip install 'gymnasium>=1.0'" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
@pytest.mark.parametrize('what', ['tick', 'meta'])
def test_without_a_gpu_it_says_so_and_measures_the_processor(what, capsys):
    assert main(['bench', what, *TINY[what], *QUICK, '--device', 'cuda']) == 0
    said = capsys.readouterr()
    first, *progress = said.err.splitlines()
    assert first == 'mbmrl: no CUDA device was found: computing on the CPU'
    # Without a terminal too: minutes without a word look like a fault.
    assert any(f'bench: {what}' in line for line in progress)
    assert json.loads(said.out)['device'] == 'cpu'


def test_a_missing_peer_is_named_beside_the_numbers(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'pytorch_mppi', None)
    assert main(['bench', 'tick', *TINY['tick'], *QUICK]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)['pytorch_mppi_ms'] is None
    assert "pip install 'pytorch_mppi>=0.8'" in said.err


def test_numbers_are_rounded_to_five_digits_at_every_depth():
    value = {'a': 1234.5678, 'b': {'c': 1.23456789e-7, 'd': [1, 2]}, 'e': None, 'f': True}
    expected = {'a': 1234.6, 'b': {'c': 1.2346e-7, 'd': [1, 2]}, 'e': None, 'f': True}
    assert rounded(value) == expected
