# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: `mbmrl <command> --help`.

Wrong input is answered by one line and exit code 2; Ctrl-C ends with 130, SIGTERM with 143, and
what was written so far is whole. Where results go is looked at before anything else is done.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mbmrl_ros import __version__
from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.system.endings import UserError, begin_process, exit_code, interruptible
from mbmrl_ros.system.outputs import check_inputs_stay, claimed, output_file

Command = Callable[[argparse.Namespace], Any]
"""Does what the options ask for; returns an exit code, or None where all is well."""
NODES = {
    'sim': ('sim_node', 'the simulator node; --viewer shows it in a window'),
    'control': ('controller_node', 'the controller node'),
    'gate': ('command_gate', 'the node between controller and motors'),
    'record': ('recorder_node', 'the node that records a robot to a bag'),
    'play': ('player_node', 'the node that plays a bag'),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code. arguments: by default those of the process."""
    if arguments is None:
        begin_process()
        arguments = sys.argv[1:]
    return exit_code(lambda: _run(arguments), 'mbmrl')


def _run(arguments: list[str]) -> int:
    if arguments[:1] and arguments[0] in NODES:
        return _node(arguments[0], arguments[1:])
    parser = make_parser()
    if '_ARGCOMPLETE' in os.environ:
        _complete(parser)
    options = parser.parse_args(arguments)
    _check_inputs_stay(options)
    # What a command imports takes seconds; nothing is under way until it is called.
    command = options.command_of(options)
    with interruptible():
        return int(command(options) or 0)


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, which asks what may come next, and end the process."""
    import argcomplete

    from mbmrl_ros.cli.completion import add_names

    add_names(parser)
    argcomplete.autocomplete(parser)


def _check_inputs_stay(options: argparse.Namespace) -> None:
    """Refuse to write over what the command reads."""
    given = vars(options)
    names = ('data', 'robot', 'config', 'bundle', 'bundles', 'start_from')
    inputs = [Path(given[name]) for name in names if given.get(name)]
    inputs += [*given.get('bags', []), *given.get('run_folders', [])]
    target = given.get('out') if options.command == 'report' else given.get('json')
    check_inputs_stay(target, inputs)
    folder, numbers = given.get('out'), given.get('json')
    if folder and numbers and folder.resolve() == numbers.resolve():
        raise UserError(f'--json and --out are both {folder}; choose another file')


class _Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f'{message} (see {self.prog} --help)')


