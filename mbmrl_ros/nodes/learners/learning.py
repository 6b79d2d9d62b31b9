# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What both learners do alike in their workers: begin, and say what they have made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from mbmrl_ros.nodes.learners.link import Link
from mbmrl_ros.nodes.learners.model_part import ModelPart
from mbmrl_ros.nodes.learners.parcels import Parcel, Version
from mbmrl_ros.nodes.learners.parts import Part, sent
from mbmrl_ros.nodes.learners.plan import plan_part
from mbmrl_ros.nodes.learners.search_part import SearchPart
from mbmrl_ros.nodes.learners.settings import LearnerSettings
from mbmrl_ros.types import Params


def prepare(request: dict[str, Any]) -> tuple[LearnerSettings, ModelPart | SearchPart]:
    """Return the settings of a worker and its part; from now on the robot comes first."""
    settings = LearnerSettings(**request)
    os.nice(settings.niceness)
    torch.set_num_threads(settings.threads)
    return settings, plan_part(settings)


@dataclass
class Learning:
    """What a learner has made. count: how often, over all starts."""

    link: Link
    part: Part
    kind: str
    start: int
    count: int

    def publish(self, tensors: Params, metrics: dict[str, float] | None = None) -> None:
        """Send what is newest. metrics: how it came about; None: it was there before."""
        self.count += metrics is not None
        parcel = Parcel(self.kind, Version(self.start, self.count), sent(tensors))
        self.link.say('parcel', parcel.pack(self.part.origin))
        state = {'state': 'learning', 'version': str(parcel.version)}
        self.link.say('progress', state | (metrics or {}))
