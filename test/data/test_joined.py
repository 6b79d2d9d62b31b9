# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories that grow in number: what is joined is what there is, and is copied once."""

import pytest
import torch

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.joined import Joined, joined
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.training.dynamics.truncated_bptt import Episodes

PIECES, STEPS = 200, 20


def pieces(count, seed=0, longest=STEPS):
    """Return trajectories of 8 to `longest` steps, as a robot's are where periods are missed."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(8, longest + 1, (count,), generator=generator).tolist()
    return [
        Trajectory(
            torch.randn(steps + 1, 3, generator=generator),
            torch.randn(steps, 2, generator=generator),
            torch.full((steps,), -1),
        )
        for steps in lengths
    ]


def tensors_of(trajectories):
    """Return all that algorithms learn from."""
    windows, episodes = Windows.of(trajectories, 4, 3), Episodes.of(trajectories, 12)
    return [*list(vars(windows).values())[:3], *vars(episodes).values()]


def assert_same(grown, trajectories):
    for found, wanted in zip(tensors_of(grown), tensors_of(trajectories), strict=True):
        assert found.dtype == wanted.dtype and torch.equal(found, wanted)


def test_what_is_joined_piece_by_piece_is_what_there_is():
    whole, grown = pieces(30), Joined()
    for count in (1, 2, 3, 11, 12, 30, 30):
        assert_same(grown.become(whole[:count]), whole[:count])
        assert list(grown) == whole[:count]


@pytest.mark.parametrize(
    'other',
    [
        lambda known: known[:4] + pieces(1, seed=1) + known[4:],  # one that was late
        lambda known: known[:5],
        lambda known: pieces(3, seed=1),
        lambda known: [*known, *pieces(2, seed=1, longest=30)],
    ],
)
def test_other_trajectories_are_joined_anew(other):
    known = pieces(10)
    grown = Joined(known)
    tensors_of(grown)
    now = other(known)
    assert_same(grown.become(now), now)


def test_what_was_handed_out_stays_as_it_is_when_more_comes():
    known = pieces(40)
    grown = Joined(known[:9])
    before = tensors_of(grown)
    copies = [tensor.clone() for tensor in before]
    for count in range(10, 41):
        tensors_of(grown.become(known[:count]))
    assert all(torch.equal(*pair) for pair in zip(before, copies, strict=True))


def test_each_row_is_copied_a_bounded_number_of_times_however_often_there_is_more():
    known, grown = pieces(PIECES), Joined()
    anew = 0
    for count in range(1, PIECES + 1):
        tensors_of(grown.become(known[:count]))
        now = sum(tensor.nbytes for tensor in tensors_of(known[:count]))
        anew += now
    # Once when it comes, and memory that doubles moves it less than twice.
    assert now <= grown.copied <= 3 * now
    assert anew > 25 * grown.copied
    before = grown.copied
    tensors_of(grown.become(known))
    assert grown.copied == before, 'where nothing is new, nothing is copied'


def test_a_list_is_joined_where_it_is_not_yet():
    known = Joined(pieces(2))
    assert joined(known) is known and isinstance(joined(list(known)), Joined)
