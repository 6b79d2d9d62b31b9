# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows for meta-learning: all there are, none across a gap, aligned with the robot's."""

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.robot.history import History


def numbered(lengths: list[int]) -> list[Trajectory]:
    """Return trajectories whose entries say whence they are.

    States are (trajectory, step), actions (trajectory, step + 0.5).
    """
    result = []
    for index, steps in enumerate(lengths):
        times = torch.arange(steps + 1.0)
        result.append(
            Trajectory(
                torch.stack([torch.full_like(times, index), times], 1),
                torch.stack([torch.full((steps,), float(index)), times[:-1] + 0.5], 1),
                torch.full((steps,), -1),
            )
        )
    return result


@pytest.mark.parametrize(('past', 'future'), [(1, 1), (3, 2), (2, 5), (4, 4)])
@pytest.mark.parametrize(
    'lengths', [[9], [5, 9, 7], [0, 9, 0, 8], [1, 2, 3, 10, 4], [8, 8, 8], [2, 0, 9]]
)
def test_exactly_the_moments_with_enough_before_and_after_are_there(lengths, past, future):
    windows = Windows.of(numbered(lengths), past, future)
    before, after = windows.at(windows.start_indices)
    assert before.states.shape == (len(windows.start_indices), past, 2)
    assert after.states.shape == (len(windows.start_indices), future, 2)
    found = set()
    for row in range(len(windows.start_indices)):
        index, moment = (int(value) for value in after.states[row, 0])
        found.add((index, moment))
        for part, first, count in ((before, moment - past, past), (after, moment, future)):
            steps = torch.arange(first, first + count).float()
            assert (part.states[row, :, 0] == index).all()
            assert (part.actions[row, :, 0] == index).all()
            assert (part.next_states[row, :, 0] == index).all()
            assert torch.equal(part.states[row, :, 1], steps)
            assert torch.equal(part.actions[row, :, 1], steps + 0.5)
            assert torch.equal(part.next_states[row, :, 1], steps + 1)
    expected = {
        (index, moment)
        for index, steps in enumerate(lengths)
        for moment in range(past, steps - future + 1)
    }
    assert found == expected
    assert len(windows.start_indices) == len(expected), 'each once'


def test_samples_are_drawn_uniformly_from_all_moments():
    windows = Windows.of(numbered([5, 9]), past=2, future=3)
    _, after = windows.sample(50_000, torch.Generator().manual_seed(0))
    places = (after.states[:, 0, 0] * 100 + after.states[:, 0, 1]).int()
    values, counts = places.unique(return_counts=True)
    # One moment of the first trajectory, five of the second. A count out of 50000 with
    # p = 1/6 has a deviation of sqrt(50000 * 5/36) = 83.
    assert values.tolist() == [2, 102, 103, 104, 105, 106]
    assert (counts - 50_000 / 6).abs().max() < 5 * 83


def test_equal_generators_draw_equal_windows():
    windows = Windows.of(numbered([30, 20]), past=2, future=3)
    draws = [windows.sample(10, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0][0].states, draws[1][0].states)
    assert not torch.equal(draws[0][0].states, draws[2][0].states)


@pytest.mark.parametrize('lengths', [[], [0], [4], [4, 3, 0]])
def test_data_without_a_window_is_refused_in_one_line(lengths):
    with pytest.raises(UserError, match=r'no trajectory has the 3 \+ 2 transitions') as caught:
        Windows.of(numbered(lengths), past=3, future=2)
    assert '\n' not in str(caught.value)


def test_the_shortest_trajectory_that_has_a_window_has_one():
    assert len(Windows.of(numbered([5]), past=3, future=2).start_indices) == 1


def test_the_robots_window_at_a_moment_is_the_past_window_of_training():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(13, 4, generator=generator)
    actions = torch.rand(12, 2, generator=generator) * 2 - 1
    recorded = Trajectory(states, actions, torch.full((12,), -1))
    windows = Windows.of([recorded], past=5, future=2)
    history = History(5, 0.01, state_size=4, action_size=2)
    for step in range(12):
        history.observe(step * 0.01, states[step].double().numpy())
        window = history.window()
        assert (window is not None) == (step >= 5)
        if window is not None and step in windows.start_indices:
            past, future = windows.at(torch.tensor([step]))
            for online, offline in zip(window, past):
                assert torch.equal(online, offline[0])
            # The next state to predict is the one the robot is in, after the window's last.
            assert torch.equal(future.states[0, 0], window.next_states[-1])
        history.applied(actions[step].double().numpy())
