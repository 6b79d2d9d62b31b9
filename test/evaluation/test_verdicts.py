# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A verdict follows from intervals: certain and large enough, or it is not said."""

import pytest
import torch

from mbmrl_ros.evaluation.verdicts import (
    difference,
    of_adapting,
    of_fit,
    of_gain,
    of_no_change,
    of_returns,
)

NAN, INF = float('nan'), float('inf')


def test_a_difference_counts_beyond_the_interval_of_its_mean():
    # Of two values the interval is 12.7 times half their distance: 1 and 1.1 leave out zero.
    assert difference(torch.tensor([1.0, 1.1]), torch.tensor(0.0)) == 1
    assert difference(torch.tensor([-1.0, -1.1]), torch.tensor(0.0)) == -1
    assert difference(torch.tensor([1.0, 1.2]), torch.tensor(0.0)) == 0
    assert difference(torch.tensor([1.0]), torch.tensor(0.0)) == 0


@pytest.mark.parametrize(
    ('before', 'after', 'said'),
    [
        ([1, 2, 3], [0.5, 1.4, 2.4], '0.72 of itself: there is something to adapt to'),
        ([1, 1, 1], [0.98, 0.98, 0.98], 'a gain below 5%'),
        ([1, 2, 3], [1.9, 1, 3], 'not clear in 3 trajectories'),
        ([0, 0], [1, 2], 'no gain in the mean'),
        ([1, 2, 3], [1.5, 2.6, 3.5], 'adapting harms'),
        ([1, NAN], [0.5, NAN], 'in one trajectory'),
        ([NAN], [NAN], 'no trajectory is long enough'),
        ([1, 2], [INF, 1], 'adapting makes it so'),
        ([INF, 1], [1, 1], 'what the model predicts is not finite'),
    ],
)
def test_adapting_is_judged_by_trajectory(before, after, said):
    assert said in of_adapting(torch.tensor(before) * 1.0, torch.tensor(after) * 1.0)


def test_losses_are_held_against_what_knows_nothing():
    assert 'that is 0.25 of the loss' in of_no_change(0.5, 2.0)
    for loss in (2.0, 3.0):
        assert 'no better than' in of_no_change(loss, 2.0)
    assert 'not finite' in of_no_change(NAN, 2.0) and 'not finite' in of_no_change(1.0, NAN)
    assert 'of no use' not in of_fit(0.99)
    assert 'of no use' in of_fit(1.0) and 'of no use' in of_fit(NAN)


def test_a_gain_is_one_over_tasks():
    before = torch.tensor([1.0, 2.0, 3.0])
    assert of_gain(before, before + torch.tensor([1.0, 1.1, 1.2])) == ''
    assert 'not clear, 0.167 over 3 tasks' in of_gain(
        before, before + torch.tensor([1.0, -1.0, 0.5])
    )
    assert 'gets worse' in of_gain(before, before - torch.tensor([1.0, 1.1, 1.2]))


def test_returns_are_held_against_those_of_doing_nothing():
    idle = torch.tensor([0.0, 1.0, 2.0])
    assert of_returns(torch.tensor([9.0, 10.0, 11.0]), idle) == ''
    # Two episodes far above: how far they differ from each other does not matter.
    assert of_returns(torch.tensor([300.0, 400.0]), idle) == ''
    assert 'not in every episode' in of_returns(torch.tensor([0.5, 4.0]), idle)
    assert 'not above it' in of_returns(torch.tensor([0.0, 1.0]), idle)
