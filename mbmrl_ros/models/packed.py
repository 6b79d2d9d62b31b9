# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's hot loop: the network with packed weights and buffers that are allocated once.

One tick evaluates the network K x H times with the same weights, so they are converted once. The
statistics of the changes are folded into the last layer. Those of the inputs are not folded into
the first: inputs are centred and scaled in float32 before they are rounded, since bfloat16 keeps
8 bits, which is plenty about zero and too little about 0.7 m. In int8 the network is converted at
its first evaluation, whose inputs say which activations to expect (networks/int8.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.int8 import Int8Network
from mbmrl_ros.networks.mlp import dense, layer_count, per_row
from mbmrl_ros.types import Carry, Params


class PackedMLP:
    """A StepFn: (carry, state [B, K, S], action [B, K, A]) -> (carry, next_state [B, K, S])."""

    def __init__(
        self,
        normalizer: Normalizer,
        input_indices: tuple[int, ...],
        dtype: torch.dtype,
        input_limit: float | None = None,
    ) -> None:
        """dtype: of weights and products; states stay float32."""
        self._limit = input_limit
        self._normalizer = normalizer
        self._in_integers = dtype == torch.int8
        self._dtype = torch.float32 if self._in_integers else dtype
        self._integers: Int8Network | None = None
        # All channels go in and those that must not count get a weight of zero: slicing rows of
        # 19 floats out of K x H states costs more than the wider product.
        self._columns = torch.tensor(input_indices, device=normalizer.state_std.device)
        scale = torch.zeros_like(normalizer.state_std)
        scale[..., self._columns] = 1.0 / normalizer.state_std[..., self._columns]
        self._scale, self._offset = per_row(scale), per_row(-normalizer.state_mean * scale)
        self._weights: list[Tensor] = []
        self._biases: list[Tensor] = []
        self._buffers: list[Tensor] = []

    def pack(self, params: Params) -> PackedMLP:
        """Take parameters with or without a leading B, into the memory of those before."""
        self._integers = None
        params = dense(params)
        last = layer_count(params) - 1
        for layer in range(last + 1):
            weight, bias = params[f'weight{layer}'], params[f'bias{layer}']
            weight = weight if weight.dim() == 3 else weight[None]
            bias = bias if bias.dim() == 2 else bias[None]
            if layer == 0:
                if 'shift' in params:
                    shift = params['shift'].view(-1, weight.shape[-1], 1)
                    bias = bias + (weight @ shift).squeeze(-1)
                weight = self._spread(weight, params)
                bias = bias.expand(len(weight), -1)
            if layer == last:
                bias = torch.addcmul(self._normalizer.delta_mean, bias, self._normalizer.delta_std)
                weight = weight * self._normalizer.delta_std[..., None]
            self._store(layer, weight, bias)
        return self

    def _store(self, layer: int, weight: Tensor, bias: Tensor) -> None:
        if layer < len(self._weights) and self._weights[layer].shape == weight.shape:
            self._weights[layer].copy_(weight)
            self._biases[layer].copy_(bias[:, None])
            return
        del self._weights[layer:], self._biases[layer:]
        self._buffers = []
        self._weights.append(weight.to(self._dtype, copy=True).contiguous())
        self._biases.append(bias.to(self._dtype, copy=True)[:, None].contiguous())

    def _spread(self, weight: Tensor, params: Params) -> Tensor:
        """Give the first layer [B, out, I + A] a column per state channel: [B, out, S + A]."""
        if 'scale' in params:
            weight = weight * params['scale'].view(-1, 1, weight.shape[-1])
        size, inputs = self._scale.shape[-1], len(self._columns)
        wide = weight.new_zeros(*weight.shape[:-1], size + weight.shape[-1] - inputs)
        wide[..., self._columns] = weight[..., :inputs]
        wide[..., size:] = weight[..., inputs:]
        return wide

    def __call__(self, carry: Carry, state: Tensor, action: Tensor) -> tuple[Carry, Tensor]:
        """Predict the next states in float32, in units."""
        # With one set of weights for all robots, their candidates are rows of one product; but of
        # integers every robot has its own range, or one that is far away would coarsen all.
        groups = len(state) if self._in_integers else len(self._weights[0])
        size = state.shape[-1]
        rows = state.reshape(groups, -1, size)
        if not self._buffers or self._buffers[0].shape[1] != rows.shape[1]:
            self._allocate(groups, rows.shape[1], size + action.shape[-1])
        hidden = self._buffers[0]
        channels = torch.addcmul(self._offset, rows, self._scale)
        if self._limit is not None:
            channels.clamp_(-self._limit, self._limit)
        hidden[..., :size] = channels
        hidden[..., size:] = action.reshape(groups, -1, action.shape[-1])
        change = self._rounded(hidden) if self._in_integers else self._exact(hidden)
        return carry, torch.add(rows, change).view(state.shape)

    def _exact(self, hidden: Tensor) -> Tensor:
        last = len(self._weights) - 1
        for layer, buffer in enumerate(self._buffers[1:]):
            self._product(layer, hidden, buffer)
            # oneDNN's fused ReLU is a tenth faster, but turns NaN into 0: a rollout that broke
            # would look sound.
            hidden = buffer if layer == last else buffer.relu_()
        return hidden

    def _rounded(self, hidden: Tensor) -> Tensor:
        if self._integers is None:
            self._integers = Int8Network(self._weights, self._biases, hidden)
        return self._integers(hidden)

    def _product(self, layer: int, hidden: Tensor, out: Tensor) -> None:
        weight, bias = self._weights[layer].transpose(1, 2), self._biases[layer]
        if len(weight) == 1:  # of all robots alike, while an earlier layer may be of each its own
            torch.addmm(bias[0], hidden.flatten(0, 1), weight[0], out=out.flatten(0, 1))
        else:
            torch.baddbmm(bias, hidden, weight, out=out)

    def _allocate(self, groups: int, rows: int, inputs: int) -> None:
        widths = [inputs, *(weight.shape[1] for weight in self._weights)]
        like = self._weights[0]
        self._buffers = [like.new_empty(groups, rows, width) for width in widths]
