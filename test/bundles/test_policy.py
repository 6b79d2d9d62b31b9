# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policies as bundles: what is written is what is read, and what is not one is said."""

import json

import pytest
import torch

from mbmrl_ros.bundles.files import bundle_names, check_interface, find_bundle, read_head
from mbmrl_ros.bundles.policy import (
    PolicyBundle,
    PolicyInfo,
    build_policy,
    load_policy,
    save_policy,
)
from mbmrl_ros.config import UserError
from mbmrl_ros.spec.robot import load_robot

NETWORKS = {
    'gaussian': {'hidden_sizes': (8, 4)},
    'gru': {'hidden_sizes': (8,), 'cell': 'gru'},
    'lstm': {'hidden_sizes': (8,), 'cell': 'lstm'},
}


def bundle_of(network):
    info = PolicyInfo(
        algorithm='promp',
        task='point/navigation',
        robot='',
        robot_hash='',
        interface={},
        training={'alpha': 0.1},
        metrics={'gain': 3.0},
        observation_size=5,
        action_size=2,
        action_scale=10.0,
        min_std=1e-3,
        iteration=7,
        **NETWORKS[network],
    )
    params = build_policy(info).init(torch.Generator().manual_seed(0))
    tensors = {f'params/{name}': value for name, value in params.items()}
    return PolicyBundle(info, tensors | {'step_sizes/bias0': torch.ones(8)})


@pytest.mark.parametrize('network', NETWORKS)
def test_what_is_written_is_what_is_read(network, tmp_path):
    bundle = bundle_of(network)
    save_policy(tmp_path, bundle)
    again = load_policy(tmp_path)
    ignored = {'weights_sha256': '', 'commit': ''}
    assert again.info.model_copy(update=ignored) == bundle.info.model_copy(update=ignored)
    assert again.tensors.keys() == bundle.tensors.keys()
    assert all(torch.equal(value, again.tensors[name]) for name, value in bundle.tensors.items())
    assert set(again.step_sizes) == {'bias0'}
    assert build_policy(again.info) == build_policy(bundle.info)


def test_a_model_of_the_dynamics_is_no_policy(tmp_path):
    save_policy(tmp_path, bundle_of('gaussian'))
    path = tmp_path / 'bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'kind': 'dynamics'}))
    with pytest.raises(UserError, match='is a bundle of kind dynamics'):
        load_policy(tmp_path)


def test_weights_of_another_network_are_one_line(tmp_path):
    save_policy(tmp_path, bundle_of('gaussian'))
    path = tmp_path / 'bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'hidden_sizes': [8, 6]}))
    with pytest.raises(UserError, match=r'damaged: by bundle.json bias1 is \(6,\)'):
        load_policy(tmp_path)
    (tmp_path / 'model.safetensors').write_bytes(b'nothing')
    with pytest.raises(UserError, match='is damaged: its checksum'):
        load_policy(tmp_path)


POLICIES = [name for name in bundle_names() if read_head(find_bundle(name)).kind == 'policy']


@pytest.mark.parametrize('name', POLICIES)
def test_every_shipped_policy_fits_its_robot_and_acts(name):
    bundle = load_policy(name)
    spec = load_robot(bundle.info.robot)
    check_interface(find_bundle(name), bundle.info, spec)
    seen = torch.zeros(3, len(spec.input_indices))
    drawn = build_policy(bundle.info).distribution(bundle.params, seen)
    assert drawn['mean'].shape == (3, spec.action_size) and drawn['mean'].isfinite().all()
