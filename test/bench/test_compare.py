# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Alternating repetitions on a clock that the test turns."""

import time

import pytest
import torch

from mbmrl_ros.bench.compare import WARM_UP, Contender, alternate, conditions, peer
from mbmrl_ros.config import UserError

CPU = torch.device('cpu')


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, 'perf_counter', lambda: self.now)

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_it_returns_medians_in_milliseconds_without_the_warm_up(clock):
    spent = iter([99.0] * WARM_UP + [5.0, 1.0, 2.0, 70.0, 4.0])
    times = alternate({'a': Contender(lambda: clock.spend(next(spent)))}, 5)
    assert times == {'a': pytest.approx(4000.0)}


def test_preparing_is_not_timed(clock):
    contender = Contender(lambda: clock.spend(0.5), prepare=lambda: clock.spend(10.0))
    assert alternate({'a': contender}, 3) == {'a': pytest.approx(500.0)}


def test_parts_that_a_run_reports_have_medians_of_their_own(clock):
    parts = iter([{'half': 1e6}] * WARM_UP + [{'half': 1.0}, {'half': 9.0}, {'half': 3.0}])

    def run():
        clock.spend(0.01)
        return next(parts)

    assert alternate({'whole': Contender(run)}, 3) == {'whole': pytest.approx(10.0), 'half': 3.0}


def test_contenders_take_turns_and_none_always_follows_the_same_one():
    order = []
    contenders = {name: Contender(lambda name=name: order.append(name)) for name in 'abc'}
    alternate(contenders, 3)
    rounds = [''.join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert rounds == ['abc', 'bca', 'cab', 'abc', 'bca', 'cab']


def test_a_peer_that_is_missing_is_an_error_that_says_how_to_get_it():
    with pytest.raises(UserError, match=r"no_such_library.*pip install 'no-such-library>=2'"):
        peer('no_such_library', 'no-such-library>=2')
    assert peer('json', 'json').loads('1') == 1


def test_conditions_say_where_and_how():
    found = conditions(CPU, 7)
    assert found['repetitions'] == 7
    assert found['device'] == 'cpu'
    assert found['threads'] == torch.get_num_threads()
    assert found['torch'] == torch.__version__
    assert found['processor']
