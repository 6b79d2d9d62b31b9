# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy search that begins with recordings: counted apart, bit for bit, of the same robot."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.api.training import RunPlan, run_training
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory, all_transitions, cut_long
from mbmrl_ros.data.recordings import Manifest, Session, SessionAccount, save_recordings, total
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.reports.run import read_metrics
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.search.recorded_env import random_actions
from mbmrl_ros.training.search.recorded_start import recorded_episodes
from mbmrl_ros.training.search.stages import Search

TASK = replace(load_meta_task('half_cheetah/thesis'), horizon=6)
CONFIG = ALGORITHMS['me_ppo'].Config(
    iterations=2, members=2, model_hidden_sizes=(8,), hidden_sizes=(8,), epochs=2, batch_size=8,
    real_rollouts=2, updates=1, imagined_rollouts=4,
)  # fmt: skip


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Return a dataset of the robot of the task: 3 recordings of 16 steps."""
    search = Search(replace(TASK, horizon=16), CONFIG.model_copy(update={'real_rollouts': 3}), 9)
    drawn = torch.Generator().manual_seed(9)
    episodes = search.env.roll_out(random_actions(search.env, drawn), drawn)
    spec, folder = load_robot(TASK.robot), tmp_path_factory.mktemp('data') / 'set'
    account = SessionAccount(
        name='a', seconds=1.0, kept_s=1.0, dropped_s={}, trajectories=3, transitions=48,
        messages={}, refused={}, damage='',
    )  # fmt: skip
    manifest = Manifest(
        robot=spec.name, robot_hash=spec.hash, period_s=spec.period_s, shortest_steps=1,
        total=total([account]), sessions=(account,), unreadable={}, reasons={},
    )  # fmt: skip
    save_recordings(folder, manifest, [Session('a', episodes)])
    return folder


def search(folder, data, **changes):
    config = CONFIG.model_copy(update=changes)
    run_training(ALGORITHMS['me_ppo'], TASK, config, RunPlan(folder, data=data))
    return (folder / 'checkpoint.safetensors').read_bytes()


def test_it_goes_on_bit_for_bit_and_counts_recordings_apart(data, tmp_path):
    whole = search(tmp_path / 'whole', data)
    search(tmp_path / 'killed', data, iterations=1)
    assert search(tmp_path / 'killed', data) == whole
    # Killed before its first iteration was done: what it had collected is as good as anew.
    early = tmp_path / 'early'
    (early / 'data').mkdir(parents=True)
    for name in ('0000', '0001'):
        file = f'data/{name}.safetensors'
        (early / file).write_bytes((tmp_path / 'whole' / file).read_bytes())
    assert search(early, data) == whole
    metrics = read_metrics(tmp_path / 'whole')
    assert metrics['environment_steps'].tolist() == [12, 24]
    assert metrics['recorded_steps'].tolist() == [48, 48]
    # What is learned from them collects, where without them actions would be random.
    search(tmp_path / 'without', None, iterations=1)
    assert 'recorded_steps' not in read_metrics(tmp_path / 'without')
    first = [(tmp_path / each / 'data/0001.safetensors').read_bytes()
             for each in ('whole', 'without')]  # fmt: skip
    assert first[0] != first[1]


def test_a_run_without_recordings_does_not_go_on_with_them(data, tmp_path):
    search(tmp_path, None, iterations=1)
    with pytest.raises(UserError, match='other settings'):
        search(tmp_path, data)


@pytest.mark.parametrize(
    ('task', 'said'),
    [
        (load_meta_task('point/origin'), 'point/origin is of no robot'),
        (load_meta_task('swimmer/thesis'), 'is of robot half_cheetah_20hz, and the task of swim'),
        (replace(TASK, robot='half_cheetah_other.yaml'), 'other channels, period or limits'),
    ],
)
def test_recordings_of_another_robot_are_refused_before_anything_is_written(
    task, said, data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'half_cheetah_other.yaml').write_text(
        'extends: half_cheetah_20hz.yaml\naction: {lower: [-110, -90, -60, -120, -60, -30]}\n'
    )
    plan = RunPlan(tmp_path / 'run', data=data)
    with pytest.raises(UserError, match=said):
        run_training(ALGORITHMS['me_ppo'], task, CONFIG, plan)
    assert not (tmp_path / 'run').exists()


def test_long_recordings_become_episodes_without_losing_a_step(data):
    pieces = recorded_episodes(data, TASK, None)
    # 16 steps in equal parts of at most 6.
    assert [piece.steps for piece in pieces] == [5, 5, 6] * 3
    states = torch.arange(18.0)[:, None]
    long = Trajectory(states, torch.zeros(17, 1), torch.zeros(17))
    whole, parts = all_transitions([long]), all_transitions(cut_long([long], 4))
    assert all(torch.equal(a, b) for a, b in zip(whole, parts))
