# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories: which are held out, and the files they live in."""

import errno
import itertools
import os

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.data import dataset
from mbmrl_ros.data.dataset import (
    Trajectory,
    all_transitions,
    load_trajectories,
    pad_and_stack,
    save_trajectories,
    split,
    split_long,
)


def trajectory(steps: int, seed: int = 0) -> Trajectory:
    generator = torch.Generator().manual_seed(seed)
    return Trajectory(
        torch.randn(steps + 1, 3, generator=generator),
        torch.rand(steps, 2, generator=generator) * 2 - 1,
        torch.randint(-1, 6, (steps,), generator=generator),
    )


def test_transitions_connect_each_state_with_the_next():
    one = trajectory(7)
    transitions = one.transitions()
    assert one.steps == 7
    for step in range(7):
        assert torch.equal(transitions.states[step], one.states[step])
        assert torch.equal(transitions.actions[step], one.actions[step])
        assert torch.equal(transitions.next_states[step], one.states[step + 1])


def test_joined_transitions_never_connect_two_trajectories():
    parts = [trajectory(3, 1), trajectory(0, 2), trajectory(5, 3)]
    joined = all_transitions(parts)
    assert joined.states.shape == (8, 3)
    expected = [part.transitions().next_states for part in parts]
    assert torch.equal(joined.next_states, torch.cat(expected))


@pytest.mark.parametrize(('share', 'every'), [(0.5, 2), (0.25, 4), (0.1, 10), (0.3, 3), (0.49, 2)])
def test_every_nth_trajectory_is_held_out(share, every):
    trajectories = [trajectory(1, seed) for seed in range(40)]
    training, held_out = split(trajectories, share)
    places = {id(t): place for place, t in enumerate(trajectories)}
    assert [places[id(t)] for t in held_out] == list(range(every - 1, 40, every))
    assert sorted(places[id(t)] for t in training + held_out) == list(range(40))


def test_sequences_of_any_length_lie_side_by_side():
    stacked = pad_and_stack([torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0]])])
    assert stacked[..., 0].tolist() == [[1, 2, 3], [4, 4, 4]]


def test_what_was_held_out_stays_held_out_as_data_grows():
    trajectories = [trajectory(1, seed) for seed in range(50)]
    held_out_before: set[int] = set()
    for count in range(51):
        training, held_out = split(trajectories[:count], 0.1)
        assert held_out_before <= {id(t) for t in held_out}
        assert not held_out_before & {id(t) for t in training}
        held_out_before = {id(t) for t in held_out}
    assert len(held_out_before) == 5


def test_files_bring_back_what_was_saved_in_order(tmp_path):
    saved = [trajectory(4, 1), trajectory(0, 2), *(trajectory(2, seed) for seed in range(3, 13))]
    path = tmp_path / '0001.safetensors'
    save_trajectories(path, saved)
    loaded = load_trajectories(path)
    assert len(loaded) == 12
    for before, after in zip(saved, loaded):
        for name, value in vars(before).items():
            assert torch.equal(getattr(after, name), value)
            assert getattr(after, name).dtype == value.dtype
    assert [file.name for file in tmp_path.iterdir()] == ['0001.safetensors']


def test_views_of_larger_tensors_can_be_saved(tmp_path):
    whole = trajectory(10)
    piece = Trajectory(whole.states[2:6], whole.actions[2:5], whole.disturbance[2:5])
    save_trajectories(tmp_path / 'a.safetensors', [piece])
    assert torch.equal(load_trajectories(tmp_path / 'a.safetensors')[0].states, whole.states[2:6])


@pytest.mark.parametrize('kind', ['missing', 'empty', 'cut', 'text', 'no_actions', 'folder'])
def test_a_damaged_file_is_refused_by_name(tmp_path, kind):
    path = tmp_path / '0001.safetensors'
    save_trajectories(path, [trajectory(4)])
    content = path.read_bytes()
    if kind in ('missing', 'folder'):
        path.unlink()
    if kind == 'folder':
        path.mkdir()
    if kind == 'no_actions':
        path.write_bytes(content.replace(b'/actions', b'/actoins'))
    elif kind in ('empty', 'cut', 'text'):
        path.write_bytes({'empty': b'', 'cut': content[:-5], 'text': b'states'}[kind])
    with pytest.raises(UserError, match='not a readable file of trajectories') as caught:
        load_trajectories(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('moment', ['write', 'rename'])
def test_a_full_disk_leaves_the_old_file_and_no_half_a_new_one(tmp_path, monkeypatch, moment):
    path = tmp_path / '0001.safetensors'
    save_trajectories(path, [trajectory(4)])
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half(tensors, target):
        target.write_bytes(b'half')
        full()

    if moment == 'write':
        monkeypatch.setattr(dataset, 'save_file', half)
    else:
        monkeypatch.setattr('os.replace', full)
    with pytest.raises(UserError, match='No space left on device; free some space') as caught:
        save_trajectories(path, [trajectory(9)])
    assert '\n' not in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['0001.safetensors']


def test_a_folder_that_does_not_exist_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match='cannot write'):
        save_trajectories(tmp_path / 'none' / '0001.safetensors', [trajectory(2)])


def test_the_longest_are_cut_up_until_there_are_enough_and_nothing_is_lost():
    states = torch.arange(52.0)[:, None]
    whole = Trajectory(states, states[:-1], torch.full((51,), -1))
    short = Trajectory(states[:6], states[:5], torch.full((5,), -1))
    pieces = split_long([whole, short], 4, shortest=10)
    assert [piece.steps for piece in pieces] == [17, 17, 17, 5]
    assert torch.equal(torch.cat([piece.actions for piece in pieces[:3]]), whole.actions)
    for one, two in itertools.pairwise(pieces[:3]):
        assert torch.equal(one.states[-1], two.states[0]), 'the next one begins where it ends'
    assert split_long([whole, short], 2, shortest=10) == [whole, short]
    assert [piece.steps for piece in split_long([whole], 9, shortest=20)] == [25, 26]
    assert split_long([], 3, shortest=1) == []
