# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows turned and with offsets: what changes, and what must not."""

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.augment import (
    Moving,
    augment_pair,
    drifting,
    make_augmentation,
    turned,
    turning,
    unchanged,
    with_offsets,
)
from mbmrl_ros.training.dynamics.settings import AugmentationConfig
from mbmrl_ros.types import Transitions

SPEC = load_robot('millirobot')
PAIRS = [(0, 1), (3, 4), (10, 11)]
OTHERS = [i for i in range(24) if all(i not in pair for pair in PAIRS)]


def windows(rows: int = 64, steps: int = 5, seed: int = 0) -> Transitions:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, steps + 1, 24, generator=generator, dtype=torch.float64)
    actions = torch.rand(rows, steps, 2, generator=generator, dtype=torch.float64)
    return Transitions(states[:, :-1], actions, states[:, 1:])


def make_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def as_complex(states: torch.Tensor, pair: tuple[int, int]) -> torch.Tensor:
    return torch.complex(states[..., pair[0]], states[..., pair[1]])


def test_a_turn_is_one_rotation_of_all_vectors_of_a_window():
    before = windows()
    after = turned(before, PAIRS, make_generator())
    # A rotation by an angle is a product with exp(i angle): the quotient is the same everywhere.
    quotients = torch.cat(
        [
            as_complex(getattr(after, field), pair) / as_complex(getattr(before, field), pair)
            for pair in PAIRS
            for field in ('states', 'next_states')
        ],
        1,
    )
    assert torch.allclose(quotients.abs(), torch.ones_like(quotients.abs()))
    assert torch.allclose(quotients, quotients[:, :1].expand_as(quotients))
    # Every window has an angle of its own, all over the circle.
    angles = quotients[:, 0].angle()
    assert angles.unique().numel() == len(angles) and angles.std() > 1.0


def test_a_turn_leaves_everything_else_as_it_is():
    before = windows()
    after = turned(before, PAIRS, make_generator())
    assert torch.equal(after.states[..., OTHERS], before.states[..., OTHERS])
    assert torch.equal(after.actions, before.actions)


def test_offsets_are_constant_over_a_window_and_leave_changes_as_they_are():
    before = windows(rows=4000)
    deviations = torch.tensor([0.5, 2.0], dtype=torch.float64)
    after = with_offsets(before, [2, 7], deviations, make_generator())
    offset = after.states - before.states
    assert torch.allclose(after.next_states - after.states, before.next_states - before.states)
    assert torch.allclose(offset, offset[:, :1].expand_as(offset))
    # 4000 draws: the deviation is known to 1 / sqrt(2 * 4000), one in ninety.
    measured = offset[:, 0].std(0)
    assert torch.allclose(measured[[2, 7]], deviations, rtol=0.05)
    rest = [i for i in range(24) if i not in (2, 7)]
    assert (offset[..., rest] == 0).all()


X, Y, VX, VY, COS, SIN, RATE = (
    SPEC.channel_index(name) for name in ('x', 'y', 'vx', 'vy', 'cos_yaw', 'sin_yaw', 'yaw_rate')
)
MOVING = Moving([(X, Y)], [(VX, VY)], [(COS, SIN)])


def straight_on(rows: int, steps: int, speed: float = 0.3) -> Transitions:
    """Drive along y at 0.3 m/s, 0.1 s a step."""
    states = torch.zeros(rows, steps + 1, 24, dtype=torch.float64)
    states[..., Y] = torch.arange(steps + 1) * speed * SPEC.period_s
    states[..., VY] = speed
    states[..., SIN] = 1.0
    return Transitions(states[:, :-1], torch.zeros(rows, steps, 2), states[:, 1:])


