# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a person types: valid input works, wrong input gets one line and exit code 2."""

import json
import shlex
import shutil
from argparse import _SubParsersAction

import pytest
from json_keys import misfits

from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.cli import train_evaluate as commands
from mbmrl_ros.cli.help_text import EXAMPLES, GROUPS
from mbmrl_ros.cli.main import main
from mbmrl_ros.cli.parser import NODES, make_parser
from mbmrl_ros.config import UserError
from mbmrl_ros.spec.robot import load_robot

TINY = [
    'iterations=2', 'rollouts=4', 'rollout_steps=60', 'past_steps=4', 'future_steps=4',
    'hidden_sizes=[16]', 'batch_size=8', 'epochs=1', 'validation_fraction=0.5',
    'planner={candidates: 4, horizon: 3}', 'control_planner={candidates: 4, horizon: 3}',
]  # fmt: skip
TASK = 'half_cheetah/disabled_joint'


def train(algorithm, out, *more, start_from=None):
    options = list(more) if more[:1] == ('--seed',) else []
    settings = [part for item in (*TINY, *more[len(options) :]) for part in ('--set', item)]
    start = ['--start-from', str(start_from)] if start_from else []
    arguments = ['--task', TASK, '--out', str(out), '--threads', '1', *start, *options, *settings]
    return main(['train', algorithm, *arguments])


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp('runs') / 'grbal'
    assert train('grbal', out) == 0
    return out


def wrong(capsys, *arguments):
    """Run a command that must fail; return the one line it says."""
    assert main(list(arguments)) == 2
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith('mbmrl: ') and 'Traceback' not in said.out
    return lines[0]


