# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration: what is wrong is said in one line, with the closest valid name."""

import math
import sys
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from mbmrl_ros import config
from mbmrl_ros.config import (
    Config,
    UserError,
    closest,
    override,
    parse,
    read_extended,
    read_yaml,
)


class Wheel(Config):
    radius_m: float = Field(0.1, gt=0)
    material: str = 'rubber'


class Cart(Config):
    wheels: int = Field(4, ge=1)
    front: Wheel = Wheel()
    spare: Wheel | None = None
    by_name: dict[str, Wheel] = Field(default={})
    length_m: float


def message_of(data: object) -> str:
    with pytest.raises(UserError) as caught:
        parse(Cart, data, 'cart.yaml')
    text = str(caught.value)
    assert text.startswith('cart.yaml: ')
    assert '\n' not in text
    return text


def test_a_valid_mapping_becomes_an_immutable_record():
    cart = parse(Cart, {'length_m': 2, 'front': {'radius_m': 0.2}}, 'cart.yaml')
    assert (cart.wheels, cart.front.radius_m, cart.length_m) == (4, 0.2, 2.0)
    with pytest.raises(ValidationError):
        cart.wheels = 3


@pytest.mark.parametrize(
    ('data', 'parts'),
    [
        ({'length_m': 1, 'weels': 4}, ["unknown key 'weels'", "did you mean 'wheels'?"]),
        (
            {'length_m': 1, 'front': {'radius': 1}},
            [
                "unknown key 'front.radius'",
                "did you mean 'radius_m'?",
                'valid: material, radius_m',
            ],
        ),
        ({'length_m': 1, 'spare': {'radios_m': 1}}, ["did you mean 'radius_m'?"]),
        ({'length_m': 1, 'by_name': {'left': {'materail': 1}}}, ["did you mean 'material'?"]),
        ({}, ["missing key 'length_m'"]),
        ({'length_m': 1, 'wheels': 0}, ['wheels: ', 'greater than or equal to 1', 'got 0']),
        ({'length_m': 'long'}, ['length_m: ', 'valid number', "got 'long'"]),
        ({'length_m': 1, 'front': {'radius_m': -1.5}}, ['front.radius_m: ', 'got -1.5']),
        ({'length_m': math.nan}, ['length_m: ', 'finite', 'got nan']),
        ({'length_m': math.inf}, ['length_m: ', 'finite', 'got inf']),
        ({'length_m': 'two\nlines'}, ['length_m: ']),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_line_that_says_what_is_valid(data, parts):
    text = message_of(data)
    for part in parts:
        assert part in text


def test_the_closest_name_comes_first_and_all_names_follow():
    assert closest('torqe', ['torque', 'angle']) == "did you mean 'torque'? valid: angle, torque"
    assert closest('zzz', {'torque', 'angle'}) == 'valid: angle, torque'


def test_assignments_reach_groups_and_leave_the_original_alone():
    data = {'a': 1, 'group': {'b': 2, 'c': 3}}
    changed = override(data, ['a=2.5', 'group.b=[1, 2]', 'other.deep.key=yes', 'text='])
    assert changed == {
        'a': 2.5,
        'group': {'b': [1, 2], 'c': 3},
        'other': {'deep': {'key': True}},
        'text': None,
    }
    assert data == {'a': 1, 'group': {'b': 2, 'c': 3}}


def test_a_value_may_hold_an_equals_sign():
    assert override({}, ['key=a=b']) == {'key': 'a=b'}


@pytest.mark.parametrize('assignment', ['key', '=3', 'key=[1', 'key={a: b: c}', 'key="open'])
def test_a_malformed_assignment_is_refused_by_name(assignment):
    with pytest.raises(UserError, match='--set') as caught:
        override({}, [assignment])
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'key: [1, 2', 'not valid YAML'),
        (b'\xff\xfe\x00bad', 'not valid YAML'),
        (b'- a\n- b\n', 'must hold a mapping'),
        (b'', 'must hold a mapping'),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(tmp_path, content, said):
    path = tmp_path / 'robot.yaml'
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_missing_file_is_named_with_the_reason(tmp_path):
    with pytest.raises(UserError, match='No such file') as caught:
        read_yaml(tmp_path / 'none.yaml')
    assert 'none.yaml' in str(caught.value)


def test_a_checkout_is_preferred_and_then_the_prefixes_in_order(tmp_path, monkeypatch):
    assert (config.share_directory() / 'config' / 'robots' / 'half_cheetah.yaml').is_file()
    module = tmp_path / 'own' / 'lib' / 'python3' / 'site-packages' / 'mbmrl_ros' / 'config.py'
    monkeypatch.setattr(config, '__file__', str(module))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / 'python'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{tmp_path / "first"}:{tmp_path / "second"}')
    for prefix in ('python', 'second', 'own'):
        share = tmp_path / prefix / 'share' / 'mbmrl_ros'
        (share / 'config' / 'robots').mkdir(parents=True)
        assert config.share_directory() == share


def test_an_incomplete_installation_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setattr(config, '__file__', str(Path(tmp_path) / 'mbmrl_ros' / 'config.py'))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / 'python'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', '')
    with pytest.raises(UserError, match='install again') as caught:
        config.share_directory()
    assert str(tmp_path / 'python' / 'share' / 'mbmrl_ros') in str(caught.value)


def test_a_file_can_extend_another_one_key_by_key(tmp_path):
    (tmp_path / 'a.yaml').write_text('one: 1\ngroup: {x: 1, y: {z: 2}}\nlist: [1, 2]\n')
    (tmp_path / 'b.yaml').write_text('extends: a.yaml\ngroup: {y: {z: 3}}\nlist: [4]\n')
    (tmp_path / 'c.yaml').write_text('extends: b.yaml\none: 5\n')
    assert read_extended(tmp_path / 'c.yaml') == {
        'one': 5,
        'group': {'x': 1, 'y': {'z': 3}},
        'list': [4],
    }
    (tmp_path / 'd.yaml').write_text('extends: none.yaml\n')
    with pytest.raises(UserError, match=r'cannot read .*none\.yaml'):
        read_extended(tmp_path / 'd.yaml')


def test_a_group_of_another_kind_takes_nothing_over(tmp_path):
    (tmp_path / 'a.yaml').write_text('planner: {kind: cem, iterations: 8, horizon: 7}\n')
    (tmp_path / 'same.yaml').write_text('extends: a.yaml\nplanner: {kind: cem, horizon: 9}\n')
    (tmp_path / 'other.yaml').write_text('extends: a.yaml\nplanner: {kind: mppi, horizon: 9}\n')
    same, other = (read_extended(tmp_path / f'{name}.yaml') for name in ('same', 'other'))
    assert same == {'planner': {'kind': 'cem', 'iterations': 8, 'horizon': 9}}
    assert other == {'planner': {'kind': 'mppi', 'horizon': 9}}
