# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a bundle adapts, by name: what the command line and the controller node offer."""

from __future__ import annotations

import math
from dataclasses import replace

from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.algorithms import LEARNERS
from mbmrl_ros.algorithms.mb import dynamic_evaluation
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.config import UserError, closest
from mbmrl_ros.types import Adapter

ADAPTATIONS = ('auto', 'none', 'grbal', 'rebal', 'dynamic_evaluation')
# Lowest loss on validation trajectories of the half-cheetah:
# docs/results/half_cheetah_disabled_joint.md.
DYNAMIC_EVALUATION_STEP = 0.0003
# Of GrBAL where a bundle has none (thesis, Table 6).
GRBAL_STEP = 0.01


def make_adapter(bundle: Bundle, adaptation: str, step_size: float | None = None) -> Adapter:
    """Return how a bundle adapts: as it was trained to, not at all, by GrBAL, ReBAL or MB+DE.

    step_size: of dynamic_evaluation. UserError on an unknown name, or one that is not for it.
    """
    if adaptation not in ADAPTATIONS:
        raise UserError(f'unknown adaptation {adaptation!r}; {closest(adaptation, ADAPTATIONS)}')
    # Those of bundle.json as well: it may tell of another algorithm than its network is for.
    adaptation = bundle.info.algorithm if adaptation == 'auto' else adaptation
    recurrent = bundle.info.cell is not None
    if adaptation not in ('mb', 'none') and recurrent != (adaptation == 'rebal'):
        kind, fitting = 'feed-forward', 'none, grbal, dynamic_evaluation'
        if recurrent:
            kind, fitting = 'recurrent', 'none, rebal'
        raise UserError(
            f'a bundle of {bundle.info.algorithm}, whose network is {kind}, does not adapt by '
            f'{adaptation}; valid: {fitting}'
        )
    if adaptation == 'dynamic_evaluation':
        size = DYNAMIC_EVALUATION_STEP if step_size is None else step_size
        if not 0 <= size < math.inf:
            raise UserError(f'the step size must be a number of at least 0, got {size}')
        return dynamic_evaluation(bundle, size)
    algorithm = 'mb' if adaptation == 'none' else adaptation
    if algorithm not in LEARNERS:
        raise UserError(
            f'the bundle is of algorithm {algorithm!r}; {closest(algorithm, LEARNERS)}'
        )
    if algorithm == 'grbal' and not bundle.step_sizes:
        # Of a model that was not trained to adapt.
        step_sizes = uniform_step_sizes(bundle.params, GRBAL_STEP)
        bundle = replace(bundle, step_sizes=step_sizes)
    return LEARNERS[algorithm].adapter(bundle)
