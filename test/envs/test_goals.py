# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals come from the distribution that is named, and what is held out lies outside of it."""

import math

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.goals import (
    NO_GOALS,
    SECTOR_MIDDLE,
    SECTOR_WIDTH,
    directions,
    forward_or_backward,
    interval,
    multipliers,
    places_in_disc,
    places_in_square,
    together,
)

MANY = 4000


def draws(goals) -> tuple[torch.Tensor, torch.Tensor]:
    """Return many goals of training and as many held-out ones, each [n, G]."""
    generator = torch.Generator().manual_seed(0)
    return goals.draw(generator, MANY), goals.held_out(generator, MANY)


def test_an_interval_is_uniform_and_the_held_out_one_beside_it():
    training, held_out = draws(interval('speed', (0.0, 3.0), held_out=(3.0, 4.0)))
    assert training.shape == (MANY, 1) and training.min() >= 0 and training.max() <= 3
    # A uniform variable has a variance of w^2 / 12; four standard errors of the mean.
    assert training.mean() == pytest.approx(1.5, abs=4 * 3 / math.sqrt(12 * MANY))
    assert training.var() == pytest.approx(9 / 12, rel=0.1)
    assert held_out.min() >= 3 and held_out.max() <= 4


def test_forward_and_backward_are_as_likely_and_standing_still_is_held_out():
    training, held_out = draws(forward_or_backward())
    assert set(training.flatten().tolist()) == {-1.0, 1.0}
    assert abs(float(training.mean())) < 4 / math.sqrt(MANY)
    assert set(held_out.flatten().tolist()) == {0.0}


def test_directions_are_unit_vectors_everywhere_but_in_the_sector_that_is_held_out():
    def off_the_middle(goals: torch.Tensor) -> torch.Tensor:
        angle = torch.atan2(goals[:, 1], goals[:, 0]) - SECTOR_MIDDLE
        return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi

    training, held_out = draws(directions())
    for drawn in (training, held_out):
        torch.testing.assert_close(drawn.norm(dim=1), torch.ones(MANY))
    assert off_the_middle(training).abs().min() >= SECTOR_WIDTH / 2 - 1e-5
    assert off_the_middle(held_out).abs().max() <= SECTOR_WIDTH / 2 + 1e-5
    # Every one of the other eleven sectors of 30 degrees has its share.
    counts = torch.histc(off_the_middle(training), 12, -math.pi - 0.0, math.pi)
    share = MANY / 11
    outer = counts[[0, 1, 2, 3, 4, 7, 8, 9, 10, 11]]
    assert ((outer - share).abs() < 5 * math.sqrt(share)).all()


def test_places_in_a_disc_are_uniform_over_its_area_and_held_out_in_the_ring():
    training, held_out = draws(places_in_disc(3.0, beyond=4.0))
    distance = training.norm(dim=1)
    assert distance.max() <= 3
    # Of the area, half lies within 3 / sqrt(2).
    half = float((distance < 3 / math.sqrt(2)).float().mean())
    assert half == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(MANY))
    assert held_out.norm(dim=1).min() >= 3 and held_out.norm(dim=1).max() <= 4


def test_places_in_a_square_and_held_out_outside_of_it():
    training, held_out = draws(places_in_square(0.5, beyond=1.0))
    assert training.abs().max() <= 0.5 and held_out.abs().max() <= 1.0
    assert (held_out.abs().max(1).values >= 0.5).all()
    # All four sides.
    assert {(axis, sign) for axis in (0, 1) for sign in (-1, 1)} == {
        (int(place.abs().argmax()), int(place[place.abs().argmax()].sign())) for place in held_out
    }


def test_multipliers_are_powers_of_uniform_exponents_and_the_first_is_beyond_where_held_out():
    bases = {'mass:torso': 1.5, 'damping:knee': 1.3}
    training, held_out = draws(multipliers(bases, limit=3.0, held_out=4.0))
    exponents = training.double().log() / torch.tensor([1.5, 1.3], dtype=torch.float64).log()
    assert exponents.abs().max() <= 3 + 1e-4
    assert exponents.mean(0).tolist() == pytest.approx([0, 0], abs=4 * 3 / math.sqrt(3 * MANY))
    # U(-3, 3) has a variance of 3.
    assert exponents.var(0).tolist() == pytest.approx([3.0, 3.0], rel=0.1)
    beyond = held_out[:, 0].double().log() / math.log(1.5)
    assert beyond.abs().min() >= 3 - 1e-4 and beyond.abs().max() <= 4 + 1e-4
    assert {-1, 1} == set(beyond.sign().int().tolist())


def test_several_goals_are_drawn_side_by_side_and_no_goals_are_no_columns():
    both = together([interval('a', (0, 1), (1, 2)), interval('b', (5, 6), (6, 7))])
    training, held_out = draws(both)
    assert both.names == ('a', 'b') and training.shape == (MANY, 2)
    assert training[:, 1].min() >= 5 and held_out[:, 0].min() >= 1
    correlation = torch.corrcoef(training.T)[0, 1]
    assert abs(float(correlation)) < 4 / math.sqrt(MANY)
    assert together([]) is NO_GOALS and draws(NO_GOALS)[0].shape == (MANY, 0)


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="training or held_out, got 'tests'"):
        NO_GOALS.of('tests')