def _file_or_folder(text: str) -> Path:
    """Return a path where something can be written; what writes it knows which it needs."""
    return Path(text) if Path(text).is_dir() else output_file(text)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(prog='mbmrl', description='Robots that adapt their model while they run.')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(dest='command', required=True, parser_class=_Parser)
    _add_demo(commands.add_parser('demo', help='a robot breaks in mid-run and goes on'))
    _add_train(commands.add_parser('train', help='train a model; started again, it goes on'))
    _add_evaluate(commands.add_parser('evaluate', help='returns and losses of a bundle'))
    _add_experiment(commands.add_parser('experiment', help='the grid of a figure of the thesis'))
    _add_bag(commands.add_parser('bag', help='recordings to a dataset for train --data'))
    _add_shadow(
        commands.add_parser('shadow', help='a controller beside recordings, and a summary')
    )
    _add_combine(
        commands.add_parser('combine', help='models as an ensemble; a policy beside a model')
    )
    _add_bench(commands.add_parser('bench', help='how fast, beside peers, in one run'))
    init = commands.add_parser('init', help='a robot file for a MuJoCo model or a URDF')
    init.add_argument('model', metavar='MODEL', help='MJCF, URDF, or gymnasium/<file>.xml')
    init.add_argument('--out', type=output_file, metavar='FILE', help='default: MODEL.yaml, here')
    init.set_defaults(command_of=lambda options: _load('cli.own_robot', 'init_command'))
    check = commands.add_parser('check', help='every mistake of a robot file, in one go')
    check.add_argument('file', metavar='FILE', help='a .yaml, or the name of a shipped robot')
    check.add_argument('--json', type=output_file, metavar='OUT', help='also write it here')
    check.set_defaults(command_of=lambda options: _load('cli.own_robot', 'check_command'))
    report = commands.add_parser('report', help='a page of a training run, or of several')
    report.add_argument(
        'run_folders',
        type=Path,
        nargs='+',
        metavar='RUN',
        help='run folder; several are compared; or --out of experiment',
    )
    report.add_argument(
        '--out',
        type=_file_or_folder,
        metavar='FILE',
        help='default: RUN/report.html, comparison.html of several, adaptation.md of experiments; '
        'of studies the folder of their pages',
    )
    report.set_defaults(command_of=_report)
    settings = commands.add_parser('settings', help='what train --set KEY=VALUE can change')
    settings.add_argument('algorithm', metavar='ALGO', help='see: mbmrl algorithms')
    settings.add_argument(
        '--json', type=output_file, metavar='FILE', help='also write them here, to be read'
    )
    settings.set_defaults(command_of=_settings)
    for name in ('tasks', 'algorithms', 'robots', 'bundles', 'experiments'):
        lists = commands.add_parser(name, help=f'list the {name}')
        lists.set_defaults(command_of=_list, what=name)
        if name in ('tasks', 'robots'):
            lists.add_argument('--robot', metavar='FILE', help='also those of this robot file')
    key = commands.add_parser('key', help='a new key that signs policies between machines')
    key.add_argument('file', type=Path, metavar='FILE', help='of it, for its owner only')
    key.set_defaults(command_of=lambda options: _load('nodes.learners.signing', 'key_command'))
    _add_security(commands.add_parser('security', help='an SROS2 policy of the nodes of a robot'))
    stop = commands.add_parser('stop', help='emergency stop of all controllers and gates')
    stop.add_argument('--release', action='store_true', help='unlatch it instead')
    stop.set_defaults(command_of=lambda options: _load('nodes.by_hand.stopping', 'stop_command'))
    broken = commands.add_parser('break', help='break a joint of the robot in a simulator')
    broken.add_argument(
        'what', nargs='?', metavar='WHAT', help='joint, or kind:target[:value]; none: list them'
    )
    broken.add_argument('--mend', action='store_true', help='undo it; without WHAT: everything')
    broken.set_defaults(
        command_of=lambda options: _load('nodes.by_hand.breaking', 'break_command')
    )
    for name, (_, text) in NODES.items():
        commands.add_parser(name, help=f'{text}; takes --ros-args', add_help=False)
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--out', type=Path, default=Path('out/demo'), metavar='DIR', help='(out/demo)'
    )
    parser.add_argument('--seeds', type=_positive, default=2, help='runs per controller (2)')
    parser.add_argument(
        '--steps', type=_positive, help="control steps per run; default: the task's"
    )
    parser.add_argument(
        '--robot', help='pr2_left_arm (the default), millirobot, half_cheetah, diff_drive'
    )
    parser.add_argument('--task', help="default: the robot's")
    parser.add_argument(
        '--bundles', type=Path, metavar='DIR', help='with mb and grbal; default: the shipped ones'
    )
    parser.add_argument(
        '--json', type=output_file, metavar='FILE', help='also write the summary here'
    )
    parser.add_argument(
        '--fresh', action='store_true', help='do runs anew that are in --out already'
    )
    parser.add_argument(
        '--learn',
        action='store_true',
        help='pr2_left_arm learns to reach from nothing, in three minutes of real time',
    )
    parser.set_defaults(command_of=_demo)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('algorithm', metavar='ALGO', help='see: mbmrl algorithms')
    parser.add_argument('--task', help='see: mbmrl tasks')
    parser.add_argument(
        '--data', type=Path, metavar='DIR', help='recordings to train on, or to begin with'
    )
    parser.add_argument('--robot', help='its file, where that is not a shipped one')
    parser.add_argument('--config', help='recipe such as paper, or a .yaml (for two cores)')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='change a setting; as often as you like; see: mbmrl settings ALGO',
    )
    parser.add_argument(
        '--start-from',
        type=Path,
        metavar='RUN',
        help='take over the data and the weights of a run',
    )
    parser.add_argument(
        '--asynchronous',
        action='store_true',
        help='collect, fit and improve at once, beside a simulator in real time, as ROS nodes',
    )
    parser.add_argument(
        '--samplers',
        default='',
        metavar='ray:N',
        help='of meta policy search: rollouts in N shares by a Ray cluster; default: here',
    )
    parser.add_argument(
        '--key-file', metavar='FILE', help='with --asynchronous: sign what the nodes send; see key'
    )
    parser.add_argument('--seed', type=_whole, default=0, help='of all random numbers (0)')
    parser.add_argument('--threads', type=_positive, default=2, help='of the processor (2)')
    parser.add_argument('--out', type=Path, help='run folder (default: runs/<task>/<algo>/<seed>)')
    parser.set_defaults(command_of=_train)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'bundle', nargs='?', default=argparse.SUPPRESS, metavar='RUN', help='its last bundle'
    )
    parser.add_argument('--bundle', help='folder, or a name; see: mbmrl bundles')
    parser.add_argument('--task', help="default: the bundle's own")
    parser.add_argument('--data', type=Path, metavar='DIR', help='predict recordings instead')
    parser.add_argument('--robot', help='its file, where that is not a shipped one')
    parser.add_argument(
        '--test',
        default='all',
        help='undisturbed, held_out, ..., or several of them; default: all',
    )
    parser.add_argument(
        '--adaptation', default='auto', help='auto, none, grbal, rebal or dynamic_evaluation'
    )
    parser.add_argument('--step-size', type=float, help='of dynamic_evaluation')
    parser.add_argument('--episodes', type=_positive, default=10, help='of each test (10)')
    parser.add_argument(
        '--updates', type=_positive, default=3, help='of a meta-learned policy, each by --episodes'
    )
    parser.add_argument('--steps', type=_positive, help="of an episode; default: the task's")
    parser.add_argument('--seed', type=_whole, default=0, help='of all random numbers (0)')
    parser.add_argument(
        '--planner',
        help="mppi, random_shooting or cem, at its defaults; default: the bundle's. Of a run of "
        'MAAC: plan in its models, from its policy, to its critics; default: act by the policy',
    )
    parser.add_argument('--candidates', type=_positive, help="default: the planner's")
    parser.add_argument('--horizon', type=_positive, help="default: the planner's")
    parser.add_argument('--precision', default='auto', help='auto, float32 or bfloat16')
    parser.add_argument('--threads', type=_positive, default=2, help='of the processor (2)')
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the numbers here')
    parser.add_argument(
        '--figure', type=output_file, metavar='FILE', help='draw the errors of an ensemble here'
    )
    parser.set_defaults(command_of=_evaluate)


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('names', nargs='+', metavar='NAME', help='see: mbmrl experiments; or all')
    parser.add_argument('--out', type=Path, default=Path('runs/experiments'), metavar='DIR')
    parser.add_argument('--methods', nargs='+', default=[], help="default: the figure's")
    parser.add_argument('--tasks', nargs='+', default=[], help="default: the figure's")
    parser.add_argument('--seeds', nargs='+', type=_whole, default=[], help='such as 0 1 2')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='of the training settings; MODEL:KEY=VALUE for one of mb, mb_anew, grbal_anew, ...',
    )
    parser.add_argument(
        '--episodes', type=_positive, help="per measurement; default: the figure's"
    )
    parser.add_argument('--steps', type=_positive, help="per episode; default: the figure's")
    parser.add_argument('--candidates', type=_positive, help="default: the bundle's planner's")
    parser.add_argument('--processes', type=_positive, default=1, help='of one thread each (1)')
    parser.add_argument(
        '--ray', default='', metavar='ADDRESS', help='of a Ray cluster, HOST:PORT or auto'
    )
    parser.add_argument('--quick', action='store_true', help='a check of the machinery only')
    parser.add_argument('--full', action='store_true', help="the paper's size, of policies")
    parser.add_argument('--dry-run', action='store_true', help='say what there is to do')
    parser.set_defaults(command_of=_experiment)


