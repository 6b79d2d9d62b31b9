# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Linear baselines, fitted to every task's own paths at once (Duan et al. 2016, rllab).

features    observations, their squares, three powers of time, and 1; or of time alone
fit         ridge regression of the returns, on the batch that it then predicts
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

BaselineKind = Literal['linear', 'time']
CLIP, RIDGE, TRIES = 10.0, 1e-5, 5


def features(observations: Tensor, kind: BaselineKind = 'linear') -> Tensor:
    """Return features [..., T, D] in float64 for observations [..., T, S] at steps 0 to T - 1."""
    steps = observations.shape[-2]
    # The normal equations square the condition number: too much for float32.
    time = torch.arange(steps, dtype=torch.float64, device=observations.device) / 100.0
    clock = torch.stack([time, time.square(), time**3, torch.ones_like(time)], -1)
    size = 0 if kind == 'time' else observations.shape[-1]
    rows = clock.new_empty(*observations.shape[:-1], 2 * size + 4)
    rows[..., 2 * size :] = clock
    if size:
        rows[..., :size] = observations.clamp(-CLIP, CLIP)
        torch.square(rows[..., :size], out=rows[..., size : 2 * size])
    return rows


def fit(rows: Tensor, targets: Tensor, alive: Tensor) -> Tensor:
    """Return the weights [N, D] of a ridge regression per task.

    rows: features [N, R, T, D]; targets, alive: [N, R, T]. The ridge is 1e-5, and ten times that
    for all tasks where one of them cannot be solved, at most five times.
    """
    # A row of zeros adds nothing; most often there is none to leave out.
    counted = rows if bool(alive.all()) else rows * alive[..., None]
    counted = counted.flatten(1, 2)
    gram = counted.mT @ counted
    moments = (counted.mT @ targets.double().flatten(1, 2)[..., None])[..., 0]
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    for attempt in range(TRIES):
        factor, info = torch.linalg.cholesky_ex(gram + RIDGE * 10**attempt * eye)
        if not bool(info.any()):
            break
    return torch.cholesky_solve(moments[..., None], factor)[..., 0]


def predict(rows: Tensor, weights: Tensor) -> Tensor:
    """Return values [N, R, T] in float32 from features [N, R, T, D] and weights [N, D]."""
    values: Tensor = (rows.flatten(1, 2) @ weights[..., None]).view(rows.shape[:-1])
    return values.float()
