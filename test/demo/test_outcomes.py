# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a demo says at its end, in a sentence."""

from types import SimpleNamespace

import pytest

from mbmrl_ros.demo import reaching
from mbmrl_ros.demo.outcomes import CONTENDERS, headline
from mbmrl_ros.sim.disturbances import parse


@pytest.mark.parametrize(
    ('values', 'said', 'of'),
    [
        ([4.0], 'MB 4.0', 'one run each'),
        # The 95 % interval of two is 12.7 standard errors: it would say +- 12.7.
        ([5.0, 3.0], 'MB 4.0 (3.0, 5.0)', 'means of 2 runs each, in brackets the two'),
        # t of two degrees of freedom, 4.303, by 1 / sqrt(3).
        ([5.0, 4.0, 3.0], 'MB 4.0 ± 2.5', 'means of 3 runs each, ±: 95 % interval'),
    ],
)
def test_of_two_runs_the_two_are_said_in_place_of_their_interval(values, said, of):
    scene = SimpleNamespace(faults=(parse('held_payload:hand:1.5'),))
    summary = {
        'seeds': list(range(len(values))),
        'controllers': {CONTENDERS[0].key: {reaching.SHOW.headline.key: values}},
    }
    sentence = headline(scene, reaching.SHOW, summary)
    assert f'{said} cm' in sentence and sentence.endswith(f'({of}).')
