# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the run folder of a published policy still knows: its critics, the models of its search."""

from __future__ import annotations

from pathlib import Path

from mbmrl_ros.bundles.policy import PolicyInfo
from mbmrl_ros.networks.params import group
from mbmrl_ros.training.run import read_checkpoint
from mbmrl_ros.types import Params


def run_of(folder: Path, info: PolicyInfo) -> Params:
    """Return the checkpoint that a bundle was published with; nothing where it is gone.

    folder: of the bundle, RUN/bundle or RUN/bundles/NNNN.
    """
    for run in (folder.parent, folder.parent.parent):
        iteration, tensors = read_checkpoint(run)
        if tensors and iteration == info.iteration:
            return tensors
    return {}


def trained_critics(folder: Path, info: PolicyInfo) -> Params:
    """Return the critics of a policy; nothing where it has none, or they have gone on since."""
    return group(group(run_of(folder, info), 'policy'), 'critic')
