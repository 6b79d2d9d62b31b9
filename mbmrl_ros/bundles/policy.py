# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policies as bundles: what they are in JSON, their parameters beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save_file

from mbmrl_ros.config import UserError
from mbmrl_ros.system.outputs import as_json, reason, replacing
from mbmrl_ros.types import Params


@dataclass(frozen=True)
class PolicyBundle:
    """A policy: info says what builds it; tensors: params/NAME, step_sizes/NAME."""

    info: dict[str, Any]
    tensors: Params


def save_policy(folder: Path, bundle: PolicyBundle) -> None:
    """Write a policy; its description comes last, so that half a bundle is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'cannot write the bundle {folder}: {reason(error)}') from error
    with (
        replacing(folder / 'bundle.json') as description,
        replacing(folder / 'model.safetensors') as weights,
    ):
        save_file({k: v.contiguous() for k, v in bundle.tensors.items()}, weights)
        description.write_text(as_json(bundle.info))


def load_policy(folder: Path) -> PolicyBundle:
    """Read what `save_policy` wrote."""
    info = json.loads((folder / 'bundle.json').read_text())
    return PolicyBundle(info, load((folder / 'model.safetensors').read_bytes()))