def _add_security(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--robot', required=True, help='name or .yaml; see: mbmrl robots')
    parser.add_argument('--bundle', default='', help='that controls it; none: it only collects')
    parser.add_argument('--task', default='', help='to learn beside it; none: no learners')
    parser.add_argument('--namespace', default='', help='of the nodes')
    parser.add_argument('--out', type=output_file, required=True, metavar='FILE', help='.xml')
    parser.set_defaults(
        command_of=lambda options: _load('nodes.security.policy', 'security_command')
    )


def _add_bag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('bags', type=Path, nargs='+', metavar='BAG', help='or a folder of bags')
    parser.add_argument('--robot', required=True, help='name or .yaml; see: mbmrl robots')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='of the dataset')
    parser.add_argument('--namespace', help='of the robot, where a bag holds several')
    parser.add_argument('--commands', metavar='TOPIC', help="default: the robot file's")
    parser.add_argument(
        '--shortest', type=_positive, default=1, help='steps that a piece must have (1)'
    )
    parser.add_argument(
        '--json', type=output_file, metavar='FILE', help='also write the manifest here'
    )
    parser.set_defaults(command_of=_bag)


def _add_shadow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('bags', type=Path, nargs='+', metavar='BAG', help='or a folder of bags')
    parser.add_argument('--bundle', required=True, help='folder, or a name; see: mbmrl bundles')
    parser.add_argument('--task', help="whose reward; default: the bundle's own")
    parser.add_argument('--robot', help='its file, where that is not a shipped one')
    parser.add_argument(
        '--adaptation', default='auto', help='auto, none, grbal, rebal or dynamic_evaluation'
    )
    parser.add_argument('--namespace', help='of the robot, where a bag holds several')
    parser.add_argument('--commands', metavar='TOPIC', help="default: the robot file's")
    parser.add_argument('--seed', type=_whole, default=0, help='of all random numbers (0)')
    parser.add_argument('--threads', type=_positive, default=2, help='of the processor (2)')
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the numbers here')
    parser.set_defaults(command_of=lambda options: _load('cli.shadow', 'shadow_command'))