@pytest.mark.parametrize('line', [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_a_command_of_the_one_it_stands_at(line):
    program, *arguments = shlex.split(line)
    options = make_parser().parse_args(arguments)
    assert program == 'mbmrl' and line in EXAMPLES[options.command]


def test_help_shows_every_command_once_and_its_examples(capsys):
    commands = next(a for a in make_parser()._actions if isinstance(a, _SubParsersAction))
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(commands.choices)
    assert set(grouped) == EXAMPLES.keys() | NODES.keys()
    with pytest.raises(SystemExit):
        main(['--help'])
    said = capsys.readouterr().out
    assert all(f'\n    {name} ' in said for name in grouped)
    assert all(f'\n  {title}:\n' in said for title in GROUPS)
    with pytest.raises(SystemExit):
        main(['bag', '--help'])
    assert 'example:\n  mbmrl bag bags/ --robot' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('given', 'threads'), [('3', 3), ('4,2', 4), ('', 2), ('many', 2), ('0', 2)]
)
def test_threads_are_those_of_the_environment_unless_they_are_said(given, threads, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', given)
    parse = make_parser().parse_args
    assert parse(['evaluate', 'run']).threads == threads
    assert parse(['bench', 'tick']).threads == threads
    assert parse(['evaluate', 'run', '--threads', '5']).threads == 5


@pytest.mark.parametrize('what', ['tasks', 'algorithms', 'robots', 'bundles', 'experiments'])
def test_lists_say_what_there_is(what, capsys):
    assert main([what]) == 0
    expected = {'tasks': TASK, 'algorithms': 'grbal', 'robots': 'half_cheetah'}
    expected |= {'experiments': 'generalisation: Fig. 33'}
    assert expected.get(what, '') in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['trian'], "did you mean 'train'?"),
        (['evaluate', 'run', '--episodes', '-3'], 'whole number of at least 1, got'),
        (['evaluate', 'run', '--step-size', 'nan'], 'needs a number of at least 0'),
        (['train', 'mb', '--priority', '-1'], '0 (none) to 99'),
        (['combine', 'a', '--out', 'b', '--policy-share', '-1'], 'at least 0, below 1'),
        (['train', 'grabl', '--task', TASK], "unknown algorithm 'grabl'; did you mean 'grbal'"),
        (['train', 'mb', '--task', 'cheetah'], 'unknown task'),
        (['train', 'mb', '--task', TASK, '--set', 'epcohs=3'], "did you mean 'epochs'"),
        (['train', 'mb', '--task', TASK, '--set', 'epochs=0'], 'epochs: '),
        (['train', 'mb', '--task', TASK, '--set', 'epochs=many'], "got 'many'"),
        (['train', 'mb', '--task', TASK, '--set', 'epochs'], 'key=value'),
        (['train', 'mb', '--task', TASK, '--set', 'planner.noise=-1'], 'planner.noise'),
        (['train', 'mb', '--task', TASK, '--config', 'two_cores'], 'is called default now'),
        (['train', 'grbal', '--task', TASK, '--config', 'from_mb'], '--start-from RUN'),
        (['train', 'mb', '--task', TASK, '--seed', '-1'], 'needs a whole number of 0 to'),
        (['train', 'mb', '--task', TASK, '--seed', str(2**70)], 'of 0 to 4294967295'),
        (['train', 'mb', '--task', TASK, '--out', ''], 'needs a path, got nothing'),
        (['train', 'mb', '--task', TASK, '--robot', 'ant'], 'and --robot is ant'),
        (['evaluate', 'run', '--bundle', 'other'], 'not both'),
        (['evaluate', 'run', '--step-size', '1'], 'goes with --adaptation dynamic_evaluation'),
        (['evaluate', 'run', '--data', 'data', '--test', 'undisturbed'], 'leave one of them'),
        (['security', '--robot', 'ant', '--namespace', 'a b', '--out', 'x'], "got 'a b'"),
        (['evaluate', '--bundle', 'nowhere'], "no bundle 'nowhere'"),
        (['report', 'nowhere'], 'is not a run folder'),
        (['demo', '--seeds', '0'], 'at least 1'),
        (['demo', '--task', 'nothing'], 'unknown task'),
    ],
)
def test_wrong_input_gets_one_line_that_says_what_is_valid(arguments, said, capsys, tmp_path):
    if arguments[0] == 'train':
        arguments = [*arguments, '--out', str(tmp_path / 'run')]
    assert said in wrong(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_run_folder_holds_what_is_promised(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {'config.yaml', 'run.json', 'metrics.csv', 'tensorboard', 'bundle', 'bundles'}
    assert not list(trained.rglob('*.partial'))
    assert {path.name for path in (trained / 'bundles').iterdir()} == {'0001', '0002'}


def test_a_training_ends_with_what_it_came_to_and_what_is_next(trained, capsys):
    assert train('grbal', trained) == 0
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert lines[0].startswith('validation loss ') and 'the mean change' in lines[0]
    assert ' before, ' in lines[1] and 'after adapting' in lines[1]
    assert lines[2:] == [
        f'bundle: {trained}/bundle',
        f'curves: mbmrl report {trained}',
        f'next:   mbmrl evaluate {trained}',
    ]


def test_evaluate_writes_its_numbers(trained, tmp_path, capsys):
    numbers = tmp_path / 'numbers.json'
    bundle = str(trained / 'bundle')
    arguments = ['--episodes', '3', '--steps', '30', '--threads', '1', '--json', str(numbers)]
    assert main(['evaluate', '--bundle', bundle, *arguments]) == 0
    content = json.loads(numbers.read_text())
    assert not [*misfits('evaluate, a model', content)]
    assert set(content['tests']) == {'undisturbed', 'held_out', 'mid_run'}
    fails = {name: result['failure_step'] for name, result in content['tests'].items()}
    assert fails == {'undisturbed': None, 'held_out': None, 'mid_run': 10}
    lines = capsys.readouterr().out.splitlines()
    broken = {name: next(line for line in lines if name in line) for name in fails}
    assert [' - ' in broken[name] for name in fails] == [True, True, False]
    assert sum('doing nothing' in line for line in lines) >= 1
    for result in content['tests'].values():
        assert len(result['returns_fallback']) == 3
        assert len(result['returns']) == 3
        assert result['mean'] == pytest.approx(sum(result['returns']) / 3, abs=1e-3)
        before, after = result['mean_before'], result['mean_after']
        assert before + after == pytest.approx(result['mean'], abs=1e-3)
        assert result['ratio'] == pytest.approx(result['loss_after'] / result['loss_before'])


def test_evaluate_keeps_the_tests_that_are_done_where_a_later_one_fails(
    monkeypatch, tmp_path, capsys
):
    done = {'mean': 7.0, 'std_over_episodes': 1.0, 'mean_after': 3.0, 'returns': [7.0],
            'std_over_episodes_after': 1.0, 'ended_early': 0,
            'loss_before': 0.5, 'loss_after': 0.25, 'ratio': 0.5, 'failure_step': None,
            'mean_fallback': 1.0, 'verdicts': []}  # fmt: skip

    def evaluate_test(bundle, adapter, trial, planner):
        if trial.test == 'mid_run':
            raise UserError('no memory is left')
        return done

    monkeypatch.setattr(commands, '_evaluate_test', evaluate_test)
    numbers = tmp_path / 'numbers.json'
    arguments = ['--bundle', 'half_cheetah/disabled_joint/mb', '--json', str(numbers)]
    assert main(['evaluate', *arguments, '--test', 'held_out,mid_run']) == 2
    assert json.loads(numbers.read_text())['tests'] == {'held_out': done}
    said = capsys.readouterr()
    assert 'held_out' in said.out and 'mbmrl: no memory is left' in said.err


def test_evaluate_without_adaptation_changes_no_loss(trained, tmp_path):
    numbers = tmp_path / 'numbers.json'
    arguments = ['--test', 'held_out,mid_run', '--adaptation', 'none', '--episodes', '2']
    arguments += ['--steps', '20', '--json', str(numbers), '--threads', '1']
    assert main(['evaluate', '--bundle', str(trained / 'bundle'), *arguments]) == 0
    tests = json.loads(numbers.read_text())['tests']
    assert list(tests) == ['held_out', 'mid_run']
    assert all(test['ratio'] == pytest.approx(1.0) for test in tests.values())


def test_evaluate_takes_another_planner_at_its_defaults(trained, tmp_path, capsys):
    numbers = tmp_path / 'numbers.json'
    arguments = ['evaluate', '--bundle', str(trained / 'bundle'), '--test', 'held_out']
    arguments += ['--episodes', '2', '--steps', '20', '--threads', '1']
    given = ['--planner', 'random_shooting', '--candidates', '30', '--json', str(numbers)]
    assert main([*arguments, *given]) == 0
    planner = json.loads(numbers.read_text())['planner']
    assert planner == {'kind': 'random_shooting', 'candidates': 30, 'horizon': 5}
    capsys.readouterr()
    said = wrong(capsys, *arguments, '--planner', 'shooting')
    assert "unknown planner 'shooting'; did you mean 'random_shooting'?" in said


def test_evaluate_names_a_wrong_test_before_it_runs_anything(trained, capsys):
    said = wrong(capsys, 'evaluate', '--bundle', str(trained / 'bundle'), '--test', 'midrun')
    assert "did you mean 'mid_run'" in said
    both = ['--test', 'held_out,midrun']
    said = wrong(capsys, 'evaluate', '--bundle', str(trained / 'bundle'), *both)
    assert "did you mean 'mid_run'" in said


def test_models_of_several_seeds_are_combined_and_evaluated(trained, tmp_path, capsys):
    out, other = tmp_path / 'ensemble', tmp_path / 'seed1'
    assert train('grbal', other, '--seed', '1') == 0
    assert main(['combine', str(trained), str(other / 'bundle'), '--out', str(out)]) == 0
    assert f'bundle: {out}, 2 models of grbal for {TASK}' in capsys.readouterr().out
    assert load_bundle(out, load_robot('half_cheetah')).dynamics.members == 2
    numbers = tmp_path / 'numbers.json'
    arguments = ['--bundle', str(out), '--test', 'undisturbed', '--episodes', '2', '--steps', '20']
    assert main(['evaluate', *arguments, '--threads', '1', '--json', str(numbers)]) == 0
    result = json.loads(numbers.read_text())['tests']['undisturbed']
    assert result['adaptations_accepted'] + result['adaptations_refused'] > 0
    assert 0 < result['loss_after'] < 100


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        (['--out', '{trained}/bundle'], 'is one of the models; choose another folder'),
        (['--out', 'x', '--uncertainty-penalty', '1'], 'needs several models'),
        (['{trained}', '--out', 'x'], 'a model is named twice'),
        (['nothing', '--out', 'x'], "no bundle 'nothing'"),
        (['--out', 'x', '--uncertainty-penalty', '-1'], 'needs a number of at least 0'),
    ],
)
def test_what_cannot_be_combined_is_refused(trained, more, said, capsys):
    arguments = [part.replace('{trained}', str(trained)) for part in more]
    assert said in wrong(capsys, 'combine', str(trained), *arguments)


