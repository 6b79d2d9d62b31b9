# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The work of trainer_node: any algorithm of the registry, as `mbmrl train` runs it."""

from __future__ import annotations

import time
from typing import Any

import torch

from mbmrl_ros.api.training import RunPlan, run_training
from mbmrl_ros.nodes.learners.link import Link
from mbmrl_ros.nodes.learners.plan import plan_training
from mbmrl_ros.nodes.learners.settings import TrainerSettings

# What stands for the return of an iteration, from the one that says most.
RETURNS = ('return_after', 'return_policy', 'return_mean')


def train(link: Link, request: dict[str, Any]) -> None:
    """Train, or go on; say how it goes after every iteration, and heed the node there."""
    settings = TrainerSettings(**request)
    training = plan_training(settings)
    torch.set_num_threads(settings.threads)
    last, began_s = int(training.config.iterations), time.monotonic()

    def after(iteration: int, metrics: dict[str, float]) -> None:
        nonlocal began_s
        now_s = time.monotonic()
        known = [metrics[name] for name in RETURNS if name in metrics]
        progress = {
            'iteration': float(iteration),
            'iterations': float(last),
            'environment_steps': metrics.get('environment_steps', float('nan')),
            'return': known[0] if known else float('nan'),
            'seconds': now_s - began_s,
        }
        link.say('progress', progress | {k: v for k, v in metrics.items() if k not in progress})
        # The last bundle is written behind the last iteration.
        if iteration < last:
            link.check()
        began_s = time.monotonic()

    plan = RunPlan(training.folder, settings.seed, after=after)
    run_training(training.algorithm, training.task, training.config, plan)
