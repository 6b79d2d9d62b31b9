# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A multi-layer perceptron as functions of explicit parameters.

A gradient step of a linear layer on R samples changes its weight by a matrix of rank R: the sum
of the samples' output gradients times their inputs. So parameters after a step are kept as the
shared weight and the two factors, one pair per row B, which is exact and needs no copy of the
weights per row:

    scale [in] (or [B, in])     multiplies the inputs of the network, where there is one
    shift [in] (or [B, in])     is added to the scaled inputs, where there is one
    weight0 [out, in] (or [B, out, in])     bias0 [out] (or [B, out])
    lowrank_in0 [B, R, in]  lowrank_out0 [B, R, out]  lowrank_lr0 [R]
                    meaning weight0 - lowrank_out0^T diag(lowrank_lr0) lowrank_in0

Dense parameters with a leading B serve as well, without any factors: one set per row, which is
what policies have after a step (adaptation/policy_gradient.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mbmrl_ros.types import Layer, LayerRecord, Params

Activation = Callable[[Tensor], Tensor]


def init_mlp(sizes: Sequence[int], generator: torch.Generator) -> Params:
    """Draw Glorot-uniform weights and zero biases (as in the authors' code).

    sizes: widths from input to output. Returns weight0 [sizes[1], sizes[0]], bias0, weight1, ...
    """
    params: Params = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        bound = math.sqrt(6.0 / (fan_in + fan_out))
        uniform = torch.rand(fan_out, fan_in, generator=generator) * 2 - 1
        params[f'weight{layer}'] = bound * uniform
        params[f'bias{layer}'] = torch.zeros(fan_out)
    return params


def layer_count(params: Params) -> int:
    """Return the number of linear layers."""
    return sum(name.startswith('weight') for name in params)


def mlp(
    params: Params,
    inputs: Tensor,
    records: list[LayerRecord] | None = None,
    activation: Activation = torch.relu,
) -> Tensor:
    """Apply the network, with the activation between its layers.

    inputs: [B, R, in], or [..., in] where no parameter has a leading B. records: collects every
    linear layer's inputs and outputs, for `gradient_step`.
    """
    hidden = inputs
    if 'scale' in params:
        scaled = inputs * per_row(params['scale'])
        if 'shift' in params:
            scaled = scaled + per_row(params['shift'])
        hidden = _recorded(records, 'scale', inputs, scaled)
    last = layer_count(params) - 1
    for layer in range(last + 1):
        outputs = _recorded(records, layer, hidden, linear(params, layer, hidden))
        hidden = outputs if layer == last else activation(outputs)
    return hidden


def per_row(values: Tensor) -> Tensor:
    """Return values [n] as they are, and those of each row [B, n] as [B, 1, n]."""
    return values[:, None] if values.dim() == 2 else values


def _recorded(
    records: list[LayerRecord] | None, layer: Layer, inputs: Tensor, outputs: Tensor
) -> Tensor:
    if records is not None:
        # Without parameters that need a gradient the graph starts at the first output.
        if not outputs.requires_grad:
            outputs.requires_grad_()
        records.append(LayerRecord(layer, inputs, outputs))
    return outputs


def linear(params: Params, layer: int, inputs: Tensor) -> Tensor:
    """Apply one linear layer, with its low-rank change where it has one."""
    weight, bias = params[f'weight{layer}'], params[f'bias{layer}']
    offset = bias[:, None] if bias.dim() == 2 else bias
    if f'lowrank_in{layer}' in params:
        # The rates multiply the smallest of the three factors, [B, R, R].
        overlap = (
            inputs @ params[f'lowrank_in{layer}'].transpose(1, 2) * params[f'lowrank_lr{layer}']
        )
        offset = torch.baddbmm(offset, overlap, params[f'lowrank_out{layer}'], alpha=-1)
    if weight.dim() == 3:
        return torch.baddbmm(offset, inputs, weight.transpose(1, 2))
    if offset.dim() == 1:
        return torch.nn.functional.linear(inputs, weight, offset)
    rows = offset.expand(*inputs.shape[:-1], -1).flatten(0, -2)
    outputs = torch.addmm(rows, inputs.flatten(0, -2), weight.t())
    return outputs.view(*inputs.shape[:-1], -1)


def add_low_rank_update(
    params: Params, layer: Layer, inputs: Tensor, outputs: Tensor, rates: Tensor, bias: Tensor
) -> Params:
    """Return the entries of one layer after a further change of rank R.

    inputs: [B, R, in]; outputs: [B, R, out], gradients of what left the layer; rates: [R]; bias:
    [B, out].
    """
    if f'lowrank_in{layer}' in params:
        inputs = torch.cat([params[f'lowrank_in{layer}'], inputs], 1)
        outputs = torch.cat([params[f'lowrank_out{layer}'], outputs], 1)
        rates = torch.cat([params[f'lowrank_lr{layer}'], rates])
    weight = params[f'weight{layer}']
    return {
        f'weight{layer}': weight,
        f'bias{layer}': bias,
        f'lowrank_in{layer}': inputs,
        f'lowrank_out{layer}': outputs,
        f'lowrank_lr{layer}': rates,
    }


def one_set_per_row(params: Params, rows: int) -> Params:
    """Return a set of parameters per row (a view); what has one already stays as it is."""
    if params['bias0'].dim() == 2:
        return params
    return {name: value.expand(rows, *value.shape) for name, value in params.items()}


def dense(params: Params) -> Params:
    """Multiply the factors out, to weight{l} [B, out, in], where there are any."""
    result: Params = {name: params[name] for name in ('scale', 'shift') if name in params}
    for layer in range(layer_count(params)):
        weight, bias = params[f'weight{layer}'], params[f'bias{layer}']
        if f'lowrank_in{layer}' in params:
            inputs, outputs = params[f'lowrank_in{layer}'], params[f'lowrank_out{layer}']
            weight = torch.baddbmm(
                weight.expand(len(inputs), *weight.shape[-2:]),
                outputs.transpose(1, 2),
                inputs * params[f'lowrank_lr{layer}'][:, None],
                alpha=-1,
            )
        result[f'weight{layer}'], result[f'bias{layer}'] = weight, bias
    return result