def _add_combine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('models', nargs='+', metavar='MODEL', help='bundles, or their run folders')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='of the bundle')
    parser.add_argument('--robot', help='its file, where that is not a shipped one')
    parser.add_argument(
        '--uncertainty-penalty',
        type=_not_negative,
        default=0.0,
        metavar='LAMBDA',
        help='what a plan loses per step and standard deviation of disagreement (0)',
    )
    parser.add_argument(
        '--policy', metavar='POLICY', help='proposes to the planner: a bundle, or its run folder'
    )
    parser.add_argument(
        '--value-weight',
        type=_not_negative,
        default=1.0,
        metavar='W',
        help='of what its critics say of the state that a plan ends in (1); 0: nothing',
    )
    parser.add_argument(
        '--policy-share',
        type=_share,
        metavar='SHARE',
        help="of the candidates; default: the planner's",
    )
    parser.set_defaults(command_of=lambda options: _load('cli.combine', 'combine_command'))


def _add_bench(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest='what', required=True, parser_class=_Parser)
    tick = kinds.add_parser('tick', help='adapt and plan once; beside pytorch_mppi')
    tick.add_argument('--candidates', type=_positive, default=2500, help='K (2500)')
    tick.add_argument('--horizon', type=_positive, default=15, help='H (15)')
    tick.add_argument('--window', type=_positive, default=32, help='M (32)')
    tick.add_argument('--precision', default='auto', help='auto, float32 or bfloat16')
    tick.add_argument('--members', type=_positive, default=1, help='E, models that adapt (1)')
    meta = kinds.add_parser('meta', help='one meta-gradient; beside autograd and torch.func')
    meta.add_argument('--tasks', type=_positive, default=32)
    meta.add_argument('--past', type=_positive, default=32, help='transitions to adapt on (32)')
    meta.add_argument('--future', type=_positive, default=32, help='to score on (32)')
    for network in (tick, meta):
        network.add_argument('--width', type=_positive, default=512, help='of three layers (512)')
        network.add_argument('--device', default='cpu', help='auto, cpu or cuda (cpu)')
    sim = kinds.add_parser('sim', help='the batched simulator; beside gymnasium')
    sim.add_argument('--robots', nargs='+', default=['half_cheetah', 'ant'], metavar='ROBOT')
    sim.add_argument('--environments', type=_positive, default=256, help='rows of ours (256)')
    sim.add_argument('--steps', type=_positive, default=100, help='control steps per run (100)')
    rollouts = kinds.add_parser('rollouts', help='sampling of policies; beside its physics')
    rollouts.add_argument('--task', default='half_cheetah/forward_backward')
    policy = kinds.add_parser('policy', help='an iteration of ProMP; beside gymnasium')
    for search in (rollouts, policy):
        search.add_argument('--tasks', type=_positive, default=40, help='N (40)')
        search.add_argument('--rollouts', type=_positive, default=20, help='R of each (20)')
        search.add_argument('--width', type=_positive, default=64, help='of two layers (64)')
    planners = kinds.add_parser('planners', help='MPPI beside those of pytorch_mppi')
    repetitions_of = {tick: 40, meta: 20, sim: 5, rollouts: 5, policy: 3, planners: 10}
    for kind, repetitions in repetitions_of.items():
        kind.add_argument(
            '--repetitions', type=_positive, default=repetitions, help=f'({repetitions})'
        )
        kind.add_argument('--threads', type=_positive, default=2, help='of the processor (2)')
        kind.add_argument(
            '--json', type=output_file, metavar='FILE', help='also write the numbers here'
        )
    parser.set_defaults(command_of=_bench)


