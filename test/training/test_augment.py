# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows turned and with offsets: what changes, and what must not."""

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.spec import load_robot
from mbmrl_ros.training.augment import (
    make_augmentation,
    seen_together,
    turned,
    unchanged,
    with_offsets,
)
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.types import Transitions

SPEC = load_robot('millirobot')
PAIRS = [(0, 1), (3, 4), (10, 11)]
OTHERS = [i for i in range(24) if all(i not in pair for pair in PAIRS)]


def windows(rows: int = 64, steps: int = 5, seed: int = 0) -> Transitions:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, steps + 1, 24, generator=generator, dtype=torch.float64)
    actions = torch.rand(rows, steps, 2, generator=generator, dtype=torch.float64)
    return Transitions(states[:, :-1], actions, states[:, 1:])


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def as_complex(states: torch.Tensor, pair: tuple[int, int]) -> torch.Tensor:
    return torch.complex(states[..., pair[0]], states[..., pair[1]])


def test_a_turn_is_one_rotation_of_all_vectors_of_a_window():
    before = windows()
    after = turned(before, PAIRS, stream())
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
    after = turned(before, PAIRS, stream())
    assert torch.equal(after.states[..., OTHERS], before.states[..., OTHERS])
    assert torch.equal(after.actions, before.actions)


def test_offsets_are_constant_over_a_window_and_leave_changes_as_they_are():
    before = windows(rows=4000)
    deviations = torch.tensor([0.5, 2.0], dtype=torch.float64)
    after = with_offsets(before, [2, 7], deviations, stream())
    offset = after.states - before.states
    assert torch.allclose(after.next_states - after.states, before.next_states - before.states)
    assert torch.allclose(offset, offset[:, :1].expand_as(offset))
    # 4000 draws: the deviation is known to 1 / sqrt(2 * 4000), one in ninety.
    measured = offset[:, 0].std(0)
    assert torch.allclose(measured[[2, 7]], deviations, rtol=0.05)
    rest = [i for i in range(24) if i not in (2, 7)]
    assert (offset[..., rest] == 0).all()


def test_past_and_future_are_seen_alike():
    whole = windows(steps=8)
    past = Transitions(*(tensor[:, :5] for tensor in whole))
    future = Transitions(*(tensor[:, 5:] for tensor in whole))
    config = TrainingConfig(turn_about_vertical=True, sensor_offsets={'z': 0.1})
    see = make_augmentation(SPEC, config)
    parts = seen_together(see, past, future, stream())
    expected = see(whole, stream())
    for k, part in enumerate(parts):
        rows = slice(0, 5) if k == 0 else slice(5, 8)
        for tensor, reference in zip(part, expected):
            assert torch.equal(tensor, reference[:, rows])


def test_nothing_is_changed_unless_asked_for():
    before = windows()
    see = make_augmentation(SPEC, TrainingConfig())
    for one, other in zip(see(before, stream()), unchanged(before, stream())):
        assert torch.equal(one, other)


def test_an_unknown_channel_is_refused():
    with pytest.raises(UserError, match="has no channel 'zz'"):
        make_augmentation(SPEC, TrainingConfig(sensor_offsets={'zz': 0.1}))


def test_the_robot_file_names_what_turns():
    places = [tuple(SPEC.channel_index(name) for name in pair) for pair in SPEC.heading]
    assert places == PAIRS
