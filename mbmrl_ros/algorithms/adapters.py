# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a bundle adapts, by name: what the command line and the controller node offer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from mbmrl_ros.adaptation.ensemble import EnsembleAdapter
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.algorithms import LEARNERS
from mbmrl_ros.algorithms.mb import dynamic_evaluation
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.config import UserError, closest
from mbmrl_ros.models.mean import MeanDynamics, by_robot
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
        return _of_members(bundle, functools.partial(dynamic_evaluation, step_size=size))
    algorithm = 'mb' if adaptation == 'none' else adaptation
    if algorithm not in LEARNERS:
        raise UserError(
            f'the bundle is of algorithm {algorithm!r}; {closest(algorithm, LEARNERS)}'
        )
    if algorithm == 'grbal' and not bundle.step_sizes:
        # Of a model that was not trained to adapt.
        step_sizes = uniform_step_sizes(bundle.params, GRBAL_STEP)
        bundle = replace(bundle, step_sizes=step_sizes)
    return _of_members(bundle, LEARNERS[algorithm].adapter)


def _of_members(bundle: Bundle, adapter: Callable[[Bundle], Adapter]) -> Adapter:
    """Return the adapter of a bundle, which lets every member of an ensemble adapt on its own."""
    if bundle.info.members == 1:
        return adapter(bundle)
    return EnsembleAdapter(
        bundle.info.members, functools.cache(lambda batch: adapter(_rows(bundle, batch)))
    )


def _rows(bundle: Bundle, batch: int) -> Bundle:
    """Return an ensemble as a bundle of E x B networks, a row each (models/mean.py)."""
    assert isinstance(bundle.dynamics, MeanDynamics)
    sizes = {name: _per_row(name, v) for name, v in bundle.step_sizes.items() if v.dim()}
    return replace(
        bundle,
        dynamics=bundle.dynamics.of_rows(bundle.info.members * batch),
        params=by_robot(bundle.params, batch),
        step_sizes=bundle.step_sizes | by_robot(sizes, batch),
    )


def _per_row(name: str, sizes: Tensor) -> Tensor:
    """Return step sizes [E] or [E, n] so that they multiply gradients of rows.

    Those of a weight multiply the gradients of its outputs [E, M, out].
    """
    each = sizes if sizes.dim() == 2 else sizes[:, None]
    return each[:, None] if name.startswith('weight') else each
