# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl combine`: bundles that belong together, as one."""

from __future__ import annotations

import argparse
from pathlib import Path

from mbmrl_ros.bundles.combine import make_ensemble
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, read_info, save_bundle
from mbmrl_ros.bundles.files import find_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.spec.robot import load_robot


def combine_command(options: argparse.Namespace) -> None:
    """Make an ensemble of models; write it as a bundle."""
    folders = [model_folder(name) for name in options.models]
    if options.out.resolve() in [folder.resolve() for folder in folders]:
        raise UserError(f'--out {options.out} is one of the models; choose another folder')
    if options.uncertainty_penalty and len(folders) == 1:
        raise UserError('--uncertainty-penalty needs several models, which can disagree')
    spec = load_robot(options.robot or read_info(folders[0]).robot)
    bundles = {str(folder): load_bundle(folder, spec) for folder in folders}
    if len(bundles) < len(folders):
        raise UserError('a model is named twice: members of an ensemble have to differ')
    bundle = _together(bundles, options.uncertainty_penalty)
    save_bundle(options.out, bundle)
    print(f'bundle: {options.out}, {describe(bundle)}')


def _together(bundles: dict[str, Bundle], uncertainty_penalty: float) -> Bundle:
    if len(bundles) == 1:
        return next(iter(bundles.values()))
    return make_ensemble(bundles, uncertainty_penalty)


def describe(bundle: Bundle) -> str:
    """Return what a bundle is made of."""
    info = bundle.info
    models = f'{info.members} models of' if info.members > 1 else 'a model of'
    return f'{models} {info.algorithm} for {info.task}'


def model_folder(name: str) -> Path:
    """Return the folder of a bundle, or of that in a run folder; UserError if there is none."""
    inside = Path(name) / 'bundle'
    return find_bundle(inside if (inside / 'bundle.json').exists() else name)
