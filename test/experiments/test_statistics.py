# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of reports in closed form."""

import json
import math

import numpy as np
import pytest
import torch

from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.evaluation.predictions import PredictionLosses
from mbmrl_ros.experiments.columns import interval, ratio
from mbmrl_ros.experiments.results import Line
from mbmrl_ros.experiments.statistics import (
    EDGES,
    blocks,
    error_summary,
    estimate,
    histogram,
    ratio_interval,
    switch_step,
)
from mbmrl_ros.sim.disturbances import Disturbance, Event

FAULT = Disturbance('disabled_joint', 'bthigh')


def draws(rng, seeds, spread, episodes=10, middle=10.0):
    """Return returns of trained models that differ by `spread` times what their episodes do."""
    models = middle + spread * rng.normal(size=seeds)
    return [(model + rng.normal(size=episodes)).tolist() for model in models]


@pytest.mark.parametrize('seeds', [2, 3, 5])
@pytest.mark.parametrize('spread', [0.0, 1.0, 2.0])
def test_intervals_cover_what_they_say_however_much_trained_models_differ(seeds, spread):
    rng = np.random.default_rng(0)
    means = ratios = 0
    for _ in range(800):
        one, other = draws(rng, seeds, spread), draws(rng, seeds, spread)
        found = estimate(one)
        means += abs(found.mean - 10) <= found.half
        _, low, high = ratio_interval(one, other)
        ratios += low <= 1 <= high
    # 95 % of 800 with a standard deviation of 0.8 %; means near zero bend the logarithm.
    assert means / 800 == pytest.approx(0.95, abs=0.025)
    assert ratios / 800 == pytest.approx(0.95, abs=0.03)


def test_an_interval_is_over_the_means_of_seeds_and_many_episodes_do_not_narrow_it():
    # Means 2 and 6: 4 +- 12.706 x 2.
    few, many = [[1, 3], [6]], [[1, 3] * 50, [6] * 100]
    for groups in (few, many):
        found = estimate(groups)
        assert (found.mean, found.seeds) == (4.0, 2)
        assert found.half == pytest.approx(25.412, abs=1e-3)
        assert math.isnan(found.std)


def test_one_seed_has_no_interval_but_the_spread_of_its_episodes():
    found = estimate([[1.0, 2.0, 3.0]])
    assert (found.mean, found.std, found.seeds) == (2.0, 1.0, 1)
    assert math.isnan(found.half)
    value, low, high = ratio_interval([[2.0, 4.0]], [[1.0, 2.0], [1.0, 2.0]])
    assert value == 2.0 and math.isnan(low) and math.isnan(high)


def test_episodes_without_a_value_count_for_nothing_and_seeds_without_one_neither():
    found = estimate([[1.0, math.nan, 3.0], [math.nan], [4.0]])
    assert (found.mean, found.seeds) == (3.0, 2)
    assert math.isnan(estimate([[math.nan]]).mean)


def test_a_ratio_is_that_of_the_means_over_seeds():
    # Seeds of 2 and 4 episodes count alike: (2 + 6) / 2 over (4 + 4) / 2.
    value, low, high = ratio_interval([[1, 3], [6, 6, 6, 6]], [[4, 4], [4, 4, 4, 4]])
    assert value == 1.0
    # Ratios of 0.5 and 1.5: logarithms apart by log 3, t(1) = 12.706.
    half = 12.706 * math.log(3) / 2
    assert low == pytest.approx(math.sqrt(0.75) * math.exp(-half), rel=1e-3)
    assert high == pytest.approx(math.sqrt(0.75) * math.exp(half), rel=1e-3)


def test_the_oracle_over_itself_is_one_without_doubt():
    returns = [[5.0, 7.0, 9.0], [1.0, 2.0, 3.0]]
    assert ratio_interval(returns, returns) == (1.0, 1.0, 1.0)


