# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The gradient step: one function for GrBAL on the robot, in training, and for MAML."""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.networks.mlp import add_low_rank_update
from mbmrl_ros.types import LayerRecord, LossFn, Params, Transitions


def gradient_step(
    loss_fn: LossFn,
    params: Params,
    step_sizes: Params,
    batch: Transitions,
    create_graph: bool = False,
) -> tuple[Params, Tensor]:
    """Take one step of gradient descent on every row's own loss (thesis, equation 24).

    params: shared by all rows or one set per row; rows of the batch [B, M, .] do not influence
    each other. step_sizes: a scalar per weight and bias (psi of Algorithm 9); what has none stays
    as it is, and costs no gradient. create_graph: keep the graph, so that a loss of the result
    can be differentiated through the step, in second order, with respect to whatever params and
    step_sizes were computed from.

    The gradient of a linear layer is the sum over samples of output gradient times input, so
    only the output gradients are computed; the result holds the two as factors (networks/mlp.py).

    Returns the parameters after the step, one set per row, and the loss [B] before it.
    """
    with torch.enable_grad():
        layer_grads, loss = _gradients(loss_fn, params, step_sizes, batch, create_graph)
        stepped = dict(params)
        for record, gradient in layer_grads:
            step = _step_of_inputs if record.layer == 'scale' else _step_of_layer
            stepped |= step(params, step_sizes, record, gradient)
        return stepped, loss


def _gradients(
    loss_fn: LossFn,
    params: Params,
    step_sizes: Params,
    batch: Transitions,
    create_graph: bool,
) -> tuple[list[tuple[LayerRecord, Tensor]], Tensor]:
    """Return what passed through the layers that step, with its gradients, and the loss [B]."""
    records: list[LayerRecord] = []
    loss = loss_fn(params, batch, records)
    records = [record for record in records if _first_name(record) in step_sizes]
    outputs = [record.outputs for record in records]
    gradients = torch.autograd.grad(loss.sum(), outputs, create_graph=create_graph)
    return list(zip(records, gradients)), loss


def _step_of_inputs(
    params: Params, step_sizes: Params, record: LayerRecord, gradient: Tensor
) -> Params:
    """Return scale and shift of the inputs [B, in] after the step."""
    slope = (gradient * record.inputs).sum(1)
    stepped = {'scale': params['scale'] - step_sizes['scale'] * slope}
    if 'shift' in step_sizes:
        stepped['shift'] = params['shift'] - step_sizes['shift'] * gradient.sum(1)
    return stepped


def _step_of_layer(
    params: Params, step_sizes: Params, record: LayerRecord, gradient: Tensor
) -> Params:
    """Return the entries of a linear layer after the step, its weight's change as factors."""
    bias_name = f'bias{record.layer}'
    bias = params[bias_name] - step_sizes[bias_name] * gradient.sum(1)
    rate = step_sizes[f'weight{record.layer}']
    if rate.dim():  # one per unit, or per row
        gradient, rate = rate * gradient, rate.new_ones(())
    rates = rate.expand(gradient.shape[1])
    return add_low_rank_update(params, record.layer, record.inputs, gradient, rates, bias)


def _first_name(record: LayerRecord) -> str:
    return 'scale' if record.layer == 'scale' else f'weight{record.layer}'


def uniform_step_sizes(params: Params, step_size: float) -> Params:
    """Return the same step size for every tensor."""
    return {name: torch.tensor(step_size) for name in params}


def detach(params: Params) -> Params:
    """Cut the parameters from the graph that computed them."""
    return {name: value.detach() for name, value in params.items()}