def test_report_is_one_page_with_its_figures_inside(trained, capsys):
    assert main(['report', str(trained)]) == 0
    page = (trained / 'report.html').read_text()
    assert page.count('data:image/png;base64,') == 4
    assert 'http' not in page.replace('http-equiv', '')
    assert 'rollout_steps' in page


def test_a_training_can_start_from_another_run(trained, tmp_path):
    out = tmp_path / 'mb'
    assert train('mb', out, start_from=trained) == 0
    for name in ('0001', '0002'):
        data = f'data/{name}.safetensors'
        assert (out / data).read_bytes() == (trained / data).read_bytes()
    # Only the last fit was done, and it began at the other run's weights: an epoch of 30 updates
    # by Adam at a rate of 0.001 moves a weight by about 0.03; a new draw differs by up to
    # 2 * 0.39 (Glorot).
    assert (out / 'metrics.csv').read_text().splitlines()[1].startswith('2,')
    spec = load_robot('half_cheetah')
    start, end = (load_bundle(folder / 'bundle', spec).params for folder in (trained, out))
    assert 0 < (end['weight0'] - start['weight0']).abs().max() < 0.05


def test_a_start_from_nowhere_is_refused(tmp_path, capsys):
    arguments = ['--task', TASK, '--out', str(tmp_path / 'run'), '--start-from', str(tmp_path)]
    assert 'not a run folder' in wrong(capsys, 'train', 'mb', *arguments)
    # Nothing is left that the right name would be refused by.
    assert not (tmp_path / 'run').exists()


