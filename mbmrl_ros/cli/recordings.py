# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the command line does with recordings: `bag`, `train --data`, `evaluate --data`."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS, SEARCH_STAGES
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, read_info
from mbmrl_ros.bundles.files import find_bundle
from mbmrl_ros.cli.next_steps import after_bag, after_recordings, after_training
from mbmrl_ros.cli.progress import Counted, print_wide, windows_of
from mbmrl_ros.cli.train_evaluate import train_command
from mbmrl_ros.config import UserError, closest, share_directory, write_text
from mbmrl_ros.data.bags import find_bags, printable
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.recordings import (
    Manifest,
    check_empty,
    load_manifest,
    load_recordings,
    save_recordings,
)
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.episodes import finite, std_over_episodes
from mbmrl_ros.evaluation.predictions import (
    HORIZONS,
    PREDICTIONS,
    ChannelErrors,
    prediction_losses,
)
from mbmrl_ros.recordings.cut import chief_reason, read_recordings, refusals
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system.outputs import as_json, claimed
from mbmrl_ros.training.dynamics.fit_model import ModelTraining
from mbmrl_ros.training.dynamics.offline import train_offline
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig, check_start
from mbmrl_ros.training.recipes import load_recipe
from mbmrl_ros.training.run import Run
from mbmrl_ros.types import Adapter

# Reasons in the table of `mbmrl bag`.
_SHOWN = 12


def bag_command(options: argparse.Namespace) -> None:
    """Turn bags into a dataset; print where the seconds went."""
    spec = load_robot(options.robot)
    check_empty(options.out)
    bags = find_bags(options.bags)
    with tqdm(total=len(bags), unit='bag') as bar:
        manifest, sessions = read_recordings(
            bags, spec, options.namespace, options.commands, options.shortest, bar.update
        )
    _print_manifest(manifest)
    if not manifest.total.transitions:
        reason = chief_reason(manifest.total, refusals(manifest))
        raise UserError(f'nothing was kept, so there is no dataset: {reason}')
    save_recordings(options.out, manifest, sessions)
    if options.json:
        write_text(options.json, as_json(manifest.model_dump()))
    print(f'dataset: {printable(options.out)}')
    pieces = [trajectory for session in sessions for trajectory in session.trajectories]
    for line in after_bag(manifest, pieces, recordings_config('grbal', spec), options.out):
        print(line)


def _print_manifest(manifest: Manifest) -> None:
    total, refused = manifest.total, refusals(manifest)
    table = Table('', 'seconds', 'meaning')
    kept = f'{total.trajectories} trajectories, {total.transitions} transitions'
    table.add_row('kept', f'{total.kept_s:.1f}', kept)
    for reason, seconds in sorted(total.dropped_s.items(), key=lambda item: -item[1]):
        table.add_row(reason, f'{seconds:.1f}', manifest.reasons[reason])
    bags = len(manifest.sessions)
    table.add_row('in all', f'{total.seconds:.1f}', f'{bags} bag{"s" * (bags != 1)}')
    print_wide(table)
    if refused:
        table = Table('messages refused', 'because', title=f'of {_messages(manifest)} messages')
        for reason, count in refused.most_common(_SHOWN):
            table.add_row(str(count), escape(reason))
        if len(refused) > _SHOWN:
            table.add_row('', f'and {len(refused) - _SHOWN} reasons more')
        print_wide(table)
    for session in manifest.sessions:
        if session.damage:
            print(f'{session.name}: {session.damage}')
        for note in session.notes:
            print(f'{session.name}: {note}')
        if not session.transitions:
            reason = chief_reason(session, Counter(session.refused))
            print(f'{session.name}: nothing was kept: {reason}')
    for name, reason in manifest.unreadable.items():
        print(f'{name} was left out: {reason}')


def _messages(manifest: Manifest) -> int:
    return sum(sum(session.messages.values()) for session in manifest.sessions)


def train_on_recordings(options: argparse.Namespace) -> None:
    """Train an algorithm on a dataset; `--task` names what the bundle is to be used for.

    A policy search begins with it, and collects beyond it in the task.
    """
    name = options.algorithm
    if name in SEARCH_STAGES:
        if not options.task:
            raise UserError(f'{name} --data needs --task TASK, which it goes on in')
        train_command(options)
        return
    if name not in LEARNERS:
        unknown = 'unknown algorithm' if name not in ALGORITHMS else 'recordings do not train'
        raise UserError(f'{unknown} {name!r}; {closest(name, [*LEARNERS, *SEARCH_STAGES])}')
    spec, trajectories = _load(options.data, options.robot)
    task = _task_name(options.task, options.robot, spec)
    config = recordings_config(name, spec, options.config, tuple(options.set))
    check_start(config, options.start_from)
    torch.set_num_threads(options.threads)
    folder = options.out or Path('runs') / spec.name / 'recordings' / name / f'seed{options.seed}'
    identity = {
        'algorithm': name, 'task': task, 'seed': options.seed, 'data': str(options.data),
    }  # fmt: skip
    if options.start_from:
        identity['start_from'] = str(options.start_from)
    with claimed(folder, 'mbmrl train'):
        run = Run(folder, config, identity)
        if options.start_from:
            run.adopt(options.start_from)
        training = ModelTraining(LEARNERS[name], spec, config, options.seed)
        train_offline(training, task, trajectories, run)
    for line in after_training(folder, options.robot, options.data):
        print(line)


