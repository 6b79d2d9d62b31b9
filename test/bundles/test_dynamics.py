# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles: what was saved comes back; what is damaged or made for another robot is refused."""

import dataclasses
import errno
import json
import math
import os
from pathlib import Path

import pytest
import torch

from mbmrl_ros.bundles import files
from mbmrl_ros.bundles.dynamics import Bundle, BundleInfo, load_bundle, read_info, save_bundle
from mbmrl_ros.bundles.files import bundle_names, find_bundle, read_head
from mbmrl_ros.config import UserError
from mbmrl_ros.models.dynamics import build_dynamics
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.planners.kinds import CONFIGS
from mbmrl_ros.planners.mppi import MPPIConfig, of_before
from mbmrl_ros.spec.robot import RobotSpec, load_robot

MODELS = [name for name in bundle_names() if read_head(find_bundle(name)).kind == 'dynamics']
SPEC = load_robot('half_cheetah')


def respecified(**changes: object) -> RobotSpec:
    """Return the cheetah with some fields changed."""
    return RobotSpec.model_validate(SPEC.model_dump() | changes)


def make_bundle(spec: RobotSpec = SPEC, **changes: object) -> Bundle:
    generator = torch.Generator().manual_seed(0)
    size = spec.state_size
    normalizer = Normalizer(
        torch.randn(size, generator=generator),
        torch.rand(size, generator=generator) + 0.5,
        torch.randn(size, generator=generator),
        torch.rand(size, generator=generator) + 0.5,
    )
    dynamics = build_dynamics(spec, (8, 8), normalizer, 'bfloat16')
    params = dynamics.init(generator)
    info = BundleInfo(
        algorithm='grbal',
        task='half_cheetah/disabled_joint',
        robot=spec.name,
        robot_hash=spec.hash,
        interface=json.loads(json.dumps(spec.interface)),
        hidden_sizes=(8, 8),
        past_steps=16,
        future_steps=12,
        inner_steps=2,
        precision='bfloat16',
        planner=MPPIConfig(candidates=77, horizon=9),
        training={'iterations': 3},
        metrics={'held_out_loss': 0.25},
    ).model_copy(update=changes)
    step_sizes = {name: torch.tensor(0.01 * (i + 1)) for i, name in enumerate(params)}
    return Bundle(info, dynamics, params, step_sizes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a bundle that was saved."""
    save_bundle(tmp_path / 'bundle', make_bundle())
    return tmp_path / 'bundle'


def refusal(folder: Path | str, spec: RobotSpec = SPEC) -> str:
    with pytest.raises(UserError) as caught:
        load_bundle(folder, spec)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_everything_comes_back_as_it_was_saved(folder):
    saved, loaded = make_bundle(), load_bundle(folder, SPEC)
    for group in ('params', 'step_sizes'):
        before, after = getattr(saved, group), getattr(loaded, group)
        assert set(after) == set(before)
        assert all(torch.equal(after[name], before[name]) for name in before)
    for name, value in vars(saved.dynamics.normalizer).items():
        assert torch.equal(getattr(loaded.dynamics.normalizer, name), value)
    stamps = {'weights_sha256', 'commit'}
    assert loaded.info.model_dump(exclude=stamps) == saved.info.model_dump(exclude=stamps)
    assert len(loaded.info.weights_sha256) == 64
    state = torch.randn(1, 5, SPEC.state_size, generator=torch.Generator().manual_seed(1))
    action = torch.zeros(1, 5, SPEC.action_size)
    _, before = saved.dynamics.planning_step(saved.params)(None, state, action)
    _, after = loaded.dynamics.planning_step(loaded.params)(None, state, action)
    assert torch.equal(before, after)


def test_a_bundle_is_json_and_safetensors_and_nothing_else(folder):
    assert {path.name for path in folder.iterdir()} == {'bundle.json', 'model.safetensors'}
    json.loads((folder / 'bundle.json').read_text())
    content = (folder / 'model.safetensors').read_bytes()
    size = int.from_bytes(content[:8], 'little')
    header = json.loads(content[8 : 8 + size])
    header.pop('__metadata__', None)
    # A JSON header of types, shapes and offsets, then bytes: all of them accounted for.
    assert {entry['dtype'] for entry in header.values()} == {'F32'}
    assert 8 + size + max(entry['data_offsets'][1] for entry in header.values()) == len(content)


def test_saving_again_replaces_the_old_bundle_whole(folder):
    other = make_bundle()
    other.params['bias0'] += 1.0
    save_bundle(folder, other)
    assert torch.equal(load_bundle(folder, SPEC).params['bias0'], other.params['bias0'])
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize('place', ['header', 'middle', 'end'])
def test_one_flipped_bit_in_the_weights_is_noticed(folder, place):
    path = folder / 'model.safetensors'
    content = bytearray(path.read_bytes())
    content[{'header': 9, 'middle': len(content) // 2, 'end': -1}[place]] ^= 1
    path.write_bytes(content)
    text = refusal(folder)
    assert 'is damaged' in text
    assert str(path) in text


@pytest.mark.parametrize('name', ['bundle.json', 'model.safetensors'])
def test_a_pointer_of_git_lfs_is_called_one(folder, name):
    (folder / name).write_text('version https://git-lfs.github.com/spec/v1\noid sha256:1\n')
    assert 'git lfs pull' in refusal(folder)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'format': 3}, 'is of format 3, and this version reads 1 to 2'),
        ({'past_steps': -1}, 'past_steps: '),
        ({'foo': 1}, "unknown key 'foo'"),
    ],
)
def test_a_description_of_another_version_says_what_differs(folder, changes, said):
    path = folder / 'bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert said in refusal(folder) and 'https:' not in refusal(folder)


def test_missing_and_cut_weights_are_refused(folder):
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    assert 'is damaged' in refusal(folder)
    path.unlink()
    assert 'cannot be read' in refusal(folder)


@pytest.mark.parametrize(
    'content', [b'', b'{"format": 1', b'[]', b'null', b'\xff\xfe', b'{"format": 1}']
)
def test_a_damaged_description_is_refused_by_its_name(folder, content):
    (folder / 'bundle.json').write_bytes(content)
    text = refusal(folder)
    assert str(folder / 'bundle.json') in text
    assert 'damaged or of another format' in text


@pytest.mark.parametrize(
    ('key', 'value'), [('format', 3), ('precision', 'float8'), ('past_steps', 'x'), ('new', 1)]
)
def test_a_description_of_another_format_is_refused_with_the_key(folder, key, value):
    path = folder / 'bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert key in refusal(folder)


@pytest.mark.parametrize('state', [None, 5, [3], [{'name': 'x'}], 'x'])
def test_a_description_with_a_senseless_channel_list_is_refused(folder, state):
    path = folder / 'bundle.json'
    description = json.loads(path.read_text())
    description['interface']['state'] = state
    description['robot_hash'] = 'other'
    path.write_text(json.dumps(description))
    assert 'its state is' in refusal(folder)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'name': 'half_cheetah_2'}, 'its robot is half_cheetah, the robot file says half_chee'),
        ({'period_s': 0.02}, 'its period_s is 0.01, the robot file says 0.02'),
        ({'state': SPEC.state[:-1]}, 'its state is .*ffoot_rate.*, the robot file says .*x'),
        ({'state': (SPEC.state[1], SPEC.state[0], *SPEC.state[2:])}, r"its state is \['x', 'z',"),
    ],
)
def test_a_bundle_of_another_robot_or_older_channel_list_is_refused_by_field(
    folder, changes, said
):
    with pytest.raises(UserError, match=f'does not fit robot .*: {said}'):
        load_bundle(folder, respecified(**changes))


def test_a_bundle_with_other_action_limits_is_refused_by_field(folder):
    upper = (100.0, *SPEC.action.upper[1:])
    changed = respecified(action=SPEC.action.model_dump() | {'upper': upper})
    assert 'its upper is [120.0, ' in refusal(folder, changed)


def test_channels_of_equal_names_that_differ_otherwise_are_refused_in_words(folder):
    changed = SPEC.state[4].model_copy(update={'unit': 'deg'})
    state = (*SPEC.state[:4], changed, *SPEC.state[5:])
    text = refusal(folder, respecified(state=state))
    assert 'the same names, but other topics, fields, encodings or units' in text


def test_what_a_model_does_not_depend_on_may_change(folder):
    assert load_bundle(folder, respecified(description='faster')).params.keys()


def test_a_bundle_is_found_by_the_name_it_is_shipped_under(tmp_path, monkeypatch):
    shipped = tmp_path / 'bundles' / 'half_cheetah' / 'disabled_joint' / 'grbal'
    save_bundle(shipped, make_bundle())
    monkeypatch.setattr(files, 'share_directory', lambda: tmp_path)
    name = 'half_cheetah/disabled_joint/grbal'
    assert bundle_names() == [name]
    assert find_bundle(name) == shipped
    text = refusal('half_cheetah/disabled_joint/grbl')
    assert f'did you mean {name!r}? valid: {name}' in text
    assert 'a folder with bundle.json' in text


@pytest.mark.parametrize('kind', ['random_shooting', 'cem'])
def test_a_bundle_remembers_the_kind_of_its_planner(tmp_path, kind):
    planner = CONFIGS[kind](candidates=33, horizon=4)
    save_bundle(tmp_path, make_bundle(planner=planner))
    assert load_bundle(tmp_path, SPEC).info.planner == planner


def test_a_bundle_from_before_there_were_kinds_plans_by_mppi(folder):
    path = folder / 'bundle.json'
    data = json.loads(path.read_text())
    data['planner'] = {'candidates': 12, 'horizon': 6, 'noise': 0.5}
    path.write_text(json.dumps(data))
    planner = load_bundle(folder, SPEC).info.planner
    assert planner == MPPIConfig(**of_before({'candidates': 12, 'horizon': 6, 'noise': 0.5}))


@pytest.mark.parametrize('name', MODELS)
def test_shipped_bundles_plan_with_the_numbers_and_the_noise_that_they_were_made_with(name):
    written = json.loads((find_bundle(name) / 'bundle.json').read_text())['planner']
    planner = read_info(find_bundle(name)).planner
    # CEM's by the names of before.
    former = {'inertia': 'alpha', 'minimum_noise': 'min_std'}
    assert planner.model_dump() == {former.get(k, k): value for k, value in written.items()}
    if planner.kind == 'mppi':
        assert planner.noise == 0.7 and planner.noise_of == 'filter'


def test_a_bundle_of_format_1_is_read_by_the_names_of_now(folder):
    path = folder / 'bundle.json'
    data = json.loads(path.read_text())
    assert (data.pop('format'), data.pop('kind')) == (2, 'dynamics')
    for name in ('accept_improvement', 'keep_improvement'):
        del data[name]
    former = {'format': 1, 'minimum_gain': 0.25, 'gain_to_keep': 0.125, 'newest_steps': 0}
    metrics = {'held_out_loss': 0.5}
    path.write_text(json.dumps(data | former | {'metrics': metrics}))
    info = load_bundle(folder, SPEC).info
    assert (info.accept_improvement, info.keep_improvement) == (0.25, 0.125)
    assert info.metrics == {'validation_loss': 0.5}


def test_a_policy_is_no_model_of_the_dynamics(folder):
    path = folder / 'bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'kind': 'policy'}))
    assert 'is a bundle of kind policy; here one of kind dynamics is needed' in refusal(folder)


def test_losses_that_were_not_finite_are_kept(tmp_path):
    metrics = {'loss': math.nan, 'worst': math.inf, 'best': 0.5}
    save_bundle(tmp_path, make_bundle(metrics=metrics))
    read = read_info(tmp_path).metrics
    assert math.isnan(read['loss'])
    assert (read['worst'], read['best']) == (math.inf, 0.5)


def full_disk(*arguments: object, **keywords: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_half(tensors: dict[str, torch.Tensor], path: Path) -> None:
    path.write_bytes(b'half a file')
    full_disk()


def write_half_a_text(path: Path, text: str) -> None:
    path.write_bytes(text[: len(text) // 2].encode())
    full_disk()


@pytest.mark.parametrize('moment', ['weights', 'description', 'rename'])
def test_a_full_disk_is_said_in_one_line_and_leaves_no_half_a_file(folder, monkeypatch, moment):
    newer = make_bundle()
    newer.params['bias0'] += 1.0
    if moment == 'weights':
        monkeypatch.setattr('safetensors.torch.save_file', write_half)
    elif moment == 'description':
        monkeypatch.setattr(Path, 'write_text', write_half_a_text)
    else:
        monkeypatch.setattr('os.replace', full_disk)
    for target in (folder, folder.parent / 'new'):
        with pytest.raises(UserError, match='No space left on device; free some space'):
            save_bundle(target, newer)
        assert not list(target.glob('*.partial'))
    monkeypatch.undo()
    assert torch.equal(load_bundle(folder, SPEC).params['bias0'], make_bundle().params['bias0'])
    assert 'no bundle' in refusal(folder.parent / 'new'), 'half a bundle is none'


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot write the bundle'):
        save_bundle(tmp_path / 'file' / 'bundle', make_bundle())


def _view(value: torch.Tensor) -> torch.Tensor:
    """Return the same numbers, laid out by columns."""
    return value.t().contiguous().t()


def test_tensors_that_need_a_gradient_or_are_views_can_be_saved(tmp_path):
    bundle = make_bundle()
    params = {name: _view(value).requires_grad_() for name, value in bundle.params.items()}
    save_bundle(tmp_path, dataclasses.replace(bundle, params=params))
    loaded = load_bundle(tmp_path, SPEC).params
    assert all(torch.equal(loaded[name], params[name]) for name in params)
    assert not any(value.requires_grad for value in loaded.values())


def recurrent_bundle(cell: str) -> Bundle:
    plain = make_bundle(algorithm='rebal', cell=cell, memory='episode')
    dynamics = build_model(SPEC, (8, 8), cell, plain.dynamics.normalizer, 'bfloat16', 4.0)
    params = dynamics.init(torch.Generator().manual_seed(0))
    info = plain.info.model_copy(update={'input_limit': 4.0})
    return Bundle(info, dynamics, params, {})


@pytest.mark.parametrize('cell', ['lstm', 'gru'])
def test_a_recurrent_model_comes_back_as_it_was_saved(tmp_path, cell):
    saved = recurrent_bundle(cell)
    save_bundle(tmp_path, saved)
    loaded = load_bundle(tmp_path, SPEC)
    assert loaded.info.cell == loaded.dynamics.cell == cell and loaded.info.memory == 'episode'
    assert loaded.params.keys() == saved.params.keys() and loaded.step_sizes == {}
    assert all(torch.equal(loaded.params[name], value) for name, value in saved.params.items())
    generator = torch.Generator().manual_seed(1)
    state = torch.randn(1, 5, SPEC.state_size, generator=generator)
    carry = torch.randn(1, 1, saved.dynamics.empty(1).shape[-1], generator=generator)
    action = torch.zeros(1, 5, SPEC.action_size)
    before, after = (
        each.dynamics.planning_step(each.params)(carry, state, action)[1]
        for each in (saved, loaded)
    )
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'cell': 'gru'}, 'gru network of hidden_sizes [8, 8], with bias_hidden0 (8,)'),
        ({'cell': None}, 'feed-forward network of hidden_sizes [8, 8], with bias0 (8,)'),
        ({'hidden_sizes': [8]}, 'lstm network of hidden_sizes [8], with bias_input1 missing'),
        ({'hidden_sizes': [8, 9]}, 'hidden_sizes [8, 9], with bias_input1 (36,); in'),
    ],
)
def test_a_description_of_another_network_is_refused(tmp_path, changes, said):
    save_bundle(tmp_path, recurrent_bundle('lstm'))
    path = tmp_path / 'bundle.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert said in refusal(tmp_path)


@pytest.mark.parametrize('name', MODELS)
def test_every_shipped_bundle_fits_its_robot_and_predicts(name):
    info = read_info(find_bundle(name))
    spec = load_robot(info.robot)
    bundle = load_bundle(name, spec)
    assert name.startswith(info.task)
    written = json.loads((find_bundle(name) / 'bundle.json').read_text())
    # MB learns no steps; bundles of the first format have some all the same.
    stepless = info.cell or (info.algorithm == 'mb' and written.get('format', 1) == 2)
    sized = set() if stepless else set(bundle.params)
    if info.training.get('adapts') == 'inputs':
        sized &= {'scale', 'shift'}
    assert set(bundle.step_sizes) == sized
    state = bundle.dynamics.normalizer.state_mean.expand(1, 4, -1)
    step = bundle.dynamics.planning_step(bundle.params)
    _, following = step(None, state, torch.zeros(1, 4, spec.action_size))
    change = (following - state - bundle.dynamics.normalizer.delta_mean).abs()
    # From its mean state a robot changes by a few of its usual changes.
    assert (change <= 5 * bundle.dynamics.normalizer.delta_std).all()
