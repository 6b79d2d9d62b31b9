# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where random driving takes a robot: distances from the centre of its area, in the simulator.

A robot that has fallen (a state beyond the plausible ranges of the robot file, at which a
controller stops) counts up to there.

python benchmarks/collection.py --minutes 5 --json docs/results/millirobot/collection.json
"""

from __future__ import annotations

import argparse
import json

import numpy as np

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.robot.random_policy import RandomPolicy, WayBack
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system.outputs import output_file, write_text

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def drive(spec: RobotSpec, robots: int, steps: int, seed: int) -> dict[str, object]:
    """Drive robots at random; return quantiles of their distance [m], and how much is way back."""
    area = spec.collection.area
    if area is None:
        raise UserError(f'{spec.name} has no collection.area in its robot file')
    env, place = RobotEnv(spec, robots), WayBack(spec, area)
    policy = RandomPolicy(spec, torch.Generator().manual_seed(seed), robots)
    states = env.reset(np.random.default_rng(seed), [()] * robots)
    distances, returning, upright = [], [], []
    for _ in range(steps):
        states = env.step(policy.act(states))
        distances.append(place(states)[0])
        returning.append(policy.returning)
        upright.append(plausible(spec, states))
    up = torch.stack(upright).long().cumprod(0).bool()
    found = torch.stack(distances)[up]
    return {
        'robot': spec.name,
        'robots': robots,
        'seconds_each': steps * spec.period_s,
        'radius_m': area.radius_m,
        'inner_radius_m': area.inner_radius_m,
        'distance_m': {str(q): float(np.quantile(found, q)) for q in QUANTILES},
        'share_outside': float((found > area.radius_m).float().mean()),
        'share_returning': float(torch.stack(returning)[up].float().mean()),
        'fallen': int((~up[-1]).sum()),
        'upright_s': [round(float(s), 1) for s in up.sum(0) * spec.period_s],
    }


def plausible(spec: RobotSpec, states: torch.Tensor) -> torch.Tensor:
    """Return [N] which states [N, S] are within the plausible ranges of the robot file."""
    result = torch.ones(len(states), dtype=torch.bool)
    for name, limits in spec.plausible.items():
        if limits.range is not None:
            value = states[:, spec.channel_index(name)]
            result &= (value >= limits.range[0]) & (value <= limits.range[1])
    return result


def main() -> None:
    """Drive, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--robot', default='millirobot')
    parser.add_argument('--robots', type=int, default=16, help='side by side (16)')
    parser.add_argument('--minutes', type=float, default=5.0, help='of each (5)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=output_file)
    options = parser.parse_args()
    spec = load_robot(options.robot)
    result = drive(spec, options.robots, round(60 * options.minutes / spec.period_s), options.seed)
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        write_text(options.json, text + '\n')


if __name__ == '__main__':
    main()
