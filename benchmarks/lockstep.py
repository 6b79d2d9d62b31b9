# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Control rate over topics against one process: python benchmarks/lockstep.py [--json FILE].

Simulator and controller as two ROS 2 nodes in lockstep, recorded to a bag, against the very same
objects in one process; alternating, with the shipped bundle at its own planner settings.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch

from mbmrl_ros.nodes.common.settings import ControllerSettings
from mbmrl_ros.nodes.controller.assembly import build_brain
from mbmrl_ros.nodes.episode.episode import Episode, run_episode
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system.outputs import output_file, write_text
from mbmrl_ros.types import Reading

SKIPPED = 50


def main() -> None:
    """Measure and print; write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--bundle', default='half_cheetah/disabled_joint/grbal')
    parser.add_argument('--steps', type=int, default=300)
    parser.add_argument('--repetitions', type=int, default=3)
    parser.add_argument('--json', type=output_file)
    options = parser.parse_args()
    torch.set_num_threads(2)
    spec = load_robot('half_cheetah')
    over_topics, in_process = [], []
    for _ in range(options.repetitions):
        in_process.append(_in_process(spec, options.bundle, options.steps))
        over_topics.append(_over_topics(spec, options.bundle, options.steps))
    rates = {
        'in_process_hz': float(np.median(in_process)),
        'over_topics_hz': float(np.median(over_topics)),
    }
    result = rates | {'share': rates['over_topics_hz'] / rates['in_process_hz']}
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        write_text(options.json, text + '\n')


def _rate(times: list[float]) -> float:
    """Return steps per second, without the first ones, in which everything warms up."""
    return (len(times) - 1 - SKIPPED) / (times[-1] - times[SKIPPED])


def _in_process(spec: RobotSpec, bundle: str, steps: int) -> float:
    controller = Controller(spec, build_brain(spec, ControllerSettings(bundle=bundle)).mpc)
    world = World(spec)
    world.reset(np.random.default_rng(0))
    order = {signal: place for place, signal in enumerate(spec.signals)}
    places = {t: [order[signal] for signal in spec.topic_signals(t)] for t in spec.topics}
    times = []
    for step in range(steps):
        signals, now = world.signals(), time.monotonic()
        for topic, columns in places.items():
            values = tuple(signals[columns])
            controller.on_reading(Reading(topic, step * spec.period_s, now, values))
        world.step(controller.tick(now).command.values)
        times.append(time.perf_counter())
    return _rate(times)


def _over_topics(spec: RobotSpec, bundle: str, steps: int) -> float:
    times: list[float] = []
    episode = Episode(spec, steps, (), {}, {'bundle': bundle})
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'run' / 'bag'
        run_episode(episode, bag, lambda step: times.append(time.perf_counter()))
    return _rate(times)


if __name__ == '__main__':
    main()