def test_a_robot_that_turns_on_its_own_drives_a_circle():
    after = turning(straight_on(400, 6), MOVING, RATE, 2.0, SPEC.period_s, make_generator())
    rates = after.states[:, 0, RATE]
    assert torch.equal(rates[:, None].expand(-1, 6), after.next_states[..., RATE])
    # Half of the robots, give or take four deviations of 400 draws; 0 to 2 rad/s either way.
    turns = rates != 0
    assert 160 <= turns.sum() <= 240
    assert rates.abs().max() <= 2.0 and rates.min() < -1.5 and rates.max() > 1.5
    headings = torch.atan2(after.next_states[..., SIN], after.next_states[..., COS])
    angles = headings - torch.atan2(after.states[..., SIN], after.states[..., COS])
    angles = torch.atan2(angles.sin(), angles.cos())
    assert torch.allclose(angles, rates[:, None].expand(-1, 6) * SPEC.period_s)
    # Velocity and way point where the robot does, and are as long as they were.
    for first, second, size in ((VX, VY, 0.3), (X, Y, 0.03)):
        vector = after.next_states[..., [first, second]]
        if first == X:
            vector = vector - after.states[..., [X, Y]]
        assert torch.allclose(vector[..., 0], size * headings.cos())
        assert torch.allclose(vector[..., 1], size * headings.sin())
    before = straight_on(400, 6)
    assert torch.equal(after.next_states[~turns], before.next_states[~turns])


def test_a_robot_that_turns_goes_on_from_where_it_was():
    after = turning(windows(), MOVING, RATE, 2.0, SPEC.period_s, make_generator())
    kept = [place for place in range(24) if place not in (X, Y)]
    assert torch.allclose(after.states[:, 1:, kept], after.next_states[:, :-1, kept])


def test_a_drift_is_a_velocity_that_does_not_turn():
    before = windows(rows=400)
    after = drifting(before, MOVING, 0.2, SPEC.period_s, make_generator())
    drift = after.states[:, 0, [VX, VY]] - before.states[:, 0, [VX, VY]]
    drifts = drift.abs().sum(1) > 1e-9
    assert 160 <= drifts.sum() <= 240 and drift.abs().max() <= 0.2 + 1e-9
    changed = torch.zeros(400, 24, dtype=torch.float64)
    changed[:, [VX, VY]] = drift
    assert torch.allclose(after.states - before.states, changed[:, None].expand(-1, 5, -1))
    changed[:, [X, Y]] = drift * SPEC.period_s
    assert torch.allclose(
        after.next_states - before.next_states, changed[:, None].expand(-1, 5, -1)
    )


def test_past_and_future_are_seen_alike():
    whole = windows(steps=8)
    past = Transitions(*(tensor[:, :5] for tensor in whole))
    future = Transitions(*(tensor[:, 5:] for tensor in whole))
    config = AugmentationConfig(
        yaw_augmentation=True,
        yaw_rate_bias={'yaw_rate': 2.0},
        velocity_bias=0.2,
        sensor_bias_std={'z': 0.1},
    )
    see = make_augmentation(SPEC, config)
    parts = augment_pair(see, past, future, make_generator())
    expected = see(whole, make_generator())
    for k, part in enumerate(parts):
        rows = slice(0, 5) if k == 0 else slice(5, 8)
        for tensor, reference in zip(part, expected):
            assert torch.equal(tensor, reference[:, rows])


def test_nothing_is_changed_unless_asked_for():
    before = windows()
    see = make_augmentation(SPEC, AugmentationConfig())
    for one, other in zip(see(before, make_generator()), unchanged(before, make_generator())):
        assert torch.equal(one, other)


def test_an_unknown_channel_is_refused():
    for wrong in (
        AugmentationConfig(sensor_bias_std={'zz': 0.1}),
        AugmentationConfig(yaw_rate_bias={'zz': 1}),
    ):
        with pytest.raises(UserError, match="has no channel 'zz'"):
            make_augmentation(SPEC, wrong)


def test_what_moves_is_read_off_the_robot_file():
    before, config = (
        windows(),
        AugmentationConfig(yaw_rate_bias={'yaw_rate': 2.0}, velocity_bias=0.2),
    )
    after = make_augmentation(SPEC, config)(before, generator := make_generator())
    again = make_generator()
    expected = turning(before, MOVING, RATE, 2.0, SPEC.period_s, again)
    expected = drifting(expected, MOVING, 0.2, SPEC.period_s, again)
    assert all(torch.equal(one, other) for one, other in zip(after, expected))
    assert torch.equal(generator.get_state(), again.get_state())


def test_the_robot_file_names_what_turns():
    places = [tuple(SPEC.channel_index(name) for name in pair) for pair in SPEC.heading]
    assert places == PAIRS
