# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The video of the demo's runs, from recorded readings to the file."""

import importlib.util
import io

import numpy as np
import pytest
import torch
from opengl import needs_opengl
from rich.console import Console

from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.demo import film
from mbmrl_ros.demo.outcomes import CONTENDERS, Outcome, Scene
from mbmrl_ros.demo.reaching import from_goal
from mbmrl_ros.demo.run import SHOWS, Story, _Report
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.nodes.episode.read_bag import RecordedRun
from mbmrl_ros.reports.video import read_video, write_video
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

STEPS = 12


def scene(robot, seeds=((0, 1), (0, 1), (1,))):
    """Return runs of the demo: every controller lets go."""
    task = load_task(SHOWS[robot].task)
    spec = load_robot(task.robot)
    world = World(spec)
    outcomes = []
    for contender, own in zip(CONTENDERS, seeds):
        for seed in own:
            world.reset(np.random.default_rng(seed))
            signals = [world.signals()]
            for _ in range(STEPS):
                world.step(np.array(spec.action.fallback))
                signals.append(world.signals())
            signals = np.stack(signals)
            states = torch.from_numpy(encode(spec, signals, np.zeros_like(signals))).float()
            actions = torch.zeros(STEPS, spec.action_size)
            path = Trajectory(states, actions, torch.full((STEPS,), -1))
            terms = {'path_distance': np.full(STEPS, 0.05)}
            recorded = RecordedRun(signals, path, {})
            outcomes.append(Outcome(contender, seed, recorded, np.zeros(STEPS), terms, None))
    return Scene(task, spec, outcomes, task.test('mid_run')(STEPS))


@needs_opengl
@pytest.mark.parametrize('robot', ['half_cheetah', 'pr2_left_arm'])
def test_runs_are_beside_each_other_and_what_fails_turns_red(robot):
    pictures = list(film.draw_film(scene(robot), SHOWS[robot], 1))
    assert len(pictures) == STEPS + 1
    assert {picture.shape for picture in pictures} == {(film.HEIGHT + 2 * film.BAR, 960, 3)}
    inside = slice(film.BAR, film.BAR + film.HEIGHT)
    for place in range(3):
        columns = slice(place * film.WIDTH, (place + 1) * film.WIDTH)
        reds = []
        for picture in (pictures[STEPS // 3 - 1], pictures[STEPS // 3]):
            r, g, b = np.moveaxis(picture[inside, columns].astype(int), -1, 0)
            reds.append(int(((r > 100) & (r > 2.5 * g) & (r > 2.5 * b)).sum()))
        assert reds[0] == 0 and reds[1] > 50, reds


def test_the_seed_is_one_that_all_controllers_have():
    chosen = film._chosen(scene('half_cheetah'))
    assert [outcome.seed for outcome in chosen] == [1, 1, 1]
    assert [outcome.contender for outcome in chosen] == list(CONTENDERS)


def test_a_drop_out_of_motion_capture_repeats_the_last_pose():
    first, second = np.zeros(3), np.ones(3)
    lost = np.array([1.0, np.nan, 0.0])
    found = film.last_known([first, lost, lost, second, lost])
    assert np.array_equal(found, [first, first, first, second, second])


def test_a_video_is_read_back_as_it_was_written(tmp_path):
    pictures = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(10)]
    path = write_video(tmp_path / 'video.mp4', iter(pictures), 10)
    found = read_video(path)
    assert len(found) == 10 and found[0].shape == (48, 64, 3)
    # Video has colours from 16 to 235, and is compressed.
    assert all(np.abs(a.astype(int) - b).max() < 8 for a, b in zip(found, pictures))


def test_without_the_extra_the_demo_says_in_a_line_what_is_missing(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == 'av' else find(name)
    )
    said = io.StringIO()
    runs = scene('half_cheetah')
    report = _Report(Story(runs.task, runs.spec, SHOWS['half_cheetah'], STEPS), {}, tmp_path)
    assert report._film(Console(file=said), runs) is None
    assert said.getvalue() == "no video: av is not installed (pip install 'mbmrl_ros[video]')\n"
    assert not list(tmp_path.iterdir())


def test_without_opengl_the_demo_says_so_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise UserError('cannot draw: neither EGL nor OSMesa is installed')

    monkeypatch.setattr(film, 'Renderer', refuse)
    said = io.StringIO()
    runs = scene('half_cheetah')
    report = _Report(Story(runs.task, runs.spec, SHOWS['half_cheetah'], STEPS), {}, tmp_path)
    assert report._film(Console(file=said), runs) is None
    assert said.getvalue().startswith('cannot draw')
    assert not list(tmp_path.iterdir())


def test_the_distance_from_the_goal_is_that_of_the_farthest_point():
    runs = scene('pr2_left_arm')
    states = np.zeros((2, runs.spec.state_size))
    target = next(term.target for term in runs.task.reward if term.target)
    for name, value in target.items():
        states[:, runs.spec.channel_index(name)] = value
    assert np.allclose(from_goal(runs.spec, runs.task, states), 0)
    states[0, runs.spec.channel_index('left_y')] += 0.03
    states[0, runs.spec.channel_index('left_z')] += 0.04
    states[0, runs.spec.channel_index('tip_x')] += 0.02
    assert np.allclose(from_goal(runs.spec, runs.task, states), [0.05, 0.0])
