# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl bag`, `train --data`, `evaluate --data`: from bags to numbers, and what is refused."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from json_keys import misfits
from reference_formats import wrong_arrays

from mbmrl_ros.cli.main import main
from mbmrl_ros.data.recordings import load_recordings
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import claimed
from mbmrl_ros.training.search.recorded_start import recorded_episodes

SPEC = load_robot('millirobot')
TINY = [
    'past_steps=6', 'future_steps=6', 'hidden_sizes=[16]', 'batch_size=16', 'epochs=2',
    'validation_fraction=0.5',
]  # fmt: skip


@pytest.fixture(scope='module')
def bags(walks, tmp_path_factory):
    folder = tmp_path_factory.mktemp('bags')
    for number, storage in enumerate(('mcap', 'sqlite', 'mcap', 'sqlite')):
        walks.write_bag(folder / f'walk{number}', walks.walk(40), storage)
    return folder


@pytest.fixture(scope='module')
def data(bags, tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'walks'
    assert main(['bag', str(bags), '--robot', 'millirobot', '--out', str(out)]) == 0
    return out


def train(data, out, algorithm='mb', *more):
    settings = [part for item in TINY for part in ('--set', item)]
    arguments = ['--data', str(data), '--out', str(out), '--threads', '1', *settings, *more]
    return main(['train', algorithm, *arguments])


@pytest.fixture(scope='module', params=['grbal', 'rebal'])
def trained(request, data, tmp_path_factory):
    out = tmp_path_factory.mktemp('runs') / request.param
    assert train(data, out, request.param) == 0
    return out / 'bundle'


def wrong(capsys, *arguments):
    """Run a command that must fail; return the one line it says."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith('mbmrl: ')
    return lines[-1]


def test_bag_says_what_was_kept_and_writes_it_down(bags, tmp_path, capsys):
    out, numbers = tmp_path / 'data', tmp_path / 'bag.json'
    arguments = ['bag', bags / 'walk0', bags / 'walk1', '--robot', 'millirobot', '--out', out]
    assert main([str(part) for part in [*arguments, '--json', numbers]]) == 0
    said = capsys.readouterr().out
    assert '2 trajectories, 76 transitions' in said and 'no rate' in said
    # Two bags of four seconds hold no ten windows of GrBAL's recipe for recordings.
    assert '76 control steps, 0.1 minutes, in 2 pieces' in said and 'too little to train' in said
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest == json.loads(numbers.read_text())
    assert manifest['format'] == 1 and manifest['robot_hash'] == SPEC.hash
    for name in ('walk0', 'walk1'):
        assert not [*wrong_arrays(out / f'{name}.safetensors', SPEC)]
    assert [session['name'] for session in manifest['sessions']] == ['walk0', 'walk1']
    assert sorted(path.name for path in out.iterdir()) == [
        'manifest.json', 'walk0.safetensors', 'walk1.safetensors',
    ]  # fmt: skip


def test_one_bad_bag_does_not_end_the_batch(walks, tmp_path, capsys):
    walks.write_bag(tmp_path / 'bags' / 'good', walks.walk(40))
    walks.write_bag(tmp_path / 'bags' / 'nothing', [])
    latin = tmp_path / 'bags' / os.fsdecode(b'caf\xe9')
    walks.write_bag(tmp_path / 'bags' / 'latin', walks.walk(40)).rename(latin)
    out, numbers = tmp_path / 'data', tmp_path / 'bag.json'
    arguments = ['bag', tmp_path / 'bags', '--robot', 'millirobot', '--out', out]
    assert main([str(part) for part in [*arguments, '--json', numbers]]) == 0
    said = capsys.readouterr().out
    assert '2 trajectories, 76 transitions' in said
    assert 'nothing was left out: ' in said and 'none was recorded' in said
    manifest = json.loads(numbers.read_text())
    assert [session['name'] for session in manifest['sessions']] == [r'caf\xe9', 'good']
    assert list(manifest['unreadable']) == ['nothing']
    assert (out / r'caf\xe9.safetensors').is_file()


def test_nothing_kept_is_an_error_with_its_chief_reason_and_leaves_nothing(
    walks, tmp_path, capsys
):
    rows = walks.walk(40)
    for row in rows:
        row.turn = (0.0, 0.0, 0.0, 0.0)
    bag, out, numbers = walks.write_bag(tmp_path / 'walk', rows), tmp_path / 'd', tmp_path / 'j'
    arguments = ['bag', bag, '--robot', 'millirobot', '--out', out, '--json', numbers]
    assert main([str(part) for part in arguments]) == 2
    said = capsys.readouterr()
    assert 'messages refused' in said.out and 'of 200 messages' in said.out
    chief = 'refused, 3.9 of 3.9 s (40 x pose: quaternion is not of norm 1)'
    assert '│ 40 ' in said.out and f'nothing was kept: {chief}' in said.out
    assert said.err.splitlines()[-1] == (
        f'mbmrl: nothing was kept, so there is no dataset: {chief}'
    )
    assert {path.name for path in tmp_path.iterdir()} == {'walk'}


def test_evaluate_compares_with_no_change_before_and_after_adaptation(
    data, trained, tmp_path, capsys
):
    numbers = tmp_path / 'evaluation.json'
    arguments = [
        'evaluate',
        '--bundle',
        trained,
        '--data',
        data,
        '--threads',
        1,
        '--json',
        numbers,
    ]
    assert main([str(part) for part in arguments]) == 0
    said = capsys.readouterr()
    assert 'predicting that nothing changes' in said.out and 'after adapting' in said.out
    assert '92/92' in said.err
    result = json.loads(numbers.read_text())
    assert not [*misfits('evaluate --data', result)]
    assert result['algorithm'] == trained.parent.name and result['adaptation'] == 'auto'
    assert result['ratio'] == pytest.approx(result['loss_after'] / result['loss_before'])
    # Of 38 transitions 6 come before the first moment, and 10 after the last.
    assert result['windows'] == 4 * (38 - 6 - 10 + 1) and result['trajectories'] == 4
    assert list(result['errors']) == [channel.name for channel in SPEC.state]
    x = result['errors']['x']
    assert x['unit'] == 'm'
    # The robot walks 0.025 m a step.
    for horizon in (1, 5, 10):
        assert x[str(horizon)]['no_change'] == pytest.approx(0.025 * horizon, rel=0.01)
        assert x[str(horizon)]['before'] > 0 and x[str(horizon)]['after'] > 0


def test_a_bundle_of_recordings_can_be_named_for_a_task(data, tmp_path):
    task = 'millirobot/path'
    assert train(data, tmp_path / 'run', 'mb', '--task', task) == 0
    info = json.loads((tmp_path / 'run' / 'bundle' / 'bundle.json').read_text())
    assert info['task'] == task and info['robot'] == 'millirobot'


@pytest.mark.parametrize('algorithm', ['mb', 'grbal', 'rebal'])
def test_settings_for_recordings_of_any_robot_are_there(algorithm):
    from mbmrl_ros.cli.recordings import recordings_config

    for robot in ('half_cheetah', 'millirobot'):
        config = recordings_config(algorithm, load_robot(robot))
        assert config.weight_decay > 0
        assert config.yaw_augmentation == (robot == 'millirobot')


def test_what_is_wrong_is_said_in_one_line_and_leaves_nothing(
    bags, data, trained, tmp_path, capsys
):
    out = tmp_path / 'out'
    bag = ('bag', bags, '--robot', 'millirobot', '--out')
    cases = {
        'nowhere: no such file or folder': ('bag', 'nowhere', *bag[2:], out),
        'unknown robot': ('bag', bags, '--robot', 'millirobt', '--out', out),
        'is not an empty folder': (*bag, data),
        'no namespace has the topics odom': ('bag', bags, '--robot', 'half_cheetah', '--out', out),
        'has no topic /millirobot/x': (*bag, out, '--commands', '/millirobot/x'),
        'train needs --task TASK': ('train', 'mb'),
        'is no dataset of recordings': ('train', 'mb', '--data', bags, '--out', out),
        "did you mean 'grbal'": ('train', 'grabl', '--data', data, '--out', out),
        'has no channel': (
            'train', 'mb', '--data', data, '--out', out, '--set', 'sensor_bias_std={zz: 1}',
            '--set', 'validation_fraction=0.5',
        ),
        'made for robot millirobot with other channels': (
            'evaluate', '--bundle', trained, '--data', data, '--robot', 'half_cheetah',
        ),
        'does not fit robot millirobot': (
            'evaluate', '--bundle', 'half_cheetah/disabled_joint/mb', '--data', data,
        ),
    }  # fmt: skip
    for said, arguments in cases.items():
        assert said in wrong(capsys, *arguments)
    assert not (out / 'bundle').exists() and not (out / 'manifest.json').exists()


def test_a_folder_with_a_name_in_latin_1_is_a_bag_as_any_other(bags, tmp_path):
    # A file name is bytes; these are no text in UTF-8.
    named = tmp_path / os.fsdecode(b'f\xfcnf')
    shutil.copytree(bags / 'walk0', named)
    out, numbers = tmp_path / os.fsdecode(b'\xe9'), tmp_path / 'bag.json'
    command = [sys.executable, '-m', 'mbmrl_ros.cli.main', 'bag', named, '--robot', 'millirobot']
    result = subprocess.run([*command, '--out', out, '--json', numbers], capture_output=True)
    assert result.returncode == 0 and b'dataset: ' in result.stdout
    [session] = load_recordings(out, SPEC)
    assert session.name == r'f\xfcnf' == json.loads(numbers.read_text())['sessions'][0]['name']


@pytest.mark.parametrize('target', ['walk/metadata.yaml', 'walk/walk0.mcap', 'link'])
def test_a_result_does_not_take_the_place_of_an_input(bags, tmp_path, capsys, target):
    shutil.copytree(bags / 'walk0', tmp_path / 'walk')
    (tmp_path / 'link').symlink_to('walk/metadata.yaml')
    before = (tmp_path / target).read_bytes()
    out = ('--out', tmp_path / 'data', '--json', tmp_path / target)
    said = wrong(capsys, 'bag', tmp_path / 'walk', '--robot', 'millirobot', *out)
    assert 'is an input of this command' in said
    assert (tmp_path / target).read_bytes() == before and not (tmp_path / 'data').exists()


def test_targets_are_tried_before_a_bag_is_read(bags, tmp_path, capsys, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setattr('mbmrl_ros.cli.recordings.read_recordings', None)
    arguments = ('bag', bags, '--robot', 'millirobot')
    said = wrong(capsys, *arguments, '--out', tmp_path / 'file' / 'data')
    assert 'Not a directory' in said and 'space' not in said
    said = wrong(capsys, *arguments, '--out', tmp_path / 'd', '--json', tmp_path / 'no' / 'a')
    assert f'there is no folder {tmp_path / "no"}' in said
    said = wrong(capsys, *arguments, '--out', tmp_path / 'd', '--json', tmp_path / 'd')
    assert '--json and --out are both' in said
    with claimed(tmp_path / 'taken', 'mbmrl bag'):
        said = wrong(capsys, *arguments, '--out', tmp_path / 'taken')
    assert 'another mbmrl bag is at work in' in said
    assert [path.name for path in tmp_path.iterdir()] == ['file']


CRAWLER = """
extends: millirobot.yaml
tasks:
  forward:
    description: walk along x
    episode_steps: 10
    reward: [{term: forward_velocity, channel: vx}]
"""


@pytest.mark.parametrize('kind', ['dataset', 'bags'])
def test_a_policy_search_may_begin_with_recordings(kind, bags, data, tmp_path, capsys):
    robot = tmp_path / 'crawler.yaml'
    robot.write_text(CRAWLER)
    source = data if kind == 'dataset' else bags
    pieces = recorded_episodes(source, load_meta_task('forward', str(robot)), None)
    # Four walks of 38 steps, in parts of at most 10.
    assert sum(piece.steps for piece in pieces) == 152 and len(pieces) == 16
    # What it goes on in is a simulation, and this robot's motors have none in batches.
    command = ['train', 'me_ppo', '--data', source]
    task = ['--task', 'forward', '--robot', robot, '--out', tmp_path / 'run']
    assert 'are not sampled in batches' in wrong(capsys, *command, *task)
    assert 'needs --task' in wrong(capsys, *command)
    assert 'unknown task of policies' in wrong(capsys, *command, '--task', 'millirobot/road')
