# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All commands with their arguments."""

from __future__ import annotations

import argparse

from mbmrl_ros import __version__
from mbmrl_ros.cli import commands
from mbmrl_ros.cli.argument_types import (
    add_threads,
    file_or_folder,
    named_path,
    namespace,
    positive,
    seed,
)
from mbmrl_ros.cli.help_text import Grouped, Parser, add_examples
from mbmrl_ros.cli.learning_arguments import (
    add_combine,
    add_demo,
    add_evaluate,
    add_experiment,
    add_train,
)
from mbmrl_ros.system.outputs import output_file

NODES = {
    'sim': ('sim_node', 'the simulator node; --viewer shows it in a window'),
    'control': ('controller_node', 'the controller node'),
    'gate': ('command_gate', 'the node between controller and motors'),
    'record': ('recorder_node', 'the node that records a robot to a bag'),
    'play': ('player_node', 'the node that plays a bag'),
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog='mbmrl',
        description='Robots that adapt their model while they run.',
        epilog='what one takes: mbmrl COMMAND --help',
        formatter_class=Grouped,
    )
    parser.add_argument('--version', action='version', version=__version__)
    known = parser.add_subparsers(
        dest='command', metavar='COMMAND', title='commands', required=True, parser_class=Parser
    )
    add_demo(known.add_parser('demo', help='a robot breaks in mid-run and goes on'))
    add_train(known.add_parser('train', help='train a model; started again, it goes on'))
    add_evaluate(known.add_parser('evaluate', help='returns and losses of a bundle'))
    add_experiment(known.add_parser('experiment', help='the grid of a figure of the thesis'))
    _add_bag(known.add_parser('bag', help='recordings to a dataset for train --data'))
    _add_shadow(known.add_parser('shadow', help='a controller beside recordings, and a summary'))
    add_combine(known.add_parser('combine', help='models as an ensemble; a policy beside a model'))
    _add_bench(known.add_parser('bench', help='how fast, beside peers, in one run'))
    init = known.add_parser('init', help='a robot file for a MuJoCo model or a URDF')
    init.add_argument('model', metavar='MODEL', help='MJCF, URDF, or gymnasium/<file>.xml')
    init.add_argument('--out', type=output_file, metavar='FILE', help='default: MODEL.yaml, here')
    init.set_defaults(command_of=commands.init)
    check = known.add_parser('check', help='every mistake of a robot file, in one go')
    check.add_argument('file', metavar='FILE', help='a .yaml, or the name of a shipped robot')
    check.add_argument('--json', type=output_file, metavar='OUT', help='also write it here')
    check.set_defaults(command_of=lambda options: commands.load('cli.own_robot', 'check_command'))
    report = known.add_parser('report', help='a page of a training run, or of several')
    report.add_argument(
        'run_folders',
        type=named_path,
        nargs='+',
        metavar='RUN',
        help='run folder; several are compared; or --out of experiment',
    )
    report.add_argument(
        '--out',
        type=file_or_folder,
        metavar='FILE',
        help='default: RUN/report.html, comparison.html of several, adaptation.md of experiments; '
        'of studies the folder of their pages',
    )
    report.set_defaults(command_of=commands.report)
    settings = known.add_parser('settings', help='what train --set KEY=VALUE can change')
    settings.add_argument('algorithm', metavar='ALGO', help='see: mbmrl algorithms')
    settings.add_argument(
        '--json', type=output_file, metavar='FILE', help='also write them here, to be read'
    )
    settings.set_defaults(command_of=commands.settings)
    for name in ('tasks', 'algorithms', 'robots', 'bundles', 'experiments'):
        lists = known.add_parser(name, help=f'list the {name}')
        lists.set_defaults(command_of=commands.lists, what=name)
        if name in ('tasks', 'robots'):
            lists.add_argument('--robot', metavar='FILE', help='also those of this robot file')
    key = known.add_parser('key', help='a new key that signs policies between machines')
    key.add_argument('file', type=named_path, metavar='FILE', help='of it, for its owner only')
    key.set_defaults(
        command_of=lambda options: commands.load('nodes.learners.signing', 'key_command')
    )
    _add_security(known.add_parser('security', help='an SROS2 policy of the nodes of a robot'))
    stop = known.add_parser('stop', help='emergency stop of all controllers and gates')
    stop.add_argument('--release', action='store_true', help='unlatch it instead')
    stop.set_defaults(
        command_of=lambda options: commands.load('nodes.by_hand.stopping', 'stop_command')
    )
    broken = known.add_parser('break', help='break a joint of the robot in a simulator')
    broken.add_argument(
        'what', nargs='?', metavar='WHAT', help='joint, or kind:target[:value]; none: list them'
    )
    broken.add_argument('--mend', action='store_true', help='undo it; without WHAT: everything')
    broken.set_defaults(
        command_of=lambda options: commands.load('nodes.by_hand.breaking', 'break_command')
    )
    for name, (_, text) in NODES.items():
        known.add_parser(name, help=f'{text}; takes --ros-args', add_help=False)
    add_examples(known)
    return parser