def test_a_start_from_a_run_that_was_left_says_so(trained, tmp_path, capsys):
    assert train('mb', tmp_path / 'whole', start_from=trained) == 0
    assert 'was left' not in capsys.readouterr().err
    left = tmp_path / 'left'
    shutil.copytree(trained, left)
    shutil.rmtree(left / 'bundle')
    assert train('mb', tmp_path / 'part', start_from=left) == 0
    assert f'{left} was left after 2 iterations' in capsys.readouterr().err


def test_a_start_from_a_run_with_more_data_than_would_be_fitted_to_is_refused(
    trained, tmp_path, capsys
):
    settings = [part for item in (*TINY, 'iterations=1') for part in ('--set', item)]
    place = ['--out', str(tmp_path / 'run'), '--start-from', str(trained)]
    said = wrong(capsys, 'train', 'mb', '--task', TASK, *place, *settings)
    assert 'data of 2 iterations' in said and '--set iterations=2' in said


def test_the_same_command_with_other_settings_is_refused(trained, capsys):
    settings = [part for item in (*TINY, 'epochs=2') for part in ('--set', item)]
    said = wrong(capsys, 'train', 'grbal', '--task', TASK, '--out', str(trained), *settings)
    assert 'other settings' in said


def test_nodes_answer_wrong_parameters_with_exit_code_2(capsys):
    said = wrong_node(capsys, 'control', 'robot:=half_cheeta')
    assert "did you mean 'half_cheetah'" in said
    assert 'unknown robot' in wrong_node(capsys, 'sim', 'robot:=nobody')
    assert 'timeout_s' in wrong_node(capsys, 'gate', 'timeout_s:=0.0')


def wrong_node(capsys, name, parameter):
    assert main([name, '--ros-args', '-p', parameter]) == 2
    return capsys.readouterr().err