def _positive(text: str) -> int:
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'needs a whole number of at least 1, got {text!r}')
    return value


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'needs a number of at least 0, got {text!r}')
    return value


def _share(text: str) -> float:
    value = _not_negative(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f'needs a number of at least 0, below 1, got {text!r}')
    return value


def _whole(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f'needs a whole number of at least 0, got {text!r}')
    return value


def _node(name: str, arguments: list[str]) -> int:
    module = importlib.import_module(EXECUTABLES[NODES[name][0]])
    if name == 'sim' and '--viewer' in arguments:
        arguments = [argument for argument in arguments if argument != '--viewer']
        arguments += ['--ros-args', '-p', 'viewer:=true']
    return int(module.main(arguments))


def _demo(options: argparse.Namespace) -> Command:
    if options.learn:
        return _in_its_folder(options, 'demo', 'demo.learning', 'learn_command')
    return _in_its_folder(options, 'demo', 'demo.run', 'demo_command')


def _train(options: argparse.Namespace) -> Command:
    if options.samplers and (options.asynchronous or options.data):
        raise UserError('--samplers goes without --asynchronous and --data')
    if options.key_file and not options.asynchronous:
        raise UserError('--key-file goes with --asynchronous')
    if options.data and options.asynchronous:
        raise UserError('--asynchronous collects by itself; leave out --data, or it')
    if options.data:
        return _load('cli.recordings', 'train_on_recordings')
    if not options.task:
        raise UserError(
            'train needs --task TASK (see: mbmrl tasks) or --data DIR (see: mbmrl bag)'
        )
    if options.asynchronous:
        return _load('nodes.learners.asynchronous', 'asynchronous_command')
    return _load('cli.train_evaluate', 'train_command')


def _evaluate(options: argparse.Namespace) -> Command:
    if not options.bundle:
        raise UserError('evaluate needs RUN, a run folder, or --bundle (see: mbmrl bundles)')
    if options.figure and options.figure == options.json:
        raise UserError(f'--json and --figure are both {options.figure}; choose another file')
    if options.data:
        return _load('cli.recordings', 'evaluate_on_recordings')
    return _load('cli.train_evaluate', 'evaluate_command')


def _experiment(options: argparse.Namespace) -> Command:
    return _load('cli.experiment', 'experiment_command')


def _bag(options: argparse.Namespace) -> Command:
    return _in_its_folder(options, 'bag', 'cli.recordings', 'bag_command')


def _bench(options: argparse.Namespace) -> Command:
    return _load('cli.bench', 'bench_command')


def _report(options: argparse.Namespace) -> Command:
    folders = options.run_folders
    if len(folders) > 1:
        from mbmrl_ros.reports.compare import write_comparison

        return lambda options: print(write_comparison(folders, options.out))
    from mbmrl_ros.experiments.report import is_experiment, write_report
    from mbmrl_ros.experiments.study_pages import has_studies, write_study_pages
    from mbmrl_ros.reports.run import write_run_report

    if has_studies(folders[0]):
        return lambda options: print(*write_study_pages(folders[0], options.out), sep='\n')
    write = write_report if is_experiment(folders[0]) else write_run_report
    return lambda options: print(write(folders[0], options.out))


def _list(options: argparse.Namespace) -> Command:
    return _load('cli.lists', 'list_command')


def _settings(options: argparse.Namespace) -> Command:
    return _load('cli.settings', 'settings_command')


def _load(module: str, name: str) -> Command:
    command: Command = getattr(importlib.import_module(f'mbmrl_ros.{module}'), name)
    return command


def _in_its_folder(options: argparse.Namespace, who: str, module: str, name: str) -> Command:
    """Return a command that has its --out to itself, which is tried before anything is loaded."""
    with claimed(options.out, f'mbmrl {who}'):
        pass
    command = _load(module, name)

    def run(options: argparse.Namespace) -> Any:
        with claimed(options.out, f'mbmrl {who}'):
            return command(options)

    return run


if __name__ == '__main__':
    sys.exit(main())
