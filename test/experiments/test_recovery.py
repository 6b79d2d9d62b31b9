# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recovery of errors that are known in closed form, and of those that only look like it."""

import json
import math

import numpy as np
import pytest
import torch

from mbmrl_ros.evaluation.predictions import PredictionLosses
from mbmrl_ros.experiments.recovery import (
    SMOOTHING,
    course,
    mean_back,
    mean_curve,
    quartiles,
    read_recoveries,
    recoveries,
    share_back,
    trailing_means,
)

FAULT, PAST, FUTURE = 300, 32, 16
MOMENTS = np.arange(PAST, 1000 - FUTURE + 1)
SINCE = MOMENTS - FAULT


def shaped(after):
    """Return errors of 1 before the fault and after(steps since it) from there on."""
    errors = np.where(SINCE < 0, 1.0, after(np.maximum(SINCE, 0)))
    # Moments that look across the fault count for nothing, nor do those of a start.
    errors[(SINCE < 0) & (SINCE + FUTURE > 0)] = 50.0
    errors[:60] = 7.0
    return errors


def course_of(after):
    return course(MOMENTS, shaped(after), FAULT, PAST, FUTURE)


def both(trained, adapted):
    """Return the recovery of one episode, written as a cell is and read again."""
    rows = [torch.from_numpy(shaped(after))[None] for after in (trained, adapted)]
    losses = PredictionLosses(torch.from_numpy(MOMENTS), *rows)
    written = json.loads(json.dumps(recoveries(losses, FAULT, PAST, FUTURE), allow_nan=False))
    assert written['step'] == FAULT
    (found,) = read_recoveries(written['episodes'])
    return found


def flat(height):
    return lambda since: np.full(len(since), height)


@pytest.mark.parametrize('half_life', [4.0, 16.0])
def test_an_error_that_decays_is_back_when_its_trailing_mean_is(half_life):
    found = course_of(lambda since: 1 + 4 * 2 ** (-since / half_life))
    assert found.level == 1.0
    # 4 r^(k - 9) (1 + r + ... + r^9) / 10 <= 0.2 for r = 2^(-1 / half_life).
    rate = 2 ** (-1 / half_life)
    series = 4 * (1 - rate**SMOOTHING) / (1 - rate) / SMOOTHING
    assert found.steps == math.ceil(half_life * math.log2(series / 0.2)) + SMOOTHING - 1
    assert found.peak == pytest.approx(1 + series)


def down_at(step):
    """Return the course of an error of 2.5 until a step, and 1 from there on."""
    return course_of(lambda since: np.where(since < step, 2.5, 1.0))


def test_a_step_down_is_seen_when_the_mean_has_left_it_behind():
    # One moment of ten may be 2.5, two may not: ten moments that end at 20 + 8.
    found = down_at(20)
    assert (found.steps, found.peak, found.late) == (28, 2.5, 1.0)


@pytest.mark.parametrize(('lasts', 'steps'), [(25, 120), (26, 29), (400, 29)])
def test_a_dip_counts_only_if_it_stays_for_t2_more_moments(lasts, steps):
    # Ten of 1.15, from 20 on, at 29, and 16 more by 45; or the ten from 111 on.
    def dipping(since):
        dip = (since >= 20) & (since < 20 + lasts)
        return np.where(dip | (since > 110), 1.15, 2.0)

    assert course_of(dipping).steps == steps


def test_an_error_that_stays_is_never_back_and_is_kept():
    found = both(flat(1.5), flat(1.5))
    assert found.adapted.steps == math.inf and found.rose
    assert found.adapted.late == found.adapted.peak == 1.5
    # The last moment is 684 after the fault: 668 is the last one that 16 follow.
    assert down_at(660).steps == 668 and down_at(661).steps == math.inf


def test_whether_an_episode_tells_something_is_up_to_the_model_as_trained():
    found = both(flat(1.15), flat(3.0))
    assert not found.rose and found.adapted.steps == math.inf
    found = both(flat(1.5), lambda since: np.where(since < 10, 1.5, 0.8))
    assert found.rose and found.trained.steps == math.inf and found.trained.late == 1.5
    # Of 0.5 over the level at 0 to 9, four may be left in a mean of at most 1.2: 14 of them 0.8,
    # 1.5 - 0.07 n <= 1.2 from n = 5 on.
    assert found.adapted.steps == 14 and found.adapted.late == pytest.approx(0.8)


def test_a_burst_alone_is_no_rise():
    burst = both(lambda since: np.where(since < 100, 9.0, 1.0), flat(1.0))
    assert not burst.rose and burst.trained.peak == 9.0 and burst.trained.steps > 100


def gait(seed):
    """Return an error as a robot's is: 40 % up and down with the gait, and noise that lasts."""
    rng = np.random.default_rng(seed)
    noise = np.convolve(rng.normal(size=len(MOMENTS) + FUTURE), np.full(FUTURE, 1 / 4), 'valid')
    return np.exp(0.4 * np.sin(MOMENTS / 4) + 0.2 * noise[: len(MOMENTS)])


def test_where_nothing_happens_nothing_rises():
    rows = torch.from_numpy(np.stack([gait(seed) for seed in range(40)]))
    losses = PredictionLosses(torch.from_numpy(MOMENTS), rows, rows)
    for pretended in (200, 300, 500):
        found = recoveries(losses, pretended, PAST, FUTURE)['episodes']
        read = read_recoveries(found)
        assert len(read) == 40
        # Although all are beyond 1.2 of their level now and then.
        assert all(one.trained.peak > 1.2 for one in read)
        assert sum(one.rose for one in read) <= 2
    louder = torch.where(torch.from_numpy(SINCE) < 0, rows, 1.5 * rows)
    losses = PredictionLosses(torch.from_numpy(MOMENTS), louder, rows)
    found = read_recoveries(recoveries(losses, FAULT, PAST, FUTURE)['episodes'])
    assert sum(one.rose for one in found) >= 38


