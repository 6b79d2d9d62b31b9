# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest
import torch

from mbmrl_ros.robot.history import History, stack_windows

PERIOD = 0.1


def feed(history, steps, start=0, stamp=0.0):
    """Feed states (i, i) and actions (i,), so that every number says when it was."""
    for i in range(start, start + steps):
        history.observe(stamp + (i - start) * PERIOD, np.full(2, float(i)))
        history.applied(np.full(1, float(i)))


def test_window_holds_the_last_transitions_oldest_first():
    history = History(3, PERIOD, 2, 1)
    feed(history, 6)
    window = history.window()
    # Six states close five transitions; the last three are 2->3, 3->4, 4->5.
    assert window.states[:, 0].tolist() == [2, 3, 4]
    assert window.actions[:, 0].tolist() == [2, 3, 4]
    assert window.next_states[:, 0].tolist() == [3, 4, 5]
    assert window.states.dtype == torch.float32


def test_the_newest_transition_is_in_the_window_at_once():
    history = History(1, PERIOD, 2, 1)
    feed(history, 1)
    assert history.window() is None
    history.observe(PERIOD, np.full(2, 1.0))
    assert history.window().next_states[0, 0] == 1.0


@pytest.mark.parametrize('late', [1.51, 3.0, 0.49, -1.0, 0.0])
def test_no_window_spans_a_gap(late):
    history = History(2, PERIOD, 2, 1)
    feed(history, 4)
    history.observe(3 * PERIOD + late * PERIOD, np.zeros(2))
    assert history.window() is None
    # After the gap it takes M transitions of its own until there is a window again.
    feed(history, 3, start=10, stamp=100.0)
    window = history.window()
    assert window.states[:, 0].tolist() == [10, 11]


@pytest.mark.parametrize('late', [0.51, 1.0, 1.49])
def test_jitter_within_half_a_period_is_no_gap(late):
    history = History(2, PERIOD, 2, 1)
    feed(history, 3)
    history.observe(2 * PERIOD + late * PERIOD, np.full(2, 3.0))
    assert history.window().next_states[:, 0].tolist() == [2, 3]


def test_a_state_without_an_applied_action_is_a_gap():
    history = History(1, PERIOD, 2, 1)
    history.observe(0.0, np.zeros(2))
    history.observe(PERIOD, np.ones(2))
    assert history.window() is None


def test_what_comes_in_is_copied():
    history = History(1, PERIOD, 2, 1)
    state, action = np.zeros(2), np.zeros(1)
    history.observe(0.0, state)
    history.applied(action)
    state[:], action[:] = 9.0, 9.0
    history.observe(PERIOD, state)
    window = history.window()
    assert window.states[0, 0] == 0.0 and window.actions[0, 0] == 0.0


def test_stacked_rows_without_a_window_are_not_attempted():
    full, empty = History(2, PERIOD, 2, 1), History(2, PERIOD, 2, 1)
    feed(full, 3)
    window, attempted = stack_windows([full, empty])
    assert attempted.tolist() == [True, False]
    assert window.states.shape == (2, 2, 2) and window.actions.shape == (2, 2, 1)
    assert torch.equal(window.states[0], full.window().states)
    assert all(tensor[1].isnan().all() for tensor in window)


def test_a_window_that_is_not_full_holds_what_there_is_after_nan():
    history = History(4, PERIOD, 2, 1)
    feed(history, 3)
    window, attempted = stack_windows([history])
    assert attempted.tolist() == [False]
    assert window.actions[0, :2].isnan().all() and window.states[0, :2].isnan().all()
    assert window.states[0, 2:, 0].tolist() == [0, 1]
    assert window.actions[0, 2:, 0].tolist() == [0, 1]
    assert window.next_states[0, 2:, 0].tolist() == [1, 2]


def test_stamps_of_the_wall_clock_are_as_good_as_stamps_from_zero():
    history = History(3, 0.01, 2, 1)
    for i in range(200):
        history.observe(1.8e9 + i * 0.01, np.full(2, float(i)))
        history.applied(np.zeros(1))
        assert (history.window() is not None) == (i >= 3)


def test_the_last_action_before_a_state_counts():
    history = History(1, PERIOD, 2, 1)
    history.observe(0.0, np.zeros(2))
    history.applied(np.array([1.0]))
    history.applied(np.array([2.0]))
    history.observe(PERIOD, np.ones(2))
    assert history.window().actions.tolist() == [[2.0]]


def test_an_action_after_clearing_starts_no_transition():
    history = History(1, PERIOD, 2, 1)
    feed(history, 2)
    history.clear()
    history.applied(np.zeros(1))
    history.observe(2 * PERIOD, np.zeros(2))
    assert history.window() is None


def test_a_window_stays_as_it_was_when_time_goes_on():
    history = History(2, PERIOD, 2, 1)
    feed(history, 3)
    window = history.window()
    kept = [tensor.clone() for tensor in window]
    feed(history, 3, start=3, stamp=3 * PERIOD)
    assert all(torch.equal(a, b) for a, b in zip(window, kept))


@pytest.mark.parametrize('window', [1, 3, 5])
def test_a_history_of_another_length_knows_what_the_first_one_knew(window):
    history, plain = History(3, PERIOD, 2, 1), History(window, PERIOD, 2, 1)
    feed(history, 4)
    resized = history.resized(window)
    feed(resized, 3, start=4, stamp=4 * PERIOD)
    feed(plain, 7)
    assert resized.size == window
    for mine, expected in zip(resized.window(), plain.window()):
        assert torch.equal(mine, expected)
    assert history.window().states[:, 0].tolist() == [0, 1, 2], 'and the first one stays'


@pytest.mark.parametrize('seed', range(20))
def test_windows_are_those_of_a_plain_search_through_everything_that_happened(seed):
    rng = np.random.default_rng(seed)
    history, size = History(3, PERIOD, 1, 1), 3
    log, stamp = [], 0.0  # (stamp, state, action or None), oldest first
    for i in range(300):
        stamp += PERIOD * rng.choice(
            [1.0, 0.8, 1.3, 0.0, 5.0, -2.0], p=[0.7, 0.1, 0.1] + [0.03] * 2 + [0.04]
        )
        history.observe(stamp, np.array([float(i)]))
        action = None if rng.random() < 0.05 else rng.normal()
        if action is not None:
            history.applied(np.array([action]))
        log.append((stamp, float(i), action))
        last = log[-size - 1 :]
        unbroken = len(last) == size + 1 and all(
            a[2] is not None and 0.5 <= (b[0] - a[0]) / PERIOD <= 1.5
            for a, b in itertools.pairwise(last)
        )
        window = history.window()
        assert (window is not None) == unbroken
        if window is not None:
            assert window.states[:, 0].tolist() == [state for _, state, _ in last[:-1]]
            assert window.next_states[:, 0].tolist() == [state for _, state, _ in last[1:]]
            actions = torch.tensor([action for _, _, action in last[:-1]])
            assert torch.equal(window.actions[:, 0], actions)
