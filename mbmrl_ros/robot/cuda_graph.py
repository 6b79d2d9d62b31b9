# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A function of tensors, recorded once as a CUDA graph and replayed.

A tick launches some hundred small kernels; launched one by one from Python they take longer to
start than to run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Before a recording: cuBLAS and autograd set themselves up in the first calls.
WARM_UP_CALLS = 3


class CudaGraph:
    """Calls of a function with equal shapes replay its recording; others record it anew.

    The function must not branch on values, and must draw random numbers from `generator` only.
    Arguments and results are tensors, None, or tuples, dictionaries and records of them; results
    are the caller's own.
    """

    def __init__(self, function: Callable[..., Any], generator: torch.Generator) -> None:
        """generator: on the GPU; recorded draws go on from wherever it stands."""
        self._function = function
        self._generator = generator
        self._shapes: list[tuple[torch.Size, torch.dtype]] = []
        self._graph: Any = None
        self._arguments: tuple[Any, ...] = ()
        self._results: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns."""
        shapes = [(tensor.shape, tensor.dtype) for tensor in tensors(arguments)]
        if self._graph is None or shapes != self._shapes:
            self._record(arguments)
            self._shapes = shapes
        for static, given in zip(tensors(self._arguments), tensors(arguments)):
            static.copy_(given)
        self._graph.replay()
        return map_tensors(torch.clone, self._results)

    def _record(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = map_tensors(lambda tensor: tensor.detach().clone(), arguments)
        drawn = self._generator.get_state()
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                self._function(*self._arguments)
        torch.cuda.current_stream().wait_stream(stream)
        self._generator.set_state(drawn)
        graph: Any = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.cuda.graph(graph):
            self._results = self._function(*self._arguments)
        self._graph = graph


def map_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Apply a function to every tensor of a tuple, dictionary or record, however nested."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        values = [map_tensors(function, value) for value in tree]
        return type(tree)(*values) if hasattr(tree, '_fields') else tuple(values)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in dataclasses.fields(tree)]
        changes = {name: map_tensors(function, getattr(tree, name)) for name in names}
        return dataclasses.replace(tree, **changes)
    return tree


def tensors(tree: Any) -> list[Tensor]:
    """Return every tensor of a tree, in the order of `map_tensors`."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(keep, tree)
    return found
