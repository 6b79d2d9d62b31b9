# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer runs it, only shorter: nodes, topics, bags, table, page."""

import json
import shutil

import numpy as np
import pytest
from json_keys import misfits
from opengl import drawable
from rosbags.highlevel import AnyReader

from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS
from mbmrl_ros.bundles.dynamics import save_bundle
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.demo import run
from mbmrl_ros.demo.outcomes import CONTENDERS
from mbmrl_ros.demo.run import SHOWS
from mbmrl_ros.demo.runs import DemoRun
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.nodes.episode.episode import Episode
from mbmrl_ros.nodes.episode.read_bag import read_run
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.rewards.path import path_segments
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.fit_model import ModelTraining
from mbmrl_ros.training.dynamics.publish import untrained_bundle

STEPS = 100
SPEC, MILLIROBOT = load_robot('half_cheetah'), load_robot('millirobot')


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp('demo')
    assert main(small(out)) == 0
    return out


@pytest.fixture(scope='module')
def bundles(tmp_path_factory):
    """Models of the millirobot that have learned nothing, and are fast."""
    folder = tmp_path_factory.mktemp('bundles')
    for algorithm in ('mb', 'grbal'):
        config = ALGORITHMS[algorithm].Config(
            past_steps=6, future_steps=6, hidden_sizes=(32,),
            control_planner=MPPIConfig(candidates=32, horizon=4),
        )  # fmt: skip
        training = ModelTraining(LEARNERS[algorithm], MILLIROBOT, config, 0)
        bundle = untrained_bundle(training, 'millirobot/path')
        save_bundle(folder / algorithm, bundle)
    return folder


@pytest.fixture(scope='module')
def followed(tmp_path_factory, bundles):
    """The demo of the millirobot."""
    out = tmp_path_factory.mktemp('followed')
    arguments = ['--robot', 'millirobot', '--bundles', str(bundles), '--out', str(out)]
    assert main(['demo', '--steps', str(STEPS), '--seeds', '1', *arguments]) == 0
    return out


@pytest.fixture(params=['half_cheetah', 'millirobot'])
def shown(request):
    """Every demo: its robot, and the folder that it wrote."""
    fixture = {'half_cheetah': 'demo', 'millirobot': 'followed'}[request.param]
    return request.param, request.getfixturevalue(fixture)


def test_summary_has_the_documented_keys_with_a_value_per_seed(shown):
    robot, folder = shown
    summary = json.loads((folder / 'summary.json').read_text())
    assert not [*misfits('demo', summary)]
    assert summary['task'] == SHOWS[robot].task
    assert summary['seeds'] == [0] and summary['failure_step'] == STEPS // 3
    assert set(summary['controllers']) == {'mb', 'mb_de', 'grbal'}
    for numbers in summary['controllers'].values():
        for key in ('return_before', 'return_after', 'distance_m', 'loss_before', 'loss_after'):
            assert len(numbers[key]) == 1 and np.isfinite(numbers[key][0])
        assert numbers['tick_ms']['p99'][0] >= numbers['tick_ms']['median'][0] > 0
        total = numbers['return_before'][0] + numbers['return_after'][0]
        assert total == pytest.approx(numbers['return'][0], abs=1e-3)


def test_only_the_adapting_controllers_change_their_loss(demo):
    numbers = json.loads((demo / 'summary.json').read_text())['controllers']
    assert numbers['mb']['loss_before'] == numbers['mb']['loss_after']
    for key in ('mb_de', 'grbal'):
        assert numbers[key]['loss_before'] != numbers[key]['loss_after']


@pytest.fixture
def performed(demo, monkeypatch):
    """Runs are copies of those of the demo; GrBAL's fails. The titles of those that were begun."""
    begun = []

    def perform(run, on_step, stop):
        begun.append(run.title)
        if run.contender.key == 'grbal':
            raise UserError('no step for 60 s')
        shutil.copytree(demo / run.folder.name, run.folder)

    def no_film(*arguments):
        raise UserError('no video here')

    monkeypatch.setattr(DemoRun, 'perform', perform)
    monkeypatch.setattr(run, 'write_film', no_film)
    return begun


def small(out, *more):
    arguments = ['--robot', 'half_cheetah', '--steps', str(STEPS), '--seeds', '1']
    return ['demo', *arguments, '--out', str(out), *more]


def test_a_run_that_fails_leaves_table_and_page_of_the_others(demo, performed, tmp_path, capsys):
    assert main(small(tmp_path)) == 1
    said = capsys.readouterr()
    assert 'mbmrl: GrBAL, seed 0: no step for 60 s\n' in said.err
    assert 'the same command goes on' in said.err
    assert 'MB+DE' in said.out
    summary = json.loads((tmp_path / 'summary.json').read_text())
    whole = json.loads((demo / 'summary.json').read_text())
    assert summary['missing'] == {'GrBAL, seed 0': 'no step for 60 s'} and not whole['missing']
    assert set(summary['controllers']) == {'mb', 'mb_de'}
    assert summary['controllers']['mb'] == whole['controllers']['mb']
    assert 'Not there: GrBAL, seed 0 (no step for 60 s)' in (tmp_path / 'report.html').read_text()


