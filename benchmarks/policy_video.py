# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An episode of a policy, moving: python benchmarks/policy_video.py BUNDLE --out FILE.webp.

BUNDLE: of a policy for one task, or its run folder. It acts by its mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import mbmrl_ros as mb
from mbmrl_ros.bundles.policy import build_policy, load_policy
from mbmrl_ros.cli.combine import bundle_folder
from mbmrl_ros.policies.squashed import mode
from mbmrl_ros.spec.robot import load_robot

SIZE = (360, 270)


def main() -> None:
    """Drive and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bundle')
    parser.add_argument('--setting', default='training', help='training, or a test of its task')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--every', type=int, default=1, help='draw every so many steps')
    parser.add_argument('--out', type=Path, required=True)
    options = parser.parse_args()
    bundle = load_policy(bundle_folder(options.bundle))
    env = mb.make(bundle.info.task, setting=options.setting, render_mode='rgb_array')
    spec, policy = load_robot(bundle.info.robot), build_policy(bundle.info)
    columns = list(range(spec.state_size) if bundle.info.whole_state else spec.input_indices)
    frames, earned, step, ended = [], 0.0, 0, False
    state, _ = env.reset(seed=options.seed)
    while not ended:
        if step % options.every == 0:
            frames.append(Image.fromarray(env.render()).resize(SIZE))
        # A task of models shows all of a state, one of policies what they are shown.
        seen = torch.as_tensor(state)
        seen = seen[columns] if len(seen) == spec.state_size else seen
        state, reward, terminated, truncated, _ = env.step(act(policy, bundle, seen))
        earned, step, ended = earned + reward, step + 1, terminated or truncated
    milliseconds = round(1000 * spec.period_s * options.every)
    frames[0].save(
        options.out, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0,
        quality=60, method=6,
    )  # fmt: skip
    print(f'{options.out}: {len(frames)} pictures, return {earned:.1f}')


def act(policy: Any, bundle: Any, observation: torch.Tensor) -> Any:
    """Return the action [A] in -1..1."""
    with torch.no_grad():
        drawn = policy.distribution(bundle.params, observation)
    mean = mode(drawn) if bundle.info.squashed else drawn['mean'] / bundle.info.action_scale
    return mean.clamp(-1.0, 1.0).numpy()


if __name__ == '__main__':
    main()
