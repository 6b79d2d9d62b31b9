# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian policies that remember: one LSTM or GRU layer, then a linear mean (RL2).

weight_input [G U, I]   weight_hidden [G U, U]   bias_input [G U]   bias_hidden [U] (GRU)
weight_output [A, U]    bias_output [A]          log_std [A]

with U units and G gates; a carry is one tensor [B, Z], of an LSTM its output and its cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from mbmrl_ros.networks.cells import GATES, OPEN, Cell, gru_cell, lstm_cell
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.types import Params


@dataclass(frozen=True)
class RecurrentPolicy:
    """A recurrent Gaussian policy; min_std: floor of the standard deviation."""

    input_size: int
    action_size: int
    units: int = 64
    cell: Cell = 'gru'
    init_std: float = 1.0
    min_std: float = 1e-6

    def init(self, generator: torch.Generator) -> Params:
        """Draw Glorot-uniform weights; biases are zero but for the gate that keeps memory."""
        width = GATES[self.cell] * self.units
        params = {
            'weight_input': _glorot(width, self.input_size, generator),
            'weight_hidden': _glorot(width, self.units, generator),
            'bias_input': torch.zeros(width),
            'weight_output': _glorot(self.action_size, self.units, generator),
            'bias_output': torch.zeros(self.action_size),
            'log_std': torch.full((self.action_size,), math.log(self.init_std)),
        }
        params['bias_input'][self.units : 2 * self.units] = OPEN
        if self.cell == 'gru':
            params['bias_hidden'] = torch.zeros(self.units)
        return params

    def empty(self, batch: int) -> Tensor:
        """Return the carry [B, Z] of robots that remember nothing: where a trial begins."""
        return torch.zeros(batch, self.units * (2 if self.cell == 'lstm' else 1))

    def step(self, params: Params, carry: Tensor, inputs: Tensor) -> tuple[Tensor, Distribution]:
        """Remember inputs [B, I]; return the carry [B, Z] and the distribution of actions."""
        carry = self._advance(params, carry, self._from_input(params, inputs))
        return carry, self._read_out(params, carry[:, : self.units])

    def unroll(self, params: Params, carry: Tensor, inputs: Tensor) -> tuple[Tensor, Distribution]:
        """Remember inputs [B, T, I] one after the other; return the last carry and all [B, T, A].

        Products that do not wait for the carry are done for all T at once.
        """
        outputs = []
        for from_input in self._from_input(params, inputs).unbind(1):
            carry = self._advance(params, carry, from_input)
            outputs.append(carry[:, : self.units])
        return carry, self._read_out(params, torch.stack(outputs, 1))

    def _from_input(self, params: Params, inputs: Tensor) -> Tensor:
        return linear(inputs, params['weight_input'], params['bias_input'])

    def _advance(self, params: Params, carry: Tensor, from_input: Tensor) -> Tensor:
        from_hidden = linear(carry[:, : self.units], params['weight_hidden'])
        if self.cell == 'lstm':
            return lstm_cell(from_input + from_hidden, carry)
        return gru_cell(from_input, from_hidden, params['bias_hidden'], carry)

    def _read_out(self, params: Params, outputs: Tensor) -> Distribution:
        mean = linear(outputs, params['weight_output'], params['bias_output'])
        return {'mean': mean, 'log_std': params['log_std'].clamp(min=math.log(self.min_std))}


def _glorot(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    bound = math.sqrt(6.0 / (rows + columns))
    return bound * (torch.rand(rows, columns, generator=generator) * 2 - 1)