def test_started_again_it_does_what_is_missing_and_anew_what_has_other_settings(
    performed, tmp_path, capsys
):
    assert main(small(tmp_path)) == 1
    kept = (tmp_path / 'mb_seed0' / 'run.json').stat().st_mtime_ns
    other = tmp_path / 'mb_de_seed0' / 'run.json'
    settings = json.loads(other.read_text())
    other.write_text(json.dumps(settings | {'steps': STEPS + 1}))
    # With a seed that is not asked for: one that is whole, and one that is not.
    shutil.copytree(tmp_path / 'mb_seed0', tmp_path / 'mb_seed7')
    (tmp_path / 'mb_seed8' / 'bag').mkdir(parents=True)
    performed.clear()
    assert main(small(tmp_path)) == 1
    assert performed == ['MB+DE, seed 0', 'GrBAL, seed 0']
    assert '1 of 3 runs are there already' in capsys.readouterr().out
    assert (tmp_path / 'mb_seed0' / 'run.json').stat().st_mtime_ns == kept
    assert (tmp_path / 'mb_seed7').exists() and not (tmp_path / 'mb_seed8').exists()
    performed.clear()
    assert main(small(tmp_path, '--fresh')) == 1
    assert len(performed) == 3


def test_where_every_run_fails_the_reason_is_the_answer(performed, monkeypatch, tmp_path, capsys):
    def perform(run, on_step, stop):
        raise UserError('the recording broke off')

    monkeypatch.setattr(DemoRun, 'perform', perform)
    assert main(small(tmp_path)) == 2
    assert 'mbmrl: the recording broke off\n' in capsys.readouterr().err
    assert not (tmp_path / 'report.html').exists()


def test_page_is_self_contained(shown):
    _, folder = shown
    page = (folder / 'report.html').read_text()
    assert page.count('data:image/png;base64,') == 4
    # Where nothing can be drawn, there is a page without a video.
    assert page.count('data:video/mp4;base64,') == drawable() == (folder / 'video.mp4').exists()
    assert 'src="http' not in page and '<script' not in page
    assert (folder / 'overview.png').stat().st_size > 5000


@pytest.mark.parametrize('contender', [c.key for c in CONTENDERS])
def test_every_run_is_a_bag_with_all_topics_and_no_step_lost(shown, contender):
    robot, folder = shown
    with AnyReader([folder / f'{contender}_seed0' / 'bag']) as reader:
        counts = {c.topic.removeprefix('/demo/'): c.msgcount for c in reader.connections}
    topics = load_robot(robot).topics
    sensors = [*topics, 'sim_node/applied_command', 'controller_node/stats']
    assert all(counts[topic] >= STEPS for topic in sensors)
    assert counts['/clock'] > 0


def test_all_controllers_start_from_the_same_state(shown):
    robot, folder = shown
    starts = [
        read_run(folder / f'{c.key}_seed0' / 'bag', episode(robot)).trajectory.states[0]
        for c in CONTENDERS
    ]
    assert starts[0].isfinite().all()
    assert (starts[0] == starts[1]).all() and (starts[0] == starts[2]).all()


def test_a_bag_that_is_too_short_is_refused(demo):
    with pytest.raises(UserError, match='instead of 100000'):
        read_run(demo / 'mb_seed0' / 'bag', episode('half_cheetah', 100_000))


def test_numbers_of_a_followed_path_are_those_of_the_recorded_track(followed):
    summary = json.loads((followed / 'summary.json').read_text())
    numbers, failure = summary['controllers']['grbal'], summary['failure_step']
    assert summary['failure'].startswith('missing_leg:right_front_leg')
    recorded = read_run(followed / 'grbal_seed0' / 'bag', episode('millirobot'))
    missing = recorded.trajectory.states.isnan().any(1)
    # A step has no reward without the state before it, and without the one after it.
    rewarded = ~(missing[1:] | missing[:-1])
    assert numbers['steps_without_state'] == [STEPS - int(rewarded.sum())]
    [path] = {term.path for term in load_task(SHOWS['millirobot'].task).reward}
    segments = path_segments(path)
    place = recorded.trajectory.states[1:, :2].double()
    # Nearest of all segments: no farther than the one that suits position and heading best.
    along = ((place[:, None] - segments.starts) * segments.directions).sum(-1)
    along = along.clamp(min=0).minimum(segments.lengths)
    nearest = segments.starts + along[..., None] * segments.directions
    nearest_m = (place[:, None] - nearest).norm(dim=-1).amin(1)
    for when, rows in (('before', slice(failure)), ('after', slice(failure, None))):
        assert numbers[f'from_path_{when}_m'][0] >= float(nearest_m[rows].nanmean()) - 1e-6
    for when, rows in (('before', slice(failure)), ('after', slice(failure, None))):
        cost = -numbers[f'return_{when}'][0] / int(rewarded[rows].sum())
        assert numbers[f'cost_{when}'][0] == pytest.approx(cost, abs=1e-4)


def test_the_robot_breaks_at_a_step_of_the_run_which_begins_with_the_first_state():
    for robot, step in (('half_cheetah', 33), ('millirobot', 34)):
        show = SHOWS[robot]
        task = load_task(show.task)
        story = run.Story(task, load_robot(robot), show, STEPS)
        made = run.make_episode(story, CONTENDERS[0], 'bundle', 0)
        # The bundle may have been trained on another path.
        assert made.controller['task'] == task.name
        wrong = [event.disturbance for event in task.test(show.test)(STEPS)]
        assert made.schedule == tuple(f'{fault}@{step}' for fault in wrong)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--robot', 'milirobot'], "no demo of robot 'milirobot'; did you mean 'millirobot'"),
        (['--robot', ''], 'diff_drive, half_cheetah, millirobot'),
        (['--robot', 'millirobot', '--task', SHOWS['half_cheetah'].task], 'is for robot half_ch'),
        (['--task', 'ant/crippled_leg'], "no demo of robot 'ant'"),
    ],
)
def test_a_robot_without_a_demo_is_answered_by_those_that_have_one(capsys, arguments, said):
    assert main(['demo', *arguments]) == 2
    assert said in capsys.readouterr().err


def episode(robot, steps=STEPS):
    return Episode(load_robot(robot), steps, (), {}, {})
