# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A step of trust-region policy optimisation on closures (Schulman et al. 2015, appendix C).

    d = H^-1 g,  H the Hessian of the KL divergence at the old parameters
    theta = theta_old - share * sqrt(2 delta / d^T H d) d,  share = 1, 0.8, 0.64, ...

until the loss fell and the divergence is at most delta. Whatever `loss` and `kl` hide, inner
steps of a meta-learner too, is differentiated through: H d is a second derivative by
automatic differentiation, not a difference of gradients, and conjugate gradients count in
float64, since in float32 ten iterations lose their conjugacy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.config import Config
from mbmrl_ros.types import Params

Closure = Callable[[Params], Tensor]
Product = Callable[[Tensor], Tensor]
Curvature = Callable[[Params], Params]
"""vector, named and shaped as the parameters -> the Hessian of the divergence times it."""
# So that a step stays finite where the Hessian is 0 (the authors' code).
TINY = 1e-8


class TrustRegionConfig(Config):
    """How the step is found; the values of the MAML and ProMP authors' code."""

    cg_iterations: int = Field(10, ge=1, description='of conjugate gradients')
    cg_tolerance: float = Field(1e-10, ge=0, description='squared residual to stop at')
    damping: float = Field(0.0, ge=0, description='added to the diagonal of the Hessian')
    backtrack: float = Field(0.8, gt=0, lt=1, description='factor of the step in every retry')
    backtracks: int = Field(15, ge=1, description='tries')


class TrustRegionStep(NamedTuple):
    """What came of a step; where it was refused, params are the old ones, untouched."""

    params: Params
    loss_before: float
    loss_after: float
    kl: float
    accepted: bool


def trust_region_step(
    loss: Closure,
    kl: Closure,
    params: Params,
    delta: float,
    config: TrustRegionConfig | None = None,
    curvature: Curvature | None = None,
) -> TrustRegionStep:
    """Lower loss(params) by a step with kl(params) <= delta.

    curvature: for whoever has a shorter way to the Hessian's products at params than the second
    derivative of `kl`.

    loss, kl: params -> scalar, kl zero with zero gradient at params. A step that is not finite,
    that nothing of improves the loss, or that the divergence forbids leaves params as they are.
    """
    config = config or TrustRegionConfig()
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    tensors = list(leaves.values())
    before = loss(leaves)
    if curvature is None:
        product = _hessian_product(kl(leaves), tensors, config.damping)
    else:
        product = _named_product(curvature, params, config.damping)
    gradient = _flat(_gradients(before, tensors))
    direction = conjugate_gradients(product, gradient, config.cg_iterations, config.cg_tolerance)
    bend = float(direction @ product(direction))
    loss_before = float(before.detach())
    refused = TrustRegionStep(params, loss_before, loss_before, 0.0, False)
    # Rounding may leave a curvature of 0 below it; what is truly negative is no divergence.
    scale = (2 * delta / (bend + TINY)) ** 0.5 if bend > -TINY else math.nan
    if not bool((scale * direction).isfinite().all()):
        return refused
    for attempt in range(config.backtracks):
        candidate = _moved(params, scale * config.backtrack**attempt * direction)
        with torch.no_grad():
            divergence = float(kl(candidate))
            after = float(loss(candidate))
        if after < loss_before and divergence <= delta:
            return TrustRegionStep(candidate, loss_before, after, divergence, True)
    return refused


def conjugate_gradients(
    product: Product, target: Tensor, iterations: int, tolerance: float
) -> Tensor:
    """Solve product(x) = target for x (Nocedal and Wright, algorithm 5.2)."""
    solution, residual = torch.zeros_like(target), target.clone()
    direction, squared = residual.clone(), residual @ residual
    for _ in range(iterations):
        if float(squared) < tolerance:
            break
        image = product(direction)
        rate = squared / (direction @ image)
        solution += rate * direction
        residual -= rate * image
        following = residual @ residual
        direction = residual + following / squared * direction
        squared = following
    return solution


def _hessian_product(kl: Tensor, tensors: list[Tensor], damping: float) -> Product:
    gradients = _gradients(kl, tensors, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        parts = _parted(vector, tensors)
        slope = torch.stack([(g * v).sum() for g, v in zip(gradients, parts)]).sum()
        return _flat(_gradients(slope, tensors)) + damping * vector

    return product


def _named_product(curvature: Curvature, params: Params, damping: float) -> Product:
    def product(vector: Tensor) -> Tensor:
        image = curvature(dict(zip(params, _parted(vector, list(params.values())))))
        return _flat(tuple(image[name] for name in params)) + damping * vector

    return product


def _gradients(
    value: Tensor, tensors: list[Tensor], create_graph: bool = False
) -> tuple[Tensor, ...]:
    # The graph stays: the two closures may share a part of it, and products are many.
    return torch.autograd.grad(
        value,
        tensors,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def _parted(vector: Tensor, like: list[Tensor]) -> list[Tensor]:
    parts = torch.split(vector, [tensor.numel() for tensor in like])
    return [part.view_as(tensor).to(tensor.dtype) for part, tensor in zip(parts, like)]


def _moved(params: Params, vector: Tensor) -> Params:
    parts = _parted(vector, list(params.values()))
    return {name: value.detach() - part for (name, value), part in zip(params.items(), parts)}
