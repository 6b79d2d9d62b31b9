# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/tour.ipynb by its own cells, and what its text says of them."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mbmrl_ros as mb

TOUR = Path(__file__).parent.parent / 'docs' / 'tour.ipynb'


@pytest.fixture(scope='module')
def tour():
    """Run all cells; return the names that they leave behind."""
    names = {'__name__': 'tour'}
    with pytest.MonkeyPatch.context() as patch:
        # A quarter of what is shipped: the runs take most of the time, and still show it.
        patch.setattr(mb, 'load', partial(mb.load, candidates=64))
        for number, cell in enumerate(json.loads(TOUR.read_text())['cells']):
            if cell['cell_type'] == 'code':
                exec(compile(''.join(cell['source']), f'{TOUR.name}[{number}]', 'exec'), names)
    yield names
    names['env'].close()


def test_adapting_brings_the_hand_nearer_with_the_weight_on_it(tour):
    ends = {
        name: np.mean([tour['from_goal'](state) for state in states[-10:]])
        for name, (states, _) in tour['runs'].items()
    }
    assert ends['auto'] < 0.5 * ends['none']


def test_the_adapted_model_predicts_better(tour):
    assert tour['adapted'].accepted
    assert tour['adapted'].loss_after < 0.5 * tour['adapted'].loss_before
    off = [
        np.abs(tour[name] - tour['truth'])[:, tour['places']].mean()
        for name in ('before', 'after')
    ]
    assert off[1] < 0.5 * off[0]


def test_robots_side_by_side_have_disturbances_of_their_own(tour):
    assert tour['total'].shape == (128,)
    assert np.isfinite(tour['total']).all() and tour['total'].std() > 1
