# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's hot loop: the network with packed weights and buffers that are allocated once.

One tick evaluates the network K x H times with the same weights, so they are converted once, and
every layer writes into a buffer of its own. Inputs are centred and scaled in float32 before they
are rounded: bfloat16 keeps 8 bits, which is plenty about zero and too little about 0.7 m.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.models.mlp import dense, layer_count
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.types import Carry, Params


class PackedMLP:
    """A StepFn: (carry, state [B, K, S], action [B, K, A]) -> (carry, next_state [B, K, S])."""

    def __init__(
        self,
        params: Params,
        normalizer: Normalizer,
        input_indices: tuple[int, ...],
        dtype: torch.dtype,
    ) -> None:
        """Pack parameters with or without a leading B."""
        self._normalizer = normalizer
        # All channels go in and those that must not count get a weight of zero: slicing rows of
        # 19 floats out of K x H states costs more than the wider product.
        scale = torch.zeros_like(normalizer.state_std)
        indices = list(input_indices)
        scale[indices] = 1.0 / normalizer.state_std[indices]
        self._scale, self._offset = scale, -normalizer.state_mean * scale
        self._weights: list[Tensor] = []
        self._biases: list[Tensor] = []
        params = dense(params)
        for layer in range(layer_count(params)):
            weight, bias = params[f'weight{layer}'], params[f'bias{layer}']
            weight = weight if weight.dim() == 3 else weight[None]
            bias = bias if bias.dim() == 2 else bias[None]
            if layer == 0:
                if 'scale' in params:
                    weight = weight * params['scale'].view(-1, 1, weight.shape[-1])
                    bias = bias.expand(len(weight), -1)
                weight = _spread(weight, indices, len(scale))
            self._weights.append(weight.to(dtype).transpose(1, 2))
            self._biases.append(bias.to(dtype)[:, None])
        self._buffers: list[Tensor] = []

    def __call__(self, carry: Carry, state: Tensor, action: Tensor) -> tuple[Carry, Tensor]:
        """Predict the next states in float32, in units."""
        # With one set of weights for all robots, their candidates are rows of one product.
        groups, size = len(self._weights[0]), state.shape[-1]
        rows = state.reshape(groups, -1, size)
        if not self._buffers:
            self._allocate(groups, rows.shape[1], size + action.shape[-1])
        hidden = self._buffers[0]
        hidden[..., :size] = torch.addcmul(self._offset, rows, self._scale)
        hidden[..., size:] = action.reshape(groups, -1, action.shape[-1])
        last = len(self._weights) - 1
        for layer, buffer in enumerate(self._buffers[1:]):
            torch.baddbmm(self._biases[layer], hidden, self._weights[layer], out=buffer)
            hidden = buffer if layer == last else buffer.relu_()
        normalizer = self._normalizer
        delta = torch.addcmul(normalizer.delta_mean, hidden.float(), normalizer.delta_std)
        return carry, delta.add_(rows).view(state.shape)

    def _allocate(self, groups: int, rows: int, inputs: int) -> None:
        widths = [inputs, *(weight.shape[-1] for weight in self._weights)]
        dtype = self._weights[0].dtype
        self._buffers = [torch.empty(groups, rows, width, dtype=dtype) for width in widths]


def _spread(weight: Tensor, indices: list[int], state_size: int) -> Tensor:
    """Give the first layer [B, out, I + A] a column for every state channel: [B, out, S + A]."""
    actions = weight.shape[-1] - len(indices)
    wide = weight.new_zeros(*weight.shape[:-1], state_size + actions)
    wide[..., indices] = weight[..., : len(indices)]
    wide[..., state_size:] = weight[..., len(indices) :]
    return wide
