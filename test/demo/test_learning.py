# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo that learns: what it says of what a robot did, and the pictures of it."""

import json

import numpy as np
import pytest
import torch
from json_keys import misfits
from opengl import needs_opengl

from mbmrl_ros.cli.main import main
from mbmrl_ros.data.dataset import Trajectory, save_trajectories
from mbmrl_ros.demo import learning
from mbmrl_ros.demo.learning import Learned, Summary, headline, summarise
from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS
from mbmrl_ros.nodes.learners import asynchronous
from mbmrl_ros.robot.state import encode
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('pr2_left_arm')
TASK = LEARNING_TASKS['pr2_left_arm/reach_undisturbed']
TARGET = next(term.target for term in TASK.reward if term.target)


def at_distance(*metres):
    """Return states [T + 1, S] whose hand is moved so far upwards from its goal at each step."""
    states = np.zeros((1 + len(metres), SPEC.state_size))
    for name, value in TARGET.items():
        states[1:, SPEC.channel_index(name)] = value + (
            np.array(metres) if name.endswith('_z') else 0.0
        )
    return states


def test_where_episodes_end_is_the_mean_of_their_last_second():
    # 10 Hz: ten steps are a second; what is before does not count.
    far, near = at_distance(*[0.9] * 5, *[0.5] * 10), at_distance(*[0.3] * 5, *[0.01] * 10)
    summary = summarise(Learned(TASK, SPEC, [far, near, near]))
    assert summary.first_cm == pytest.approx(50.0) and summary.last_cm == pytest.approx(1.0)
    # The second of three episodes of 15 steps is the first from which on all are near.
    assert summary.robot_min == pytest.approx(45 / 600)
    assert summary.near_after_min == pytest.approx(30 / 600)


def test_who_is_far_once_more_was_not_near_for_good():
    far, near = at_distance(*[0.5] * 10), at_distance(*[0.01] * 10)
    assert summarise(Learned(TASK, SPEC, [near, far])).near_after_min is None
    assert 'never within 2 cm' in headline(Summary(3.0, 50.0, 9.0, None))


def test_readings_behind_a_state_are_its_own():
    state = np.arange(SPEC.state_size, dtype=float)
    signals = learning.as_signals(SPEC, state)
    known = np.isfinite(signals)
    assert known.sum() == 14  # Seven angles and seven velocities; points are computed.
    assert np.allclose(encode(SPEC, signals[None])[0][:14], state[:14])


def test_the_demo_starts_the_learners_and_shows_what_they_left(tmp_path, monkeypatch, capsys):
    def learn(settings, part, priority, learning):
        folder = part.folder
        assert (settings.algorithm, settings.task) == ('mb_mpo', TASK.name)
        assert (part.robot, part.steps) == ('pr2_left_arm', 200)
        (folder / 'collector' / 'data').mkdir(parents=True)
        for number, states in enumerate((at_distance(*[0.5] * 10), at_distance(*[0.01] * 10)), 1):
            states = torch.from_numpy(states).float()
            piece = Trajectory(states, torch.zeros(10, 7), torch.full((10,), -1))
            save_trajectories(folder / 'collector' / 'data' / f'{number:04d}', [piece])

    monkeypatch.setattr(asynchronous, '_learn', learn)
    monkeypatch.setattr(learning, '_film', lambda path, learned: None)
    out = tmp_path / 'out'
    assert main(['demo', '--learn', '--steps', '200', '--out', str(out)]) == 0
    summary = json.loads((out / 'summary.json').read_text())
    assert not [*misfits('demo --learn', summary)]
    assert summary['first_cm'] == pytest.approx(50.0, rel=1e-3)
    assert summary['last_cm'] == pytest.approx(1.0, rel=1e-3)
    assert 'ends 1.0 cm from its goal, 50.0 cm in the first' in capsys.readouterr().out
    assert 'learned from nothing' in (out / 'report.html').read_text()


@needs_opengl
def test_the_film_shows_the_first_steps_beside_the_last():
    learned = Learned(TASK, SPEC, [at_distance(0.5, 0.5), at_distance(0.01, 0.01)])
    # An elbow that is bent in the last steps alone.
    learned.states[1][:, SPEC.channel_index('elbow_flex')] = -1.5
    pictures = list(learning.draw_film(learned))
    assert len(pictures) == 2
    left, right = np.split(pictures[0][32:-32], 2, 1)
    assert left.std() > 5 and np.abs(left.astype(int) - right).mean() > 1


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [(('--robot', 'millirobot'), 'no demo of how'), (('--steps', '50'), 'an episode has 100')],
)
def test_what_cannot_be_learned_is_said_in_a_line(arguments, says, tmp_path, capsys):
    assert main(['demo', '--learn', '--out', str(tmp_path / 'out'), *arguments]) == 2
    assert says in capsys.readouterr().err
