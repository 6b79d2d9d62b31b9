# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pieces on threads: all of them, in order, and nothing of it stays."""

import pytest
import torch

from mbmrl_ros.training.parallel import threads


@pytest.fixture(params=[1, 3])
def count(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_pieces_are_all_done_and_come_back_in_order(count):
    with threads() as each:
        assert each(lambda piece: piece**2, range(20)) == [piece**2 for piece in range(20)]
        assert each(lambda piece: torch.get_num_threads(), range(5)) == [1] * 5
    assert torch.get_num_threads() == count


def test_gradients_flow_in_every_piece(count):
    weight = torch.ones(3, requires_grad=True)

    def slope(piece):
        return torch.autograd.grad((weight * piece).sum(), weight)[0]

    with threads() as each:
        slopes = each(slope, range(4))
    assert torch.equal(torch.stack(slopes), torch.arange(4.0)[:, None].expand(4, 3))


def test_what_goes_wrong_in_a_piece_goes_wrong(count):
    def fail(piece):
        raise ValueError(f'piece {piece}')

    with pytest.raises(ValueError, match='piece 0'), threads() as each:
        each(fail, range(4))
    assert torch.get_num_threads() == count
