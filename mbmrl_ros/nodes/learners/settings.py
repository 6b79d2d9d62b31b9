# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the nodes that learn."""

from __future__ import annotations

from pydantic import Field

from mbmrl_ros.nodes.common.params import Settings


class LearningSettings(Settings):
    """What is to be learned: as the arguments of `mbmrl train`."""

    algorithm: str = Field('mb_mpo', description='see: mbmrl algorithms')
    task: str = Field('half_cheetah/run', description='see: mbmrl tasks')
    robot: str = Field('', description="its file, where the task is a robot file's own")
    config: str = Field('', description='recipe such as paper, or a .yaml file; empty: default')
    settings: tuple[str, ...] = Field(
        (), description="changes to the recipe, as in ['iterations=5']; see: mbmrl settings"
    )
    seed: int = Field(0, ge=0, description='of the random numbers')
    out: str = Field('', description='run folder; empty: one in runs, by task, algorithm and seed')


class TrainerSettings(LearningSettings):
    """Parameters of trainer_node."""

    threads: int = Field(2, ge=1, le=256, description='of the processor')
    autostart: bool = Field(True, description='configure and activate without being asked')