def _add_security(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--robot', required=True, help='name or .yaml; see: mbmrl robots')
    parser.add_argument('--bundle', default='', help='that controls it; none: it only collects')
    parser.add_argument('--task', default='', help='to learn beside it; none: no learners')
    parser.add_argument('--algorithm', default='mb_mpo', help='to learn it by (mb_mpo)')
    parser.add_argument('--namespace', type=namespace, default='', help='of the nodes')
    parser.add_argument('--out', type=output_file, required=True, metavar='FILE', help='.xml')
    parser.set_defaults(
        command_of=lambda options: commands.load('nodes.security.policy', 'security_command')
    )


def _add_bag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'bags', type=named_path, nargs='+', metavar='BAG', help='or a folder of bags'
    )
    parser.add_argument('--robot', required=True, help='name or .yaml; see: mbmrl robots')
    parser.add_argument(
        '--out', type=named_path, required=True, metavar='DIR', help='of the dataset'
    )
    parser.add_argument(
        '--namespace', type=namespace, help='of the robot, where a bag holds several'
    )
    parser.add_argument('--commands', metavar='TOPIC', help="default: the robot file's")
    parser.add_argument(
        '--shortest', type=positive, default=1, help='steps that a piece must have (1)'
    )
    parser.add_argument(
        '--json', type=output_file, metavar='FILE', help='also write the manifest here'
    )
    parser.set_defaults(command_of=commands.bag)


def _add_shadow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'bags', type=named_path, nargs='+', metavar='BAG', help='or a folder of bags'
    )
    parser.add_argument('--bundle', required=True, help='folder, or a name; see: mbmrl bundles')
    parser.add_argument('--task', help="whose reward; default: the bundle's own")
    parser.add_argument('--robot', help='its file, where that is not a shipped one')
    parser.add_argument(
        '--adaptation', default='auto', help='auto, none, grbal, rebal or dynamic_evaluation'
    )
    parser.add_argument(
        '--namespace', type=namespace, help='of the robot, where a bag holds several'
    )
    parser.add_argument('--commands', metavar='TOPIC', help="default: the robot file's")
    parser.add_argument('--seed', type=seed, default=0, help='of all random numbers (0)')
    add_threads(parser)
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the numbers here')
    parser.set_defaults(command_of=lambda options: commands.load('cli.shadow', 'shadow_command'))


def _add_bench(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest='what', required=True, parser_class=Parser)
    tick = kinds.add_parser('tick', help='adapt and plan once; beside pytorch_mppi')
    tick.add_argument('--candidates', type=positive, default=2500, help='K (2500)')
    tick.add_argument('--horizon', type=positive, default=15, help='H (15)')
    tick.add_argument('--window', type=positive, default=32, help='M (32)')
    tick.add_argument('--precision', default='auto', help='auto, float32, bfloat16 or int8')
    tick.add_argument('--members', type=positive, default=1, help='E, models that adapt (1)')
    meta = kinds.add_parser('meta', help='one meta-gradient; beside autograd and torch.func')
    meta.add_argument('--tasks', type=positive, default=32)
    meta.add_argument('--past', type=positive, default=32, help='transitions to adapt on (32)')
    meta.add_argument('--future', type=positive, default=32, help='to score on (32)')
    for network in (tick, meta):
        network.add_argument('--width', type=positive, default=512, help='of three layers (512)')
        network.add_argument('--device', default='cpu', help='auto, cpu or cuda (cpu)')
    sim = kinds.add_parser('sim', help='the batched simulator; beside gymnasium')
    sim.add_argument('--robots', nargs='+', default=['half_cheetah', 'ant'], metavar='ROBOT')
    sim.add_argument('--environments', type=positive, default=256, help='rows of ours (256)')
    sim.add_argument('--steps', type=positive, default=100, help='control steps per run (100)')
    rollouts = kinds.add_parser('rollouts', help='sampling of policies; beside its physics')
    rollouts.add_argument('--task', default='half_cheetah/forward_backward')
    policy = kinds.add_parser('policy', help='an iteration of ProMP; beside gymnasium')
    for search in (rollouts, policy):
        search.add_argument('--tasks', type=positive, default=40, help='N (40)')
        search.add_argument('--rollouts', type=positive, default=20, help='R of each (20)')
        search.add_argument('--width', type=positive, default=64, help='of two layers (64)')
    planners = kinds.add_parser('planners', help='MPPI beside those of pytorch_mppi')
    repetitions_of = {tick: 40, meta: 20, sim: 3, rollouts: 5, policy: 3, planners: 10}
    for kind, repetitions in repetitions_of.items():
        kind.add_argument(
            '--repetitions', type=positive, default=repetitions, help=f'({repetitions})'
        )
        add_threads(kind)
        kind.add_argument(
            '--json', type=output_file, metavar='FILE', help='also write the numbers here'
        )
    parser.set_defaults(command_of=commands.bench)
