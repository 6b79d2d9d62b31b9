# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets of recordings: whole or not there, and refused by another robot."""

import json

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.data import recordings
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.recordings import (
    MANIFEST,
    Manifest,
    Session,
    SessionAccount,
    load_manifest,
    load_recordings,
    save_recordings,
    total,
)
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('millirobot')


def account(name: str, trajectories: int, **dropped_s: float) -> SessionAccount:
    return SessionAccount(
        name=name, messages={'pose': 9}, refused={}, damage='', seconds=10.0, kept_s=4.0,
        dropped_s=dropped_s, trajectories=trajectories, transitions=40 * trajectories,
    )  # fmt: skip


def dataset() -> tuple[Manifest, list[Session]]:
    accounts = (account('a', 2, gap=5.0, jump=1.0), account('b', 0, gap=6.0))
    manifest = Manifest(
        robot=SPEC.name, robot_hash=SPEC.hash, period_s=0.1, shortest_steps=1,
        total=total(accounts), sessions=accounts, unreadable={}, reasons={},
    )  # fmt: skip
    pieces = [
        Trajectory(torch.randn(n + 1, 24), torch.rand(n, 2), torch.full((n,), -1)) for n in (5, 7)
    ]
    return manifest, [Session('a', pieces), Session('b', [])]


def test_accounts_add_up():
    summed = dataset()[0].total
    assert summed.dropped_s == {'gap': 11.0, 'jump': 1.0}
    assert (summed.seconds, summed.kept_s, summed.trajectories) == (20.0, 8.0, 2)


def test_what_was_saved_comes_back_and_empty_sessions_are_left_out(tmp_path):
    manifest, sessions = dataset()
    save_recordings(tmp_path / 'data', manifest, sessions)
    assert load_manifest(tmp_path / 'data') == manifest
    (loaded,) = load_recordings(tmp_path / 'data', SPEC)
    assert loaded.name == 'a'
    for one, other in zip(loaded.trajectories, sessions[0].trajectories):
        assert torch.equal(one.states, other.states) and torch.equal(one.actions, other.actions)


def test_another_robot_refuses_it_and_the_message_says_what_to_do(tmp_path):
    save_recordings(tmp_path / 'data', *dataset())
    data = SPEC.model_dump()
    data['action']['upper'] = [700, 700]
    other = type(SPEC).model_validate(data)
    with pytest.raises(UserError, match='make it again with: mbmrl bag'):
        load_recordings(tmp_path / 'data', other)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(UserError, match='is not an empty folder'):
        save_recordings(tmp_path, *dataset())
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


def test_what_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(recordings, 'write_text', full)
    with pytest.raises(UserError, match='No space left'):
        save_recordings(tmp_path / 'data', *dataset())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('text', ['', '{', '[]', '{"format": 2}', '{"robot": 3}'])
def test_a_manifest_that_is_none_is_refused_in_one_line(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(UserError, match='is damaged or of another format') as caught:
        load_recordings(tmp_path, SPEC)
    assert '\n' not in str(caught.value)


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path):
    with pytest.raises(UserError, match='is no dataset of recordings'):
        load_manifest(tmp_path / 'nowhere')


def test_the_manifest_is_plain_json(tmp_path):
    save_recordings(tmp_path / 'data', *dataset())
    text = json.loads((tmp_path / 'data' / MANIFEST).read_text())
    assert text['total']['kept_s'] == 8.0 and text['sessions'][0]['name'] == 'a'
