# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The run folder: what is in it, whose it is, and what a full disk does to it."""

import csv
import errno
import os
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch
import yaml
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter

from mbmrl_ros.config import Config, UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models import device
from mbmrl_ros.training import run as runs
from mbmrl_ros.training.run import Run, optimiser_tensors, restore_optimiser, write_text
from mbmrl_ros.training.tensorboard import flat

Precision = Literal['auto', 'float32', 'bfloat16']


class Settings(Config):
    renamed: ClassVar[dict[str, str]] = {'passes': 'epochs'}

    iterations: int = 10
    epochs: int = 3
    rate: float = 0.1
    decay: float = 0.5
    precision: Precision = 'float32'
    fit_precision: Precision = 'float32'


CONFIG, IDENTITY = Settings(), {'algorithm': 'grbal', 'seed': 0}


def trajectory(seed: int) -> Trajectory:
    generator = torch.Generator().manual_seed(seed)
    states, actions = torch.randn(5, 3, generator=generator), torch.rand(4, 2, generator=generator)
    return Trajectory(states, actions, torch.full((4,), -1))


def full_disk(*arguments: object, **keywords: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / 'run', CONFIG, IDENTITY)


def rows(run: Run) -> list[dict[str, str]]:
    with (run.folder / 'metrics.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def test_a_new_run_has_done_nothing(run):
    assert run.load() == (0, {}, [])
    assert not run.has_data(1)


def test_a_checkpoint_and_the_data_up_to_it_come_back(run):
    for iteration in (1, 2, 3):
        run.save_data(iteration, [trajectory(iteration), trajectory(10 + iteration)])
        if iteration < 3:
            run.save_checkpoint(iteration, {'params/w': torch.tensor([float(iteration)])})
    done, tensors, data = Run(run.folder, CONFIG, IDENTITY).load()
    assert done == 2
    assert {name: value.tolist() for name, value in tensors.items()} == {'params/w': [2.0]}
    assert len(data) == 2, 'iteration 3 had not finished'
    assert torch.equal(data[1][1].states, trajectory(12).states)
    assert run.has_data(3)
    assert torch.equal(run.load_data(3)[0].states, trajectory(3).states)


def test_a_run_may_go_on_for_more_iterations(run):
    again = Run(run.folder, Settings(iterations=99), IDENTITY)
    assert yaml.safe_load((run.folder / 'config.yaml').read_text())['iterations'] == 99
    assert again.load()[0] == run.load()[0]


def test_a_run_of_an_older_version_goes_on(run):
    # It did not know the decay, called the epochs otherwise, and named another algorithm's keys.
    before = {'iterations': 10, 'passes': 3, 'rate': 0.1, 'inner_steps': 1}
    path = run.folder / 'config.yaml'
    path.write_text(yaml.safe_dump(before))
    Run(run.folder, CONFIG, IDENTITY)
    path.write_text(yaml.safe_dump(before))
    with pytest.raises(UserError, match=r'decay: 0.5 there, 0.7 here'):
        Run(run.folder, Settings(decay=0.7), IDENTITY)
    path.write_text(yaml.safe_dump(before | {'passes': 4}))
    with pytest.raises(UserError, match=r'epochs: 4 there, 3 here'):
        Run(run.folder, CONFIG, IDENTITY)
    path.write_text(yaml.safe_dump(before | {'rate': 'fast'}))
    with pytest.raises(UserError, match='it cannot be read'):
        Run(run.folder, CONFIG, IDENTITY)


def test_a_precision_that_is_chosen_by_itself_may_have_been_either(tmp_path):
    for there in ('float32', 'bfloat16', 'auto'):
        folder = tmp_path / there
        Run(folder, Settings(fit_precision=there), IDENTITY)
        before = (folder / 'config.yaml').read_bytes()
        Run(folder, Settings(fit_precision='auto'), IDENTITY)
        assert (folder / 'config.yaml').read_bytes() == before
        Run(folder, Settings(fit_precision=there), IDENTITY)
        # What is asked for by name is that, and nothing else is chosen by itself.
        other = {'bfloat16': 'float32'}.get(there, 'bfloat16')
        with pytest.raises(UserError, match=f"fit_precision: '{there}' there"):
            Run(folder, Settings(fit_precision=other), IDENTITY)


def test_what_was_chosen_by_itself_is_written_down_and_kept_on_another_machine(
    tmp_path, monkeypatch
):
    settings = Settings(precision='auto')

    def chosen(features):
        monkeypatch.setattr(device, 'cpu_features', lambda: frozenset(features))
        return Run(tmp_path, settings, IDENTITY).precisions()

    began = chosen({'amx_bf16'})
    assert began == {'precision': 'bfloat16', 'fit_precision': 'float32'}
    assert chosen({'avx2'}) == began
    assert yaml.safe_load((tmp_path / 'config.yaml').read_text()) == settings.model_dump() | began


def test_a_folder_with_other_settings_is_refused_and_left_alone(run):
    before = {path: path.read_bytes() for path in run.folder.glob('*.*')}
    for config, identity in (
        (Settings(epochs=4), IDENTITY),
        (CONFIG, IDENTITY | {'seed': 1}),
        (CONFIG, IDENTITY | {'algorithm': 'mb'}),
    ):
        with pytest.raises(UserError, match=r'other settings .*; choose another --out') as caught:
            Run(run.folder, config, identity)
        assert '\n' not in str(caught.value)
    assert {path: path.read_bytes() for path in run.folder.glob('*.*')} == before
    Run(run.folder, CONFIG, IDENTITY)


def test_a_place_that_cannot_be_a_folder_is_refused_in_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    for place in (tmp_path / 'file', tmp_path / 'file' / 'run'):
        with pytest.raises(UserError, match='cannot create the run folder'):
            Run(place, CONFIG, IDENTITY)


@pytest.mark.parametrize('content', [b'', b'text', None])
def test_a_damaged_checkpoint_is_refused_by_name(run, content):
    run.save_data(1, [trajectory(1)])
    run.save_checkpoint(1, {'params/w': torch.zeros(3)})
    path = run.folder / 'checkpoint.safetensors'
    path.write_bytes(path.read_bytes()[:-3] if content is None else content)
    with pytest.raises(UserError, match=r'checkpoint\.safetensors is damaged') as caught:
        run.load()
    assert '\n' not in str(caught.value)


def test_missing_data_is_refused_by_name(run):
    run.save_checkpoint(1, {'params/w': torch.zeros(3)})
    with pytest.raises(UserError, match=r'0001.safetensors is not a readable file'):
        run.load()


def test_metrics_have_a_row_per_iteration_and_the_newest_counts(run):
    run.log(1, {'loss': 0.5, 'steps': 100.0})
    run.log(2, {'loss': 0.25, 'steps': 200.0})
    run.log(2, {'loss': 0.125, 'steps': 200.0})
    assert rows(run) == [
        {'iteration': '1', 'loss': '0.5', 'steps': '100'},
        {'iteration': '2', 'loss': '0.125', 'steps': '200'},
    ]


def test_metrics_reach_tensorboard(run):
    run.log(1, {'loss': 0.5})
    run.log(2, {'loss': 0.25})
    events = EventAccumulator(str(run.folder / 'tensorboard'), purge_orphaned_data=False)
    events.Reload()
    # Files are read by name, which ends in a running number: the tenth comes before the ninth.
    found = sorted((event.step, event.value) for event in events.Scalars('loss'))
    assert found == [(1, 0.5), (2, 0.25)]


def test_tensorboard_has_the_settings_beside_the_metrics(run):
    run.log(1, {'loss': 0.5})
    events = EventAccumulator(str(run.folder / 'tensorboard'))
    events.Reload()
    content = events.summary_metadata['_hparams_/session_start_info'].plugin_data.content
    start = HParamsPluginData.FromString(content).session_start_info
    said = {
        name: value.string_value or value.number_value for name, value in start.hparams.items()
    }
    # Who it is, and what it was set to.
    assert said['algorithm'] == 'grbal' and said['rate'] == 0.1 and said['iterations'] == 10
    # No point of a curve comes from it.
    assert [(event.step, event.value) for event in events.Scalars('loss')] == [(1, 0.5)]


def test_settings_within_settings_get_one_name_each():
    settings = {'planner': {'kind': 'mppi', 'horizon': 8}, 'hidden_sizes': [64, 64], 'limit': None}
    assert dict(flat(settings)) == {
        'planner.kind': 'mppi', 'planner.horizon': 8, 'hidden_sizes': '[64, 64]', 'limit': 'None',
    }  # fmt: skip


def test_losses_that_are_not_finite_are_logged(run):
    run.log(1, {'loss': float('nan')})
    run.log(2, {'loss': 1.0})
    assert [row['loss'] for row in rows(run)] == ['nan', '1']


@pytest.mark.parametrize('moment', ['write', 'rename'])
def test_a_full_disk_keeps_the_old_checkpoint(run, monkeypatch, moment):
    run.save_data(1, [trajectory(1)])
    run.save_checkpoint(1, {'params/w': torch.ones(3)})

    def half(tensors, path):
        path.write_bytes(b'half')
        full_disk()

    if moment == 'write':
        monkeypatch.setattr(runs, 'save_file', half)
    else:
        monkeypatch.setattr('os.replace', full_disk)
    with pytest.raises(UserError, match='No space left on device; free some space') as caught:
        run.save_checkpoint(2, {'params/w': torch.zeros(3)})
    assert '\n' not in str(caught.value)
    done, tensors, _ = run.load()
    assert (done, tensors['params/w'].tolist()) == (1, [1.0, 1.0, 1.0])
    assert not list(run.folder.rglob('*.partial'))


def test_a_full_disk_keeps_the_old_metrics(run, monkeypatch):
    run.log(1, {'loss': 0.5})
    before = (run.folder / 'metrics.csv').read_bytes()
    monkeypatch.setattr('os.replace', full_disk)
    with pytest.raises(UserError, match='No space left on device'):
        run.log(2, {'loss': 0.25})
    assert (run.folder / 'metrics.csv').read_bytes() == before
    assert not list(run.folder.rglob('*.partial'))


def test_a_full_disk_under_tensorboard_is_said_in_one_line(run, monkeypatch):
    monkeypatch.setattr(SummaryWriter, 'add_scalar', full_disk)
    with pytest.raises(UserError, match='tensorboard: No space left on device; free some space'):
        run.log(1, {'loss': 0.5})


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / 'a.json'
    write_text(path, 'old')
    write_text(path, 'new')
    assert path.read_text() == 'new'
    monkeypatch.setattr('os.replace', full_disk)
    with pytest.raises(UserError, match='No space left'):
        write_text(path, 'newer')
    assert path.read_text() == 'new'
    assert [file.name for file in tmp_path.iterdir()] == ['a.json']


@pytest.mark.parametrize('place', ['none/a.json', 'file/a.json'])
def test_text_that_cannot_be_written_is_said_in_one_line(tmp_path, place):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write'):
        write_text(tmp_path / place, 'text')


def descend(optimiser: torch.optim.Optimizer, weight: torch.Tensor, steps: int) -> None:
    for _ in range(steps):
        optimiser.zero_grad()
        (weight**2).sum().backward()
        optimiser.step()


def test_an_optimiser_that_is_restored_goes_on_as_if_nothing_had_been(tmp_path):
    def make(value: torch.Tensor) -> tuple[torch.Tensor, torch.optim.Adam]:
        weight = value.clone().requires_grad_()
        return weight, torch.optim.Adam([weight], lr=0.1)

    start = torch.tensor([1.0, -2.0])
    whole, optimiser = make(start)
    descend(optimiser, whole, 7)
    first, optimiser = make(start)
    descend(optimiser, first, 3)
    run = Run(tmp_path / 'run', CONFIG, {})
    run.save_checkpoint(1, {'w': first} | optimiser_tensors(optimiser))
    run.save_data(1, [])
    _, tensors, _ = run.load()
    second, optimiser = make(tensors['w'])
    restore_optimiser(optimiser, tensors)
    descend(optimiser, second, 4)
    assert torch.equal(second, whole)


def test_an_optimiser_that_has_not_stepped_is_restored_as_it_was():
    weight = torch.ones(1, requires_grad=True)
    optimiser = torch.optim.Adam([weight])
    assert optimiser_tensors(optimiser) == {}
    restore_optimiser(optimiser, {})
    assert not optimiser.state


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('iteration,loss\n1,x\n', 'line 2 is not one of numbers'),
        ('iteration,loss\n1,2,3\n', 'line 2 is not one of numbers'),
        ('round,loss\n1,2\n', 'no column iteration'),
        ('iteration;loss\n1;2\n', 'no column iteration'),
    ],
)
def test_curves_that_are_no_numbers_are_told_of_in_one_line(tmp_path, text, said):
    path = tmp_path / 'metrics.csv'
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        runs.read_rows(path)


@pytest.mark.parametrize(
    ('tensors', 'said'),
    [
        ({'x': torch.zeros(1)}, 'tells no iteration'),
        ({'iteration': torch.zeros(2)}, 'tells no iteration'),
        ({'iteration': torch.tensor(-1)}, 'of iteration -1'),
    ],
)
def test_a_checkpoint_without_an_iteration_is_none(tmp_path, tensors, said):
    save_file(tensors, tmp_path / 'checkpoint.safetensors')
    with pytest.raises(UserError, match=said):
        runs.read_checkpoint(tmp_path)