def _task_name(wanted: str | None, robot: str | None, spec: RobotSpec) -> str:
    """Return what a bundle is for: the task asked for, or the only one of the robot file."""
    if wanted or len(spec.tasks) == 1:
        return load_task(wanted or next(iter(spec.tasks)), robot or spec.name).name
    return f'{spec.name}/recordings'


def recordings_config(
    algorithm: str, spec: RobotSpec, name: str | None = None, assignments: tuple[str, ...] = ()
) -> ModelBasedConfig:
    """Load the settings for a robot's recordings, or those for any robot's."""
    own = share_directory() / 'config' / 'training' / spec.name / 'recordings.yaml'
    task = f'{spec.name}/recordings' if own.exists() else 'recordings'
    config = load_recipe(ALGORITHMS[algorithm].Config, algorithm, task, name, assignments)
    assert isinstance(config, ModelBasedConfig)
    return config


def evaluate_on_recordings(options: argparse.Namespace) -> None:
    """Print and write how well a bundle predicts a dataset, before and after adaptation."""
    torch.set_num_threads(options.threads)
    spec, trajectories = _load(options.data, options.robot)
    bundle = load_bundle(options.bundle, spec)
    adapter = make_adapter(bundle, options.adaptation, options.step_size)
    with tqdm(total=windows_of(bundle, trajectories), unit='window') as bar:
        scores = channel_errors(bundle, Counted(adapter, bar.update), trajectories)
    result = summary(scores, spec)
    if options.json:
        info = read_info(find_bundle(options.bundle))
        head = {
            'bundle': str(options.bundle),
            'algorithm': info.algorithm,
            'adaptation': options.adaptation,
            'data': str(options.data),
        }
        write_text(options.json, as_json(finite(head | result)))
    _print_scores(result)
    for line in after_recordings(scores):
        print(line)


def channel_errors(
    bundle: Bundle, adapter: Adapter, trajectories: list[Trajectory], stride: int = 1
) -> ChannelErrors:
    """Return errors by channel at every `stride`-th moment; UserError if there is none."""
    past, future = bundle.info.past_steps, max(bundle.info.future_steps, *HORIZONS)
    found = prediction_losses(bundle, adapter, trajectories, stride, horizons=HORIZONS).channels
    if found is None or not len(found.trajectory):
        raise UserError(
            f'no trajectory has the {past} + {future} transitions that are needed; record longer '
            'ones, or train with fewer past_steps and future_steps'
        )
    return found


def _load(folder: Path, robot: str | None) -> tuple[RobotSpec, list[Trajectory]]:
    spec = load_robot(robot or load_manifest(folder).robot)
    trajectories = [t for session in load_recordings(folder, spec) for t in session.trajectories]
    return spec, trajectories


def summary(scores: ChannelErrors, spec: RobotSpec) -> dict[str, Any]:
    """Return losses, their ratio, and root mean square errors in units by channel and horizon.

    All are of one model: `std_over_trajectories` says how much those differ on which it is tested.
    """
    losses = {f'loss_{name}': scores.loss(name) for name in PREDICTIONS}
    trajectories = [scores.trajectory == i for i in sorted(set(scores.trajectory.tolist()))]
    after = [float(scores.losses['after'][rows].mean()) for rows in trajectories]
    roots = {name: scores.squared[name].mean(0).sqrt() for name in PREDICTIONS}
    return losses | {
        'ratio': losses['loss_after'] / losses['loss_before'],
        'std_over_trajectories': std_over_episodes(after),
        'windows': len(scores.trajectory),
        'trajectories': len(trajectories),
        'errors': {
            channel.name: {
                'unit': channel.unit,
                **{
                    str(horizon): {name: float(roots[name][k, i]) for name in PREDICTIONS}
                    for k, horizon in enumerate(HORIZONS)
                },
            }
            for i, channel in enumerate(spec.state)
        },
    }


def _print_scores(result: dict[str, Any]) -> None:
    table = Table('channel', 'unit', *(f'{h} steps: after (before)' for h in HORIZONS))
    for name, entry in result['errors'].items():
        cells = [entry[str(horizon)] for horizon in HORIZONS]
        columns = [f'{cell["after"]:.3g} ({cell["before"]:.3g})' for cell in cells]
        table.add_row(name, entry['unit'], *columns)
    print_wide(table)
    print(
        f'loss before {result["loss_before"]:.4f}, after {result["loss_after"]:.4f} '
        f'(ratio {result["ratio"]:.3f}), of no change {result["loss_no_change"]:.4f}, '
        f'on {result["windows"]} windows'
    )
