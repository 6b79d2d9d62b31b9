# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's hot loop of a recurrent model: one product per layer and step.

All gates, of the input and of what is remembered, come from one matrix, in an order that lets one
call squash those that are squashed alike. A GRU's `new` needs its two parts apart, so that it has
four blocks as well, with zeros in them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.models.normalizer import Inputs, Normalizer
from mbmrl_ros.types import Carry, Params

PARTS = {'lstm': 2, 'gru': 1}
"""How many tensors of its own width a layer remembers."""

Memory = tuple[tuple[Tensor, ...], ...]
"""Per layer what it remembers, each [B K, U]: the output and, for an LSTM, the cell."""


class PackedRecurrent:
    """A StepFn: (carry, state [B, K, S], action [B, K, A]) -> (carry, next_state [B, K, S]).

    The carry that comes in is a tensor [B, 1 or K, Z], None, or what an earlier call returned;
    none of them is written to.
    """

    def __init__(
        self,
        normalizer: Normalizer,
        inputs: Inputs,
        hidden_sizes: tuple[int, ...],
        cell: str,
        dtype: torch.dtype,
    ) -> None:
        """dtype: of weights, products and memories; states stay float32."""
        self._normalizer, self._inputs = normalizer, inputs
        self._hidden_sizes, self._dtype = hidden_sizes, dtype
        self._cell = cell
        self._parts = PARTS[cell]
        self._weights: list[Tensor] = []
        self._biases: list[Tensor] = []
        self._gates: list[Tensor] = []

    def pack(self, params: Params) -> PackedRecurrent:
        """Take parameters into the memory of those before."""
        arrange = _lstm_blocks if self._cell == 'lstm' else _gru_blocks
        packed = [arrange(params, layer) for layer in range(len(self._hidden_sizes))]
        scale = self._normalizer.delta_std
        bias = torch.addcmul(self._normalizer.delta_mean, params['bias_output'], scale)
        packed.append((params['weight_output'] * scale[:, None], bias))
        if not self._weights:
            self._weights = [torch.empty_like(weight, dtype=self._dtype) for weight, _ in packed]
            self._biases = [torch.empty_like(bias, dtype=self._dtype) for _, bias in packed]
        for place, (weight, bias) in enumerate(packed):
            self._weights[place].copy_(weight)
            self._biases[place].copy_(bias)
        return self

    def __call__(self, carry: Carry, state: Tensor, action: Tensor) -> tuple[Carry, Tensor]:
        """Predict the next states in float32, in units."""
        rows = state.reshape(-1, state.shape[-1])
        hidden = self._inputs(rows, action.reshape(len(rows), -1)).to(self._dtype)
        memory = carry if isinstance(carry, tuple) else self._opened(carry, state)
        if not self._gates or len(self._gates[0]) != len(rows):
            self._gates = [hidden.new_empty(len(rows), 4 * units) for units in self._hidden_sizes]
        advance = _lstm if self._cell == 'lstm' else _gru
        advanced = []
        for layer, before in enumerate(memory):
            joined = torch.cat([hidden, before[0]], 1)
            gates = torch.addmm(
                self._biases[layer], joined, self._weights[layer].t(), out=self._gates[layer]
            )
            advanced.append(advance(gates, before))
            hidden = advanced[-1][0]
        change = torch.addmm(self._biases[-1], hidden, self._weights[-1].t())
        return tuple(advanced), torch.add(rows, change).view(state.shape)

    def _opened(self, carry: Tensor | None, state: Tensor) -> Memory:
        """Give every candidate its robot's memory."""
        shape = (*state.shape[:2], self._parts * sum(self._hidden_sizes))
        carry = state.new_zeros(1, 1, 1) if carry is None else carry
        rows = carry.to(self._dtype).expand(shape).flatten(0, 1)
        layers = rows.split_with_sizes([units * self._parts for units in self._hidden_sizes], 1)
        return tuple(layer.chunk(self._parts, 1) for layer in layers)


def _lstm_blocks(params: Params, layer: int) -> tuple[Tensor, Tensor]:
    """Return weight [4 U, in + U] and bias [4 U], in the order input, forget, output, new."""
    joined = torch.cat([params[f'weight_input{layer}'], params[f'weight_hidden{layer}']], 1)
    return _output_third(joined), _output_third(params[f'bias_input{layer}'])


def _output_third(gates: Tensor) -> Tensor:
    into, forget, new, out = gates.chunk(4)
    return torch.cat([into, forget, out, new])


def _gru_blocks(params: Params, layer: int) -> tuple[Tensor, Tensor]:
    """Return weight [4 U, in + U] and bias [4 U]: reset, update, new of input, new of hidden."""
    from_input, from_hidden = params[f'weight_input{layer}'], params[f'weight_hidden{layer}']
    units = from_hidden.shape[1]
    nothing = from_input.new_zeros(units, from_input.shape[1])
    left = torch.cat([from_input, nothing])
    right = torch.cat([from_hidden[: 2 * units], torch.zeros_like(from_hidden[:units]),
                       from_hidden[2 * units :]])  # fmt: skip
    bias = torch.cat([params[f'bias_input{layer}'], params[f'bias_hidden{layer}']])
    return torch.cat([left, right], 1), bias


def _lstm(gates: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    units = gates.shape[1] // 4
    gates[:, : 3 * units].sigmoid_()
    into, forget, out, new = gates.chunk(4, 1)
    cell = torch.addcmul(forget * memory[1], into, new.tanh_())
    return cell.tanh().mul_(out), cell


def _gru(gates: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    units = gates.shape[1] // 4
    gates[:, : 2 * units].sigmoid_()
    reset, update, new, hidden_new = gates.chunk(4, 1)
    new = torch.addcmul(new, reset, hidden_new).tanh_()
    return (torch.lerp(new, memory[0], update),)
