# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recurrent dynamics model of ReBAL: LSTM or GRU layers, then a linear read-out.

Into a step go the normalised state and the action, and out comes the normalised change:

    memory_{t+1} = cell(memory_t, [s_t, a_t])      d_t = read-out(memory_{t+1})

How the robot answered a_{t-1} is not an input of its own: memory_t has consumed (s_{t-1}, a_{t-1})
and s_t comes in with this step, so that the network can tell what it had predicted from what came
of it. Of channels that do not feed the network (absolute position) it sees neither.

Parameters, per layer l with U units and G gates (LSTM: input, forget, cell, output; GRU: reset,
update, new; the order of torch's own layers):

    weight_input{l} [G U, in]   weight_hidden{l} [G U, U]   bias_input{l} [G U]
    bias_hidden{l} [U]          GRU: of the hidden part of `new`
    weight_output [S, U]        bias_output [S]

A carry is one tensor [B, K, Z]: of every layer the output and, for an LSTM, the cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mbmrl_ros.models.device import PlanningPrecision
from mbmrl_ros.models.normalizer import Inputs, Normalizer
from mbmrl_ros.models.packed_recurrent import PARTS, PackedRecurrent
from mbmrl_ros.networks.cells import GATES, OPEN, gru_cell, lstm_cell
from mbmrl_ros.networks.cells import Cell as Cell
from mbmrl_ros.types import Carry, LayerRecord, Params, StepFn, Transitions


@dataclass(frozen=True)
class RecurrentDynamics:
    """Recurrent dynamics; fields as in MLPDynamics, parameters and carries are arguments."""

    state_size: int
    action_size: int
    input_indices: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    normalizer: Normalizer
    precision: PlanningPrecision = 'float32'
    input_limit: float | None = None
    cell: Cell = 'lstm'

    def init(self, generator: torch.Generator) -> Params:
        """Draw Glorot-uniform weights; biases are zero but for the open gates."""
        params: Params = {}
        fan_in = len(self.input_indices) + self.action_size
        gates = GATES[self.cell]
        for layer, units in enumerate(self.hidden_sizes):
            bound = math.sqrt(6.0 / (fan_in + units + gates * units))
            params[f'weight_input{layer}'] = _uniform(gates * units, fan_in, bound, generator)
            params[f'weight_hidden{layer}'] = _uniform(gates * units, units, bound, generator)
            params[f'bias_input{layer}'] = torch.zeros(gates * units)
            params[f'bias_input{layer}'][units : 2 * units] = OPEN
            if self.cell == 'gru':
                params[f'bias_hidden{layer}'] = torch.zeros(units)
            fan_in = units
        bound = math.sqrt(6.0 / (fan_in + self.state_size))
        params['weight_output'] = _uniform(self.state_size, fan_in, bound, generator)
        params['bias_output'] = torch.zeros(self.state_size)
        return params

    @cached_property
    def inputs(self) -> Inputs:
        """(state [..., S], action [..., A]) -> the network's input [..., I + A]."""
        return Inputs(self.normalizer, self.input_indices, self.input_limit)

    @property
    def layer_sizes(self) -> list[int]:
        """How much of a carry is each layer's; their sum is Z."""
        return [units * PARTS[self.cell] for units in self.hidden_sizes]

    def empty(self, batch: int) -> Tensor:
        """Return the carry [B, 1, Z] of robots of which nothing is remembered."""
        return self.normalizer.state_mean.new_zeros(batch, 1, sum(self.layer_sizes))

    def step(
        self, params: Params, carry: Carry, state: Tensor, action: Tensor
    ) -> tuple[Carry, Tensor]:
        """Predict the next state [B, K, S] in units; carry: [B, K, Z], [B, 1, Z] or None."""
        carry = self.empty(1) if carry is None else carry
        carry, delta = self._cells(params, carry, self.inputs(state, action))
        return carry, state + self.normalizer.delta_mean + self.normalizer.delta_std * delta

    def _cells(self, params: Params, carry: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Advance all layers by one step: (carry, normalised change)."""
        advanced = []
        for layer, memory in enumerate(carry.split_with_sizes(self.layer_sizes, -1)):
            linear = torch.nn.functional.linear
            memory_in = memory[..., : self.hidden_sizes[layer]]
            from_input = linear(
                hidden, params[f'weight_input{layer}'], params[f'bias_input{layer}']
            )
            from_hidden = linear(memory_in, params[f'weight_hidden{layer}'])
            if self.cell == 'lstm':
                memory = lstm_cell(from_input + from_hidden, memory)
            else:
                memory = gru_cell(from_input, from_hidden, params[f'bias_hidden{layer}'], memory)
            hidden = memory[..., : self.hidden_sizes[layer]]
            advanced.append(memory)
        delta = torch.nn.functional.linear(hidden, params['weight_output'], params['bias_output'])
        return torch.cat(advanced, -1), delta

    def follow(
        self, params: Params, carry: Tensor, transitions: Transitions
    ) -> tuple[Tensor, Tensor]:
        """Consume what really happened: (carry [B, 1, Z], squared errors [B, T, S]).

        transitions: [B, T, .]; each is predicted before its outcome is seen. Where anything comes
        out that is not finite, the row's memory begins anew, so that a window that begins with
        NaN, or has a gap of NaN, is remembered from the next transition on.
        """
        errors = []
        targets = self.normalizer.delta(transitions)
        inputs = self.inputs(transitions.states, transitions.actions)
        # Infinity would saturate the gates, and what comes out look sound.
        inputs = torch.where(inputs.isfinite(), inputs, torch.nan)
        for time in range(inputs.shape[1]):
            carry, delta = self._cells(params, carry, inputs[:, time : time + 1])
            sound = carry.isfinite().all(-1, keepdim=True)
            carry = torch.where(sound, carry, 0.0)
            errors.append((delta - targets[:, time : time + 1]).square())
        return carry, torch.cat(errors, 1)

    def unroll(
        self, params: Params, carry: Tensor, transitions: Transitions
    ) -> tuple[Tensor, Tensor]:
        """Return the same as `follow` by torch's fused layers, for data that is finite.

        Differentiable, and two to three times as fast as steps one by one.
        """
        hidden = self.inputs(transitions.states, transitions.actions)
        advanced = []
        for layer, memory in enumerate(carry[:, 0].split_with_sizes(self.layer_sizes, -1)):
            parts = [part[None].contiguous() for part in memory.chunk(PARTS[self.cell], -1)]
            weights = self._torch_weights(params, layer)
            settings = (weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
            if self.cell == 'lstm':
                hidden, *last = torch.lstm(hidden, parts, *settings)
            else:
                hidden, *last = torch.gru(hidden, parts[0], *settings)
            advanced += [part[0] for part in last]
        delta = torch.nn.functional.linear(hidden, params['weight_output'], params['bias_output'])
        errors = (delta - self.normalizer.delta(transitions)).square()
        return torch.cat(advanced, -1)[:, None], errors

    def _torch_weights(self, params: Params, layer: int) -> list[Tensor]:
        """Return a layer's weights as torch.nn.LSTM and torch.nn.GRU hold them."""
        bias = params[f'bias_input{layer}']
        hidden_bias = torch.zeros_like(bias)
        if self.cell == 'gru':
            new = params[f'bias_hidden{layer}']
            hidden_bias = torch.cat([hidden_bias[: -len(new)], new])
        weights = (params[f'weight_input{layer}'], params[f'weight_hidden{layer}'])
        return [*weights, bias, hidden_bias]

    def errors(
        self,
        params: Params,
        transitions: Transitions,
        records: list[LayerRecord] | None = None,
        carry: Carry = None,
    ) -> Tensor:
        """Return the squared errors of the normalised changes, [B, T, S].

        carry: [B, 1, Z] from before the first transition, which goes on through them. Without
        one, each is predicted on its own with an empty memory: what the network says of a robot
        of which nothing is known. There are no records to collect.
        """
        if carry is None:
            _, delta = self._cells(
                params, self.empty(1), self.inputs(transitions.states, transitions.actions)
            )
            return (delta - self.normalizer.delta(transitions)).square()
        return self.unroll(params, carry, transitions)[1]

    def loss(
        self,
        params: Params,
        transitions: Transitions,
        records: list[LayerRecord] | None = None,
        carry: Carry = None,
    ) -> Tensor:
        """Return the mean of `errors` over window and channels, [B] (thesis, equation 23)."""
        return self.errors(params, transitions, records, carry).mean((-2, -1))

    def planning_step(self, params: Params, reuse: StepFn | None = None) -> StepFn:
        """Return `step` with the parameters packed in the planner's precision.

        reuse: what an earlier call returned; its memory then holds the new parameters.
        """
        if not isinstance(reuse, PackedRecurrent):
            dtype = getattr(torch, self.precision)
            reuse = PackedRecurrent(
                self.normalizer, self.inputs, self.hidden_sizes, self.cell, dtype
            )
        return reuse.pack(params)


def _uniform(rows: int, columns: int, bound: float, generator: torch.Generator) -> Tensor:
    return bound * (torch.rand(rows, columns, generator=generator) * 2 - 1)
