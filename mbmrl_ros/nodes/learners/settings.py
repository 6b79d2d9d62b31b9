# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the nodes that learn."""

from __future__ import annotations

from pydantic import Field

from mbmrl_ros.nodes.common.params import Settings


class LearningSettings(Settings):
    """What is to be learned: as the arguments of `mbmrl train`."""

    algorithm: str = Field('mb_mpo', description='see: mbmrl algorithms')
    task: str = Field('half_cheetah/thesis', description='see: mbmrl tasks')
    robot: str = Field('', description="its file, where the task is a robot file's own")
    config: str = Field('', description='recipe such as paper, or a .yaml file; empty: default')
    settings: tuple[str, ...] = Field(
        (), description="changes to the recipe, as in ['iterations=5']; see: mbmrl settings"
    )
    seed: int = Field(0, ge=0, description='of the random numbers')
    out: str = Field('', description='run folder; empty: one in runs, by task, algorithm and seed')


class TrainerSettings(LearningSettings):
    """Parameters of trainer_node."""

    threads: int = Field(2, ge=1, le=1024, description='of the processor')
    autostart: bool = Field(True, description='configure and activate without being asked')


class SharedSettings(LearningSettings):
    """Parameters of all three nodes that learn beside each other."""

    key_file: str = Field(
        '',
        description='of the key that signs what they send each other, see: mbmrl key; empty: '
        'nothing is signed',
    )
    start_from: str = Field(
        '',
        description='of mb, grbal and rebal: a run of `mbmrl train`, whose model drives and whose '
        'data count from the begin; of a search for a policy, the data; empty: begin with random '
        'actions',
    )


class LearnerSettings(SharedSettings):
    """Parameters of model_learner_node and policy_learner_node."""

    threads: int = Field(1, ge=1, le=1024, description='of the processor')
    checkpoint_s: float = Field(
        30.0, gt=0, le=3600, description='between two checkpoints of the models'
    )
    niceness: int = Field(
        10, ge=0, le=19, description='of what computes: how far control of robots comes first'
    )
    autostart: bool = Field(True, description='configure and activate without being asked')


class CollectorSettings(SharedSettings):
    """Parameters of collector_node."""

    steps: int = Field(
        0, ge=0, description='of control to be collected, then it ends; 0: until stopped'
    )
    reset: str = Field(
        'sim_node/reset',
        description='service (Trigger) that puts the robot back after an episode; empty: nobody '
        'does, and the next one begins where the last one ended',
    )
    lockstep: bool = Field(
        False,
        description='tick when all topics have the same new stamp; needs a lockstep sim_node',
    )
    gate: bool = Field(False, description='commands go to wanted_commands, for command_gate')
    realtime_priority: int = Field(
        0, ge=0, le=99, description='of the process, as that of controller_node; 0: none'
    )
    autostart: bool = Field(True, description='configure and activate without being asked')