def test_methods_are_paired_by_the_number_of_the_seed_not_by_its_place():
    # Where seeds differ tenfold, a method that is always twice as good is so without doubt.
    base = {0: [1.0, 1.0], 1: [10.0, 10.0], 2: [3.0, 3.0]}
    twice = {seed: [2 * value for value in base[seed]] for seed in (2, 0, 1)}
    assert ratio_interval(twice, base) == pytest.approx((2.0, 2.0, 2.0))
    others = {seed + 1: values for seed, values in twice.items()}
    _, low, high = ratio_interval(others, base)
    assert low < 1 / 2 and high > 8


def test_seeds_that_are_not_the_same_are_compared_by_welchs_interval():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(800):
        one = dict(enumerate(draws(rng, 3, 1.0)))
        other = dict(enumerate(draws(rng, 5, 2.0), 3))
        _, low, high = ratio_interval(one, other)
        held += low <= 1 <= high
    # Welch's degrees of freedom are an estimate: a little more than 95 %, or less.
    assert 0.92 < held / 800 < 0.99


def test_a_mean_without_a_logarithm_has_a_ratio_and_no_interval():
    value, low, high = ratio_interval([[-1.0], [3.0]], [[1.0], [1.0]])
    assert value == 1.0 and math.isnan(low) and math.isnan(high)


def test_what_is_proportional_in_every_episode_has_a_certain_ratio():
    before = [[0.5, 0.25, 1.0], [0.75, 0.5, 2.0]]
    after = [[0.8 * value for value in group] for group in before]
    assert ratio_interval(after, before) == pytest.approx((0.8, 0.8, 0.8))


def test_nothing_is_normalised_to_a_return_that_is_not_positive():
    assert all(map(math.isnan, ratio_interval([[1.0]], [[-1.0, 1.0]])))
    # A mean of 0.5 whose episodes are -9 or 10: not clearly positive.
    assert all(map(math.isnan, ratio_interval([[1.0]], [[-9.0, 10.0] * 5])))
    assert all(map(math.isnan, ratio_interval([[1.0]], [[9.0, 9.0], [-9.0, 10.0] * 5])))
    assert ratio_interval([[1.0]], [[0.4, 0.6] * 5])[0] == pytest.approx(2.0)


def test_errors_of_an_episode_that_ended_early_are_those_it_had():
    nan = math.nan
    before = torch.tensor([[4.0] * 10, [2.0] * 5 + [nan] * 5, [nan] * 10])
    after = torch.tensor([[1.0] * 10, [3.0] * 5 + [nan] * 5, [nan] * 10])
    found = error_summary(PredictionLosses(torch.arange(8, 18), before, after))
    assert found['before']['episodes'][:2] == [4.0, 2.0]
    assert math.isnan(found['before']['episodes'][2])
    assert found['after']['over_time'] == [2.0, 1.0]
    assert sum(found['after']['histogram']) == 15
    assert found['share_worse'] == pytest.approx(5 / 15)


def test_without_any_moment_there_is_a_summary_all_the_same():
    none = torch.empty(2, 0)
    found = error_summary(PredictionLosses(torch.arange(0), none, none))
    assert found['first_moment'] is None and found['after']['over_time'] == []


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


def test_an_episode_whose_prediction_is_no_number_counts_and_is_not_left_out():
    before = torch.tensor([[4.0] * 10, [2.0] * 10])
    after = torch.tensor([[1.0] * 10, [3.0] * 5 + [math.inf] * 5])
    written = error_summary(PredictionLosses(torch.arange(8, 18), before, after))
    cell = {'seed': 0, 'result': json.loads(json.dumps(finite({'errors': written})))}
    line = Line(None, 'grbal', None, None, [cell, cell | {'seed': 1}])
    groups = line.by_seed('errors', 'after', 'episodes')
    assert groups == {0: [1.0, math.inf], 1: [1.0, math.inf]}
    assert estimate(groups).mean == math.inf and interval(groups) == 'inf (2 seeds)'
    assert ratio(groups, {0: [4.0], 1: [4.0]}).startswith('inf (no interval')
    assert ratio({0: [4.0], 1: [4.0]}, groups) == '-'
    assert ratio({0: groups[0]}, {0: [4.0, 2.0]}, paired=True) == 'inf (1 seed)'