def test_a_start_and_a_stumble_do_not_lift_the_level():
    errors = shaped(flat(1.0))
    errors[200:225] = 30.0
    assert course(MOMENTS, errors, FAULT, PAST, FUTURE).level == 1.0


@pytest.mark.parametrize(('fault', 'end'), [(PAST + FUTURE + 17, 900), (300, 340), (20, 900)])
def test_without_room_before_or_after_the_fault_nothing_is_said(fault, end):
    kept = MOMENTS[: end - PAST]
    rows = torch.ones(2, len(kept), dtype=torch.float64)
    losses = PredictionLosses(torch.from_numpy(kept), rows, rows)
    found = recoveries(losses, fault, PAST, FUTURE)
    assert found == {'step': fault, 'episodes': [None, None]}
    assert read_recoveries(found['episodes']) == []


def test_an_error_that_is_not_finite_is_not_back():
    rows = torch.from_numpy(np.stack([shaped(flat(1.0)), shaped(flat(math.inf))]))
    losses = PredictionLosses(torch.from_numpy(MOMENTS), rows, rows)
    written = json.dumps(recoveries(losses, FAULT, PAST, FUTURE), allow_nan=False)
    well, lost = read_recoveries(json.loads(written)['episodes'])
    assert well.adapted == (1.0, 1.0, SMOOTHING - 1, 1.0, 1.0)
    assert lost.rose and lost.adapted[1:] == (math.inf,) * 4


def test_trailing_means_end_where_they_say():
    assert trailing_means(np.arange(12.0)).tolist() == [4.5, 5.5, 6.5]


def test_quartiles_know_of_never():
    assert quartiles([4.0, 1.0, 3.0, 2.0]) == (1.0, 2.0, 3.0)
    assert quartiles([math.inf, 20.0, 9.0]) == (9.0, 20.0, math.inf)
    assert quartiles([math.inf] * 2) == (math.inf,) * 3
    assert quartiles([7.0]) == (7.0,) * 3


def test_the_share_that_is_back_counts_every_episode():
    found = [down_at(step) for step in (0, 24, 25, 999)]
    assert [one.steps for one in found] == [9, 32, 33, math.inf]
    assert share_back(found, 32) == 0.5 and share_back(found) == 0.75


def blocks_of_five(after):
    """Return means of five moments each from moment 20 on: 1 before the fault."""
    begins = 20 + 5 * np.arange(100)
    errors = np.where(begins < FAULT, 1.0, after(begins - FAULT))
    # Blocks that look across the fault, and the earlier half, count for nothing.
    errors[(begins < FAULT) & (begins + 4 + FUTURE > FAULT)] = 50.0
    errors[:20] = 7.0
    return errors


@pytest.mark.parametrize(
    ('after', 'step'),
    [
        # 2 x 0.5 ^ (k / 20) is 1.2 at 14.7 steps; the first block from there on begins at 15.
        (lambda k: 2 * 0.5 ** (k / 20), 15),
        (lambda k: np.full(k.shape, 1.19), 0),
        (lambda k: np.full(k.shape, 1.21), math.inf),
        # A dip of 15 moments, one fewer than T2, is not it.
        (lambda k: np.where((k >= 10) & (k < 25) | (k >= 60), 1.0, 2.0), 60),
    ],
)
def test_the_mean_over_episodes_is_back_with_the_first_block_that_stays(after, step):
    assert mean_back(blocks_of_five(after), 20, 5, FAULT, FUTURE) == step


def test_without_room_before_or_after_the_fault_the_mean_says_nothing():
    blocks = blocks_of_five(lambda k: np.full(k.shape, 1.0))
    # The last block of 56 begins at 295, the 57th at the fault; T2 of 16 needs five of them.
    assert mean_back(blocks[:60], 20, 5, FAULT, FUTURE) is None
    assert mean_back(blocks[:61], 20, 5, FAULT, FUTURE) == 0
    assert mean_back(blocks[56:], 300, 5, FAULT, FUTURE) is None


def test_an_episode_that_ended_is_read_as_far_as_it_went():
    # 40 moments before the fault, then broken; the second episode ends 20 moments after it.
    errors = torch.cat([torch.full((40,), 0.1), torch.full((60,), 0.5)]).repeat(2, 1)
    errors[1, 60:] = math.nan
    moments = torch.arange(8, 108)
    losses = PredictionLosses(moments, errors, errors.clone())
    whole, cut = recoveries(losses, fault=48, past=8, future=4)['episodes']
    assert whole is not None and cut is not None
    assert cut['adapted']['level'] == whole['adapted']['level']
    assert cut['adapted']['steps'] is None and cut['adapted']['rise'] == whole['adapted']['rise']
    errors[1, 50:] = math.nan
    losses = PredictionLosses(moments, errors, errors.clone())
    assert recoveries(losses, fault=48, past=8, future=4)['episodes'][1] is None


def test_a_curve_over_seeds_is_as_long_as_the_longest_and_means_what_is_known():
    curve = mean_curve([[1.0, 2.0, 3.0], [3.0, math.nan]])
    np.testing.assert_array_equal(curve, [2.0, 2.0, 3.0])
    assert math.isnan(mean_curve([[math.nan]])[0])
