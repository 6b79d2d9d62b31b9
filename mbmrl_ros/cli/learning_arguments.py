# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments of the commands that train, test and show what was learned."""

from __future__ import annotations

import argparse
from pathlib import Path

from mbmrl_ros.cli import commands
from mbmrl_ros.cli.argument_types import (
    add_threads,
    named_path,
    not_negative,
    positive,
    priority,
    seed,
    share,
)
from mbmrl_ros.system.outputs import output_file


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of mbmrl demo."""
    parser.add_argument(
        '--out', type=named_path, default=Path('out/demo'), metavar='DIR', help='(out/demo)'
    )
    parser.add_argument('--seeds', type=positive, default=2, help='runs per controller (2)')
    parser.add_argument(
        '--steps', type=positive, help="control steps per run; default: the task's"
    )
    parser.add_argument(
        '--robot', help='pr2_left_arm (the default), millirobot, half_cheetah, diff_drive'
    )
    parser.add_argument('--task', help="default: the robot's")
    parser.add_argument(
        '--bundles',
        type=named_path,
        metavar='DIR',
        help='with mb and grbal; default: the shipped ones',
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
        help='pr2_left_arm learns to reach from nothing, in five minutes of real time',
    )
    parser.set_defaults(command_of=commands.demo)


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of mbmrl train."""
    parser.add_argument('algorithm', metavar='ALGO', help='see: mbmrl algorithms')
    parser.add_argument('--task', help='see: mbmrl tasks')
    parser.add_argument(
        '--data', type=named_path, metavar='DIR', help='recordings to train on, or to begin with'
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
        type=named_path,
        metavar='RUN',
        help='take over the data and the weights of a run; of a search for a policy the data',
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
    parser.add_argument(
        '--priority',
        type=priority,
        default=0,
        metavar='N',
        help='with --asynchronous: real-time priority of simulator and collector, 1 to 99 (none)',
    )
    parser.add_argument('--seed', type=seed, default=0, help='of all random numbers (0)')
    add_threads(parser)
    parser.add_argument(
        '--out', type=named_path, help='run folder (default: runs/<task>/<algo>/<seed>)'
    )
    parser.set_defaults(command_of=commands.train)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of mbmrl evaluate."""
    parser.add_argument('run_folder', nargs='?', metavar='RUN', help='its last bundle')
    parser.add_argument('--bundle', help='folder, or a name; see: mbmrl bundles')
    parser.add_argument('--task', help="default: the bundle's own")
    parser.add_argument(
        '--data', type=named_path, metavar='DIR', help='predict recordings instead'
    )
    parser.add_argument('--robot', help='its file, where that is not a shipped one')
    parser.add_argument(
        '--test',
        default='all',
        help='undisturbed, held_out, ..., or several of them; default: all',
    )
    parser.add_argument(
        '--adaptation', default='auto', help='auto, none, grbal, rebal or dynamic_evaluation'
    )
    parser.add_argument('--step-size', type=not_negative, help='of dynamic_evaluation')
    parser.add_argument('--episodes', type=positive, default=10, help='of each test (10)')
    parser.add_argument(
        '--updates', type=positive, default=3, help='of a meta-learned policy, each by --episodes'
    )
    parser.add_argument('--steps', type=positive, help="of an episode; default: the task's")
    parser.add_argument('--seed', type=seed, default=0, help='of all random numbers (0)')
    parser.add_argument(
        '--planner',
        help="mppi, random_shooting or cem, at its defaults; default: the bundle's. Of a run of "
        'MAAC: plan in its models, from its policy, to its critics; default: act by the policy',
    )
    parser.add_argument('--candidates', type=positive, help="default: the planner's")
    parser.add_argument('--horizon', type=positive, help="default: the planner's")
    parser.add_argument('--precision', default='auto', help='auto, float32, bfloat16 or int8')
    add_threads(parser)
    parser.add_argument('--json', type=output_file, metavar='FILE', help='write the numbers here')
    parser.add_argument(
        '--figure', type=output_file, metavar='FILE', help='draw the errors of an ensemble here'
    )
    parser.set_defaults(command_of=commands.evaluate)


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of mbmrl experiment."""
    parser.add_argument('names', nargs='+', metavar='NAME', help='see: mbmrl experiments; or all')
    parser.add_argument('--out', type=named_path, default=Path('runs/experiments'), metavar='DIR')
    parser.add_argument('--methods', nargs='+', default=[], help="default: the figure's")
    parser.add_argument('--tasks', nargs='+', default=[], help="default: the figure's")
    parser.add_argument('--seeds', nargs='+', type=seed, default=[], help='such as 0 1 2')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='of the training settings; MODEL:KEY=VALUE for one of mb, mb_anew, grbal_anew, ...',
    )
    parser.add_argument('--episodes', type=positive, help="per measurement; default: the figure's")
    parser.add_argument('--steps', type=positive, help="per episode; default: the figure's")
    parser.add_argument('--candidates', type=positive, help="default: the bundle's planner's")
    parser.add_argument('--processes', type=positive, default=1, help='of one thread each (1)')
    parser.add_argument(
        '--ray', default='', metavar='ADDRESS', help='of a Ray cluster, HOST:PORT or auto'
    )
    parser.add_argument('--quick', action='store_true', help='a check of the machinery only')
    parser.add_argument('--full', action='store_true', help="the paper's size, of policies")
    parser.add_argument('--dry-run', action='store_true', help='say what there is to do')
    parser.set_defaults(command_of=commands.experiment)


def add_combine(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of mbmrl combine."""
    parser.add_argument('models', nargs='+', metavar='MODEL', help='bundles, or their run folders')
    parser.add_argument(
        '--out', type=named_path, required=True, metavar='DIR', help='of the bundle'
    )
    parser.add_argument('--robot', help='its file, where that is not a shipped one')
    parser.add_argument(
        '--uncertainty-penalty',
        type=not_negative,
        default=0.0,
        metavar='LAMBDA',
        help='what a plan loses per step and standard deviation of disagreement (0)',
    )
    parser.add_argument(
        '--policy', metavar='POLICY', help='proposes to the planner: a bundle, or its run folder'
    )
    parser.add_argument(
        '--value-weight',
        type=not_negative,
        default=1.0,
        metavar='W',
        help='of what its critics say of the state that a plan ends in (1); 0: nothing',
    )
    parser.add_argument(
        '--policy-share',
        type=share,
        metavar='SHARE',
        help="of the candidates; default: the planner's",
    )
    parser.set_defaults(command_of=lambda options: commands.load('cli.combine', 'combine_command'))
