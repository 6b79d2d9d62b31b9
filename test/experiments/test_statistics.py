# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of reports in closed form."""

import math

import numpy as np
import pytest
import torch

from mbmrl_ros.experiments.statistics import (
    EDGES,
    blocks,
    error_summary,
    histogram,
    ratio_interval,
    switch_step,
)
from mbmrl_ros.sim.disturbances import Disturbance, Event
from mbmrl_ros.training.predictions import PredictionLosses

FAULT = Disturbance('disabled_joint', 'bthigh')


def test_a_ratio_is_that_of_the_means_over_seeds():
    # Seeds of 2 and 4 episodes count alike: (2 + 6) / 2 over (4 + 4) / 2.
    value, low, high = ratio_interval([[1, 3], [6, 6, 6, 6]], [[4, 4], [4, 4, 4, 4]])
    assert value == 1.0
    assert low < 1.0 < high
    # Means of two drawn seeds lie between those of the worst and the best episodes.
    assert low >= 1 / 4 and high <= 6 / 4


def test_the_oracle_over_itself_is_one_without_doubt():
    returns = [[5.0, 7.0, 9.0], [1.0, 2.0, 3.0]]
    assert ratio_interval(returns, returns, paired=True) == (1.0, 1.0, 1.0)
    low, high = ratio_interval(returns, returns)[1:]
    assert low < 1.0 < high


def test_what_is_proportional_in_every_episode_has_a_certain_ratio():
    before = [[0.5, 0.25, 1.0], [0.75, 0.5, 2.0]]
    after = [[0.8 * value for value in group] for group in before]
    assert ratio_interval(after, before, paired=True) == pytest.approx((0.8, 0.8, 0.8))


def test_nothing_is_normalised_to_a_return_that_is_not_positive():
    assert all(map(math.isnan, ratio_interval([[1.0]], [[-1.0, 1.0]])))
    # A mean of 0.5 whose episodes are -9 or 10, so that drawn again it is often below zero.
    assert all(map(math.isnan, ratio_interval([[1.0]], [[-9.0, 10.0] * 5])))
    assert ratio_interval([[1.0]], [[0.4, 0.6] * 5])[0] == pytest.approx(2.0)


def test_the_bootstrap_interval_is_the_usual_one_for_many_episodes():
    rng = np.random.default_rng(0)
    returns = [rng.normal(100, 10, 400).tolist()]
    value, low, high = ratio_interval(returns, [[1.0]])
    # One seed, a constant denominator: 1.96 standard errors of 400 episodes either way.
    half = 1.96 * np.std(returns) / math.sqrt(400)
    assert value == pytest.approx(np.mean(returns))
    assert high - low == pytest.approx(2 * half, rel=0.05)


def test_histograms_count_everything_once():
    edge = float(EDGES[30])
    errors = torch.tensor([[edge * 1.01, edge * 0.99], [0.0, 1e9]])
    counts = histogram(errors)
    assert sum(counts) == 4 and len(counts) == 60
    assert counts[30] == counts[29] == counts[0] == counts[59] == 1


def test_blocks_are_means_and_drop_the_rest():
    assert blocks(np.arange(12.0)) == [2.0, 7.0]


def test_the_switch_is_the_first_event_after_the_start():
    schedule = (Event(0, FAULT), Event(70, FAULT, on=False), Event(40, FAULT))
    assert switch_step(schedule) == 40
    assert switch_step((Event(0, FAULT),)) is None


def test_errors_are_summed_up_per_episode_and_over_time():
    before = torch.tensor([[4.0] * 10, [2.0] * 10])
    after = torch.tensor([[1.0] * 10, [3.0] * 10])
    found = error_summary(PredictionLosses(torch.arange(8, 18), before, after))
    assert found['before']['episodes'] == [4.0, 2.0]
    assert found['after']['over_time'] == [2.0, 2.0]
    assert found['share_worse'] == 0.5
    assert found['first_moment'] == 8


def test_errors_ahead_are_summed_up_alike_and_keep_their_times():
    near = torch.ones(2, 26)
    far = PredictionLosses(torch.arange(8, 34, 5), torch.ones(2, 6), torch.full((2, 6), 0.5))
    found = error_summary(PredictionLosses(torch.arange(8, 34), near, near, far))
    assert found['block'] == 5
    ahead = found['ahead']
    assert ahead['after']['episodes'] == [0.5, 0.5] and ahead['share_worse'] == 0
    # Five values of moments that are five steps apart.
    assert ahead['block'] == 25 and ahead['first_moment'] == 8
