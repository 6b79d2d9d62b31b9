# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One step of an LSTM or a GRU, after the linear layers that feed it (torch's order of gates)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Cell = Literal['lstm', 'gru']
GATES = {'lstm': 4, 'gru': 3}
# The gate that keeps what is remembered starts open, as in TensorFlow's cells, which the authors'
# code uses: forget is the second gate of an LSTM, update the second of a GRU.
OPEN = 1.0


def lstm_cell(gates: Tensor, memory: Tensor) -> Tensor:
    """Return the next memory [..., 2 U], output and cell; gates: [..., 4 U] before activation."""
    into, forget, new, out = gates.chunk(4, -1)
    cell = forget.sigmoid() * memory.chunk(2, -1)[1] + into.sigmoid() * new.tanh()
    return torch.cat([out.sigmoid() * cell.tanh(), cell], -1)


def gru_cell(from_input: Tensor, from_hidden: Tensor, bias: Tensor, memory: Tensor) -> Tensor:
    """Return the next memory [..., U]; from_input, from_hidden: [..., 3 U]; bias: [U]."""
    reset, update, new = from_input.chunk(3, -1)
    hidden_reset, hidden_update, hidden_new = from_hidden.chunk(3, -1)
    new = (new + (reset + hidden_reset).sigmoid() * (hidden_new + bias)).tanh()
    return torch.lerp(new, memory.expand_as(new), (update + hidden_update).sigmoid())
