# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A ReLU network in integers of 8 bits, where a processor multiplies those faster than float32.

Weights have a scale per output, the activations of a layer one scale, from 0 to the largest that
is expected; inputs, outputs and sums keep their precision (Jacob et al. 2018, section 2). What is
expected is what the network, as it is now, makes of some inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

LARGEST_WEIGHT, LARGEST_ACTIVATION = 127, 255
# Rows that the range of activations is measured on, and how far others may be beyond it before
# they are cut off. Measured on the shipped bundles: with 1.5 the end of a plan of 40 steps was
# twice as far off, with 4 the roundings of all of it were a third larger.
CALIBRATION_ROWS = 64
MARGIN = 2.0
# Times as far off as others: no rounding, but an activation that was cut off.
FAR = 10.0


class Int8Network:
    """(inputs [G, R, in]) -> outputs [G, R, out] in float32, each group by weights of its own."""

    def __init__(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], inputs: Tensor
    ) -> None:
        """weights: [G, out, in] or [1, out, in]; biases: [G, 1, out] or [1, 1, out].

        inputs: [G, N, in], some of which say what activations to expect.
        """
        some = inputs[:, :: _stride(inputs)]
        self._exact = list(weights), list(biases)
        self._groups = [
            _chain([w[g % len(w)] for w in weights], [b[g % len(b), 0] for b in biases], rows)
            for g, rows in enumerate(some)
        ]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Apply the network; rows of inputs that are not finite give NaN, and so do parameters.

        Two thirds of what roundings do is the same for all candidates of a plan, and would add up
        over its steps. Some rows in float32 say how much that is, and it is taken off.
        """
        outputs = self.rounded(inputs)
        stride = _stride(inputs)
        off = outputs[:, ::stride] - float32_outputs(*self._exact, inputs[:, ::stride])
        outputs -= _common(off)
        # No integer says that an input is not finite: a rollout that broke would look sound.
        return outputs.add_(inputs.sum(-1, keepdim=True) * 0.0)

    def rounded(self, inputs: Tensor) -> Tensor:
        """Return the outputs as the integers give them."""
        return torch.stack([apply(chain, rows) for chain, rows in zip(self._groups, inputs)])


def float32_outputs(weights: list[Tensor], biases: list[Tensor], inputs: Tensor) -> Tensor:
    """Return the exact outputs [G, R, out]."""
    hidden = inputs
    for weight, bias in zip(weights[:-1], biases[:-1]):
        hidden = torch.relu(hidden @ weight.transpose(1, 2) + bias)
    return hidden @ weights[-1].transpose(1, 2) + biases[-1]


def _common(off: Tensor) -> Tensor:
    """Return what rows [G, N, out] are off alike [G, 1, out].

    A rollout that runs away is cut off by the integers, as far as you like: it says nothing of
    the others. Of most rows it may be so, so that the nearer quarter tells what is far.
    """
    squares = off.square().sum(-1)
    typical = squares.kthvalue(squares.shape[1] // 4 + 1, 1, keepdim=True).values
    near = (squares < FAR**2 * typical)[..., None]
    return off.where(near, 0.0).sum(1, keepdim=True) / near.sum(1, keepdim=True).clamp_(min=1)


def _stride(rows: Tensor) -> int:
    return -(-rows.shape[1] // CALIBRATION_ROWS)


class Int8Linear:
    """A linear layer: activations [R, in] in steps, as integers -> what the next one takes."""

    def __init__(self, weight: Tensor, bias: Tensor, step: float, following: float | None) -> None:
        """step, following: of the activations that come in and go out; None: float32 goes out."""
        self._scale = weight.abs().amax(1).clamp_(min=torch.finfo(torch.float32).tiny * 128)
        self._scale /= LARGEST_WEIGHT
        rounded = (weight / self._scale[:, None]).round_().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._bias, self._step = bias, step
        # Integers without a sign end at 0: that is the ReLU.
        self._out = (1.0, torch.float32) if following is None else (following, torch.uint8)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Apply the layer."""
        following, dtype = self._out
        outputs: Tensor = torch.ops.onednn.qlinear_pointwise(
            hidden, self._step, 0, self._packed, self._scale, self._zeros, self._bias,
            following, 0, dtype, 'none', [], '',
        )  # fmt: skip
        return outputs


class FirstLinear:
    """The first layer: inputs [R, in] in float32 -> activations as integers.

    It has few inputs, so that it is cheap, and they need more than 8 bits.
    """

    def __init__(self, weight: Tensor, bias: Tensor, step: float) -> None:
        """step: of the activations that go out."""
        # Half a step more, and cutting off rounds. The bias is a column of the weight: adding it
        # to a product is another pass over all activations.
        self._weight = torch.cat([weight / step, (bias / step + 0.5)[:, None]], 1).t().contiguous()
        self._products, self._integers = torch.empty(0, 0), torch.empty(0, 0)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Apply the layer; what it returned before is written over."""
        if len(self._products) != len(inputs):
            self._products = inputs.new_empty(len(inputs), self._weight.shape[1])
            self._integers = torch.empty_like(self._products, dtype=torch.uint8)
        torch.mm(pad(inputs, (0, 1), value=1.0), self._weight, out=self._products)
        return self._integers.copy_(self._products.clamp_(0, LARGEST_ACTIVATION))


Chain = tuple[FirstLinear, list[Int8Linear]]


def apply(chain: Chain, inputs: Tensor) -> Tensor:
    """Apply the layers of one group to its rows [R, in]."""
    first, others = chain
    hidden = first(inputs)
    for layer in others:
        hidden = layer(hidden)
    return hidden


def _chain(weights: list[Tensor], biases: list[Tensor], inputs: Tensor) -> Chain:
    steps = activation_steps(weights, biases, inputs)
    # No integer says that a weight is not finite; the outputs have to.
    broken = sum((values.sum() * 0.0 for values in (*weights, *biases)), torch.zeros(()))
    biases = [*biases[:-1], biases[-1] + broken]
    others = [
        Int8Linear(weight, bias, step, following)
        for weight, bias, step, following in zip(
            weights[1:], biases[1:], steps, [*steps[1:], None]
        )
    ]
    return FirstLinear(weights[0], biases[0], steps[0]), others


def activation_steps(
    weights: Sequence[Tensor], biases: Sequence[Tensor], inputs: Tensor
) -> list[float]:
    """Return the step of the integers of every hidden layer, from rows of inputs [N, in].

    A row that is not finite does not count.
    """
    steps, hidden = [], inputs
    for weight, bias in zip(weights[:-1], biases[:-1]):
        hidden = torch.relu(torch.addmm(bias, hidden, weight.t()))
        largest = float(hidden.nan_to_num(0.0, 0.0, 0.0).max())
        steps.append(max(largest, 1e-6) * MARGIN / LARGEST_ACTIVATION)
    return steps
