# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is collected: what goes wrong with one piece costs none behind it."""

import pytest
import torch
from small_learning import parameters

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.nodes.learners import episodes
from mbmrl_ros.nodes.learners.episodes import EpisodeStore
from mbmrl_ros.nodes.learners.plan import plan_part
from mbmrl_ros.nodes.learners.settings import SharedSettings
from mbmrl_ros.training.run import Run


def _piece(part):
    system = part.search.env.system
    return Trajectory(
        torch.zeros(4, system.state_size),
        torch.zeros(3, system.action_size),
        torch.full((3,), -1),
    )


@pytest.mark.parametrize('error', [OSError('no space left'), RuntimeError('a mistake')])
def test_a_piece_that_cannot_be_kept_is_said_and_the_next_one_is_kept(
    tmp_path, monkeypatch, error
):
    given = parameters('mb_mpo', tmp_path)
    part = plan_part(SharedSettings(**given | {'settings': tuple(given['settings'])}))
    piece, sent = _piece(part), []
    store = EpisodeStore(part, sent.append)
    save_data, problems = store.run.save_data, []

    def fails_once(number, pieces):
        if not problems:
            problems.append(error)
            raise error
        problems.append(store.problem)
        save_data(number, pieces)

    monkeypatch.setattr(store.run, 'save_data', fails_once)
    store.put(piece, {})
    store.put(piece, {})
    store.close()
    assert problems[1].startswith('steps were lost: ') and str(error) in problems[1]
    assert (store.count, store.steps, store.problem, len(sent)) == (1, 3, '', 1)


def test_wall_time_counts_while_it_collects_and_goes_on_where_it_was(tmp_path, monkeypatch):
    given = parameters('mb_mpo', tmp_path)
    settings = SharedSettings(**given | {'settings': tuple(given['settings'])})
    now = 1000.0
    monkeypatch.setattr(episodes.time, 'monotonic', lambda: now)
    # Each start of the machine has a clock of its own.
    for began_s in (1000.0, 50.0):
        now, part = began_s, plan_part(settings)
        store = EpisodeStore(part, lambda _: None)
        now += 12.5
        store.put(_piece(part), {})
        store.close()
    rows = store.run.folder.joinpath('metrics.csv').read_text().splitlines()
    column = rows[0].split(',').index('wall_s')
    assert [float(row.split(',')[column]) for row in rows[1:]] == [12.5, 25.0]


def test_a_folder_whose_rows_have_dates_counts_from_its_next_start(tmp_path, monkeypatch):
    given = parameters('mb_mpo', tmp_path)
    part = plan_part(SharedSettings(**given | {'settings': tuple(given['settings'])}))
    monkeypatch.setattr(Run, 'last_logged', lambda self: {'wall_s': 1.7951e9})
    monkeypatch.setattr(episodes.time, 'monotonic', lambda: 7.0)
    store = EpisodeStore(part, lambda _: None)
    store.put(_piece(part), {})
    store.close()
    assert store.last['wall_s'] == 0.0
