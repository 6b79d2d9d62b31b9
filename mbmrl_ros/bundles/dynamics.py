# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles of a model of the dynamics, ready to control: with its adaptation and its planner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from mbmrl_ros.bundles.actor import Actor, ActorInfo
from mbmrl_ros.bundles.files import (
    BundleHead,
    check_interface,
    damaged,
    find_bundle,
    misfit,
    parse_head,
    read_json,
    read_tensors,
    write_bundle,
)
from mbmrl_ros.config import UserError, Width
from mbmrl_ros.models.device import PlanningPrecision, Precision
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.kinds import (
    DynamicsModel,
    Network,
    build_model,
    int8_obstacle,
    network_of,
)
from mbmrl_ros.models.mean import MeanDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import Cell
from mbmrl_ros.networks.params import group
from mbmrl_ros.planners.kinds import PlannerConfig
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Params

# What bundles of before did not have, and what it means that it is not there.
LATER: dict[str, Any] = {'members': 1, 'uncertainty_penalty': 0.0, 'actor': None}


class BundleInfo(BundleHead):
    """bundle.json of a model, with how it adapts and what plans in it."""

    kind: Literal['dynamics'] = Field('dynamics', description='a model of the dynamics')
    hidden_sizes: tuple[Width, ...] = Field(description='units of each hidden layer')
    past_steps: int = Field(ge=1, description='M, transitions that it adapts to')
    future_steps: int = Field(
        ge=1, description='F, transitions that it was trained to predict then'
    )
    inner_steps: int = Field(
        1, ge=0, description='gradient steps on the past window, where it takes any'
    )
    accept_improvement: float = Field(
        0.0, description="share of the window's loss that adapting has to take away, or it is "
        'refused',
    )  # fmt: skip
    keep_improvement: float | None = Field(
        None, description='share that is enough while the last window was adapted to; nothing: '
        'accept_improvement',
    )  # fmt: skip
    input_limit: float | None = Field(
        None, description='standard deviations beyond which an input counts no further; nothing: '
        'no limit',
    )  # fmt: skip
    cell: Cell | None = Field(
        None, description='of a recurrent network (ReBAL); nothing: a feed-forward one'
    )
    memory: Literal['window', 'episode'] = Field(
        'window', description='what a recurrent network remembers: the past window, or all since '
        'the episode began',
    )  # fmt: skip
    precision: Precision = Field(description='of imagined rollouts; adapting is in float32')
    planner: PlannerConfig = Field(description='that drives the robot, with its settings')
    members: int = Field(
        1,
        ge=1,
        description='E networks of these sizes; of more than one, tensors have a leading E',
    )
    uncertainty_penalty: float = Field(
        0.0, ge=0, description='what a plan loses per step and standard deviation by which '
        'members differ',
    )  # fmt: skip
    actor: ActorInfo | None = Field(
        None, description='a policy that proposes to the planner, and its critics; nothing: none'
    )

    @model_serializer(mode='wrap')
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write as before what is one model alone."""
        data: dict[str, Any] = write(self)
        return {k: v for k, v in data.items() if k not in LATER or v != LATER[k]}


@dataclass(frozen=True)
class Bundle:
    """A model that is ready to control. step_sizes: of gradient steps; empty where none are.

    actor: of `info.actor`, where there is one.
    """

    info: BundleInfo
    dynamics: DynamicsModel
    params: Params
    step_sizes: Params
    actor: Actor | None = None


def save_bundle(folder: Path, bundle: Bundle) -> None:
    """Write a bundle; bundle.json comes last, so that half a bundle is none."""
    tensors = {f'params/{name}': value for name, value in bundle.params.items()}
    tensors |= {f'step_sizes/{name}': value for name, value in bundle.step_sizes.items()}
    statistics = vars(network_of(bundle.dynamics).normalizer)
    tensors |= {f'normalizer/{name}': value for name, value in statistics.items()}
    tensors |= bundle.actor.tensors if bundle.actor else {}
    write_bundle(folder, bundle.info, tensors)


def load_bundle(name_or_path: str | Path, spec: RobotSpec) -> Bundle:
    """Load a bundle by path or by the name of a shipped one.

    UserError if it is missing, damaged, or made for another robot: it names the field.
    """
    folder = find_bundle(name_or_path)
    info = read_info(folder)
    check_interface(folder, info, spec)
    tensors = read_tensors(folder, info)
    normalizer = Normalizer(**group(tensors, 'normalizer'))
    network = build_model(
        spec, info.hidden_sizes, info.cell, normalizer, info.precision, info.input_limit
    )
    params = group(tensors, 'params')
    _check_weights(folder, info, network, params)
    dynamics: DynamicsModel = network
    if info.members > 1:
        if not isinstance(network, MLPDynamics):
            raise damaged(folder / 'bundle.json', 'members of an ensemble remember nothing')
        dynamics = MeanDynamics(network, info.uncertainty_penalty)
    actor = _actor(folder, info.actor, spec, tensors) if info.actor else None
    return Bundle(info, dynamics, params, group(tensors, 'step_sizes'), actor)


def with_actor(bundle: Bundle, actor: Actor) -> Bundle:
    """Return a bundle whose planner is proposed to by a policy, and told what comes later."""
    info = bundle.info.model_copy(update={'actor': actor.info})
    return replace(bundle, info=info, actor=actor)


def _actor(folder: Path, info: ActorInfo, spec: RobotSpec, tensors: Params) -> Actor:
    observed = range(spec.state_size) if info.whole_state else spec.input_indices
    own = {k: v for k, v in tensors.items() if k.startswith(('actor/', 'critic/'))}
    actor = Actor(info, torch.tensor(observed), spec.action_size, own)
    return actor.check(f'bundle {folder}')


def read_info(folder: Path) -> BundleInfo:
    """Read bundle.json; UserError if it is missing, damaged, or of another format or kind."""
    return parse_head(BundleInfo, folder, read_json(folder))


def on_device(
    bundle: Bundle, device: torch.device, precision: PlanningPrecision | None = None
) -> Bundle:
    """Return the bundle with its tensors on a device, planning in a precision (None: its own).

    UserError where int8 cannot be computed (bundles/precision.py falls back).
    """
    obstacle = int8_obstacle(bundle.dynamics, device) if precision == 'int8' else ''
    if obstacle:
        raise UserError(f'precision int8 is not possible, {obstacle}; take float32')
    known = network_of(bundle.dynamics)
    statistics = {k: v.to(device) for k, v in vars(known.normalizer).items()}
    network = replace(
        known, normalizer=Normalizer(**statistics), precision=precision or known.precision
    )
    dynamics: DynamicsModel = network
    if isinstance(bundle.dynamics, MeanDynamics) and isinstance(network, MLPDynamics):
        dynamics = replace(bundle.dynamics, member=network)
    params, step_sizes = (
        {name: value.to(device) for name, value in group.items()}
        for group in (bundle.params, bundle.step_sizes)
    )
    actor = bundle.actor.to(device) if bundle.actor else None
    return Bundle(bundle.info, dynamics, params, step_sizes, actor)


def _check_weights(folder: Path, info: BundleInfo, network: Network, params: Params) -> None:
    """UserError where bundle.json tells of another network than the one that is there."""
    # Scale and shift of the inputs are there where the training asked for them.
    drawn, theirs = (
        {name: value for name, value in each.items() if name not in ('scale', 'shift')}
        for each in (network.init(torch.Generator()), params)
    )
    if info.members > 1:
        drawn = {name: value.expand(info.members, *value.shape) for name, value in drawn.items()}
    wrong = misfit(drawn, theirs)
    if wrong is not None:
        kind = f'{info.cell or "feed-forward"} network of hidden_sizes {list(info.hidden_sizes)}'
        kind = kind if info.members == 1 else f'ensemble of {info.members} of a {kind}'
        raise UserError(
            f'bundle {folder} is damaged: bundle.json tells of a {kind}, with {wrong.name} '
            f'{wrong.wanted}; in model.safetensors it is {wrong.found}'
        )
