# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl shadow`: what a controller would have done beside recordings, step by step."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from rich.table import Table
from tqdm import tqdm

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import load_bundle, read_info
from mbmrl_ros.bundles.files import find_bundle
from mbmrl_ros.cli.progress import print_wide
from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.data.bags import find_bags
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.evaluation.shadow import run_in_shadow, summarise, verdict
from mbmrl_ros.planners.kinds import make_planner
from mbmrl_ros.recordings.cut import chief_reason, read_recordings, refusals
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.adaptive_mpc import make_mpc
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import as_json


def shadow_command(options: argparse.Namespace) -> None:
    """Let a bundle see bags in turn; print what it would have done, and how well it predicts."""
    torch.set_num_threads(options.threads)
    info = read_info(find_bundle(options.bundle))
    task = load_task(options.task or info.task, options.robot or '')
    spec = load_robot(options.robot or task.robot)
    bundle = load_bundle(options.bundle, spec)
    needed = info.past_steps + 1
    manifest, sessions = read_recordings(
        find_bags(options.bags), spec, options.namespace, options.commands, needed
    )
    trajectories = [trajectory for session in sessions for trajectory in session.trajectories]
    if not trajectories:
        reason = chief_reason(manifest.total, refusals(manifest))
        raise UserError(f'no piece of {needed} control steps was kept: {reason}')
    generator = torch.Generator().manual_seed(options.seed)
    planner = make_planner(info.planner, spec.action_size)
    adapter = make_adapter(bundle, options.adaptation)
    mpc = make_mpc(bundle, adapter, planner, build_reward(spec, task.reward), generator)
    steps = sum(trajectory.steps for trajectory in trajectories)
    with tqdm(total=steps, unit='step', desc='in the shadow') as bar:
        log = run_in_shadow(bundle, mpc, spec, trajectories, bar.update)
    summary = {'bundle': str(options.bundle), 'task': task.name} | summarise(log, spec)
    if options.json:
        write_text(options.json, as_json(finite(summary)))
    _print(summary, spec.action.unit)


def _print(summary: dict[str, Any], unit: str) -> None:
    table = Table(
        'command', 'recorded, mean', 'proposed, mean', 'differ by (rms)', 'correlation',
        title=f'commands in {unit}',
    )  # fmt: skip
    for joint, numbers in summary['commands'].items():
        table.add_row(joint, *(f'{value:.3g}' for value in numbers.values()))
    print_wide(table)
    tick = summary['tick_ms']
    print(
        f'{summary["steps"]} control steps, {summary["steps_with_window"]} with a whole window\n'
        f'error of the next step: as trained {summary["loss_trained"]:.4f}, as adapted '
        f'{summary["loss_adapted"]:.4f}, of no change {summary["loss_no_change"]:.4f}\n'
        f'adapting changed the model in {summary["adapted_share"]:.0%} of the steps\n'
        f'tick: median {tick["median"]:.1f} ms, 99 % within {tick["p99"]:.1f} ms; '
        f'{tick["late_share"]:.0%} took more than a period\n'
        f'{verdict(summary)}.'
    )
