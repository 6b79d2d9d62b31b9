# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics by worked numbers, for channels that do not change, and over all data alike."""

import pytest
import torch

from mbmrl_ros.models.normalizer import Inputs, Moments, Normalizer
from mbmrl_ros.types import Transitions


def transitions(states: list[list[float]], nexts: list[list[float]]) -> Transitions:
    return Transitions(torch.tensor(states), torch.zeros(len(states), 1), torch.tensor(nexts))


def test_statistics_are_those_of_worked_numbers():
    # Channel 0: states 1, 3 have mean 2 and deviation sqrt(2); changes 1, 3 likewise.
    # Channel 1: states 10, 14: mean 12, deviation sqrt(8); changes -2, 0: mean -1, sqrt(2).
    data = transitions([[1, 10], [3, 14]], [[2, 8], [6, 14]])
    data = Transitions(*(tensor.float() for tensor in data))
    fitted = Normalizer.fit(data)
    torch.testing.assert_close(fitted.state_mean, torch.tensor([2.0, 12.0]))
    torch.testing.assert_close(fitted.state_std, torch.tensor([2.0, 8.0]).sqrt())
    torch.testing.assert_close(fitted.delta_mean, torch.tensor([2.0, -1.0]))
    torch.testing.assert_close(fitted.delta_std, torch.tensor([2.0, 2.0]).sqrt())
    # (1 - 2) / sqrt(2) and (-2 - -1) / sqrt(2).
    torch.testing.assert_close(fitted.delta(data)[0], torch.tensor([-1.0, -1.0]) / 2**0.5)


def test_normalised_changes_have_mean_zero_and_deviation_one():
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1e-3, 1.0, 1e3])
    states = torch.randn(4, 500, 3, generator=generator) * scale + 5 * scale
    nexts = states + torch.randn(4, 500, 3, generator=generator) * scale / 10 + scale
    data = Transitions(states, torch.zeros(4, 500, 1), nexts)
    delta = Normalizer.fit(data).delta(data).flatten(0, 1)
    # Differences of float32 states of size 5 that are 0.1 wide keep 5 digits.
    torch.testing.assert_close(delta.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(delta.std(0), torch.ones(3), rtol=1e-4, atol=0)


def test_a_channel_that_never_changes_is_left_as_it_is():
    states = torch.tensor([[0.7, 1.0], [0.7, 2.0], [0.7, 4.0]])
    fitted = Normalizer.fit(Transitions(states, torch.zeros(3, 1), states.clone()))
    assert fitted.state_std[0] == 1.0
    assert fitted.delta_std.tolist() == [1.0, 1.0]
    assert fitted.state_std[1] > 1.0
    assert all(bool(value.isfinite().all()) for value in vars(fitted).values())


def test_a_small_signal_on_a_large_offset_keeps_its_deviation():
    # float32 resolves 6e-5 at 1000: a deviation of 0.1 is far above, and single precision sums
    # of squares (1e6 each) would lose it.
    generator = torch.Generator().manual_seed(0)
    states = 1000 + 0.1 * torch.randn(10_000, 1, generator=generator)
    fitted = Normalizer.fit(Transitions(states, torch.zeros(10_000, 1), states))
    # The estimate from 10000 draws is within 5 deviations, 5/sqrt(20000) = 3.5 %.
    torch.testing.assert_close(fitted.state_std, torch.tensor([0.1]), rtol=0.036, atol=0)


def test_statistics_of_all_data_do_not_depend_on_how_it_is_stacked():
    generator = torch.Generator().manual_seed(0)
    flat = Transitions(*(torch.randn(12, n, generator=generator) for n in (3, 2, 3)))
    stacked = Transitions(*(tensor.view(3, 4, -1) for tensor in flat))
    first, second = Normalizer.fit(flat), Normalizer.fit(stacked)
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(second, name))


def test_the_identity_changes_nothing():
    identity = Normalizer.identity(2)
    data = transitions([[1.0, 2.0]], [[4.0, -2.0]])
    assert identity.delta(data).tolist() == [[3.0, -4.0]]


def test_what_float32_rounds_is_no_signal():
    # The cosine of a tilt of 0.01 degrees is 1 - 2e-8: in float32 it is 1, or the next below.
    generator = torch.Generator().manual_seed(0)
    cosine = (2e-4 * torch.randn(5000, 1, generator=generator)).cos()
    assert len(cosine.unique()) > 1
    fitted = Normalizer.fit(Transitions(cosine[:-1], torch.zeros(4999, 1), cosine[1:]))
    assert fitted.state_std.tolist() == fitted.delta_std.tolist() == [1.0]
    tipped = torch.tensor([[0.999]])
    seen = Inputs(fitted, (0,), None)(tipped, torch.zeros(1, 0))
    torch.testing.assert_close(seen, torch.tensor([[-0.001]]), rtol=1e-3, atol=0)


@pytest.mark.parametrize('place', [1.0, 100.0, 5e5])
def test_a_change_is_held_against_the_rounding_of_the_states_it_is_between(place):
    # A robot that stands still at `place` metres; its readings waver between two neighbours.
    up = torch.rand(2000, generator=torch.Generator().manual_seed(0)) < 0.5
    here = torch.full((2000,), place)
    states = torch.where(up, here.nextafter(torch.tensor(torch.inf)), here)[:, None]
    fitted = Normalizer.fit(Transitions(states[:-1], torch.zeros(1999, 1), states[1:]))
    assert fitted.state_std.tolist() == fitted.delta_std.tolist() == [1.0]


@pytest.mark.parametrize('place', [0.0, 1.0, 100.0])
def test_a_hundred_times_the_rounding_is_a_signal(place):
    generator = torch.Generator().manual_seed(0)
    width = 100 * 1.2e-7 * max(1.0, place)
    states = place + width * torch.randn(2000, 1, generator=generator)
    fitted = Normalizer.fit(Transitions(states[:-1], torch.zeros(1999, 1), states[1:]))
    assert 0.9 * width < float(fitted.state_std) < 1.1 * width
    assert 1.2 * width < float(fitted.delta_std) < 1.6 * width


@pytest.mark.parametrize('offset', [0.0, 1e4])
def test_statistics_of_pieces_are_those_of_all_of_them(offset):
    generator = torch.Generator().manual_seed(3)
    pieces = []
    for steps in (1, 7, 40, 3):
        states = offset + torch.randn(steps + 1, 4, generator=generator).cumsum(0)
        # A channel that stays as it is.
        states[:, 3] = offset
        pieces.append(Transitions(states[:-1], torch.zeros(steps, 1), states[1:]))
    moments = [Moments.of(piece) for piece in pieces]
    merged = Normalizer.merged(Moments(*(torch.cat(rows) for rows in zip(*moments))))
    whole = Normalizer.fit(Transitions(*(torch.cat(rows) for rows in zip(*pieces))))
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(merged, name), value, rtol=2e-7, atol=1e-7)
    assert merged.state_std[3] == merged.delta_std[3] == 1
