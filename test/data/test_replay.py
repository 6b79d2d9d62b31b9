# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The replay buffer: the newest transitions, and where episodes began."""

import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.buffers import ReplayBuffer

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.replay import replay


def trajectory(start: float, steps: int) -> Trajectory:
    states = start + torch.arange(steps + 1.0)[:, None]
    return Trajectory(states, torch.zeros(steps, 1), torch.full((steps,), -1))


GROUPS = [[trajectory(0.0, 4), trajectory(100.0, 3)], [trajectory(200.0, 5)]]


def test_the_oldest_transitions_leave_first_and_first_states_stay():
    whole, newest = replay(GROUPS, 100), replay(GROUPS, 6)
    assert len(whole.time) == 12 and len(newest.time) == 6
    assert newest.transitions.states[:, 0].tolist() == [102.0, 200.0, 201.0, 202.0, 203.0, 204.0]
    assert newest.time.tolist() == [2, 0, 1, 2, 3, 4] and newest.source.tolist() == [0] + [1] * 5
    assert newest.first_states[:, 0].tolist() == [0.0, 100.0, 200.0]
    following = newest.transitions.next_states - newest.transitions.states
    assert torch.equal(following, torch.ones(6, 1))


class Watched(Trajectory):
    """Says when its steps are copied."""

    copied = 0

    def transitions(self):
        Watched.copied += self.steps
        return super().transitions()


def test_what_is_copied_does_not_grow_with_the_length_of_a_training():
    groups = [[Watched(*vars(trajectory(float(i), 5)).values())] for i in range(400)]
    groups[-2] = []  # one that has not come
    whole = replay(groups, 10_000)
    assert Watched.copied == 399 * 5
    for size, copied in ((1, 5), (5, 5), (6, 10), (98, 100)):
        Watched.copied = 0
        newest = replay(groups, size)
        assert Watched.copied == copied
        for found, all_of_them in (
            *zip(newest.transitions, whole.transitions),
            (newest.time, whole.time),
            (newest.source, whole.source),
        ):
            assert torch.equal(found, all_of_them[-size:])
        assert torch.equal(newest.first_states, whole.first_states)


def test_starts_keep_their_time_and_come_in_the_share_that_is_asked_for():
    generator = torch.Generator().manual_seed(0)
    states, time = replay(GROUPS, 100).starts(0.5)(generator, 4000)
    assert torch.equal(states[:, 0] % 100, time.float())
    # Of states of the buffer three in twelve are first ones.
    assert abs(float((time == 0).float().mean()) - (0.5 + 0.5 * 0.25)) < 0.03


def test_what_is_kept_is_what_stable_baselines3_keeps():
    spaces = Box(-1e9, 1e9, (1,)), Box(-1, 1, (1,))
    theirs = ReplayBuffer(7, *spaces, handle_timeout_termination=False)
    for group in GROUPS:
        for each in group:
            for state, action, after in zip(*each.transitions()):
                added = (part.numpy() for part in (state, after, action))
                theirs.add(*added, np.zeros(1), np.zeros(1), [{}])
    # Theirs is a ring: the oldest is where the next one would go.
    order = np.roll(np.arange(7), -theirs.pos)
    ours = replay(GROUPS, 7).transitions
    assert np.array_equal(theirs.observations[order, 0], ours.states)
    assert np.array_equal(theirs.next_observations[order, 0], ours.next_states)
