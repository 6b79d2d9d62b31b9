# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration: what is wrong is said in one line, with the closest valid name."""

import math
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import Field, ValidationError, model_validator

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
        ({'length_m': True}, ['length_m: needs numbers', 'got True']),
        ({'lenght_m': 1}, ["unknown key 'lenght_m'; did you mean 'length_m'?"]),
        ({'length_m': 'long'}, ['length_m: ', 'valid number', "got 'long'"]),
        ({'length_m': 1, 'front': {'radius_m': -1.5}}, ['front.radius_m: ', 'got -1.5']),
        ({'length_m': math.nan}, ['length_m: ', 'finite', 'got nan']),
        ({'length_m': math.inf}, ['length_m: ', 'finite', 'got inf']),
        ({'length_m': 'two\nlines'}, ['length_m: ']),
        ({'length_m': 1, 'front': {'material': True}}, ['front.material: ', "as in 'on'"]),
        ({'length_m': 1, 'by_name': {False: {}}}, ['YAML takes off, no and false for values']),
        ({'length_m': 1, True: 1}, ['got True: YAML takes on, yes and true for values']),
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


@pytest.mark.parametrize(
    'assignment',
    [
        'key',
        '=3',
        'key=[1',
        'key={a: b: c}',
        'key="open',
        'key={a: 1, a: 2}',
        'key=2024-13-01',
        'key=&a [*a]',
        'key=' + '[' * 3000,
    ],
)
def test_a_malformed_assignment_is_refused_by_name(assignment):
    with pytest.raises(UserError, match='--set') as caught:
        override({}, [assignment])
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'key: [1, 2', 'not valid YAML'),
        (b'\xff\xfe\x00bad', 'not valid YAML'),
        (b'- a\n- b\n', 'holds a list; it must hold a mapping'),
        (b'', 'is empty; it must hold a mapping'),
        (b'hopper\n', "holds only 'hopper'; it must hold a mapping"),
        (b'a: 1\nb: {c: 1, c: 2}\n', "line 2: key 'c' stands twice, first in line 2"),
        (b'a: 1\n\na: 1\n', "line 3: key 'a' stands twice, first in line 1"),
        (b'a:\n\tb: 1\n', 'line 2, column 1: .*not by tabs'),
        ('a: 1\nb: 10°\n'.encode('latin-1'), 'line 2: byte 0xb0 is not UTF-8'),
        ('a: 10°\n'.encode('utf-16'), 'it is UTF-16; save it as UTF-8'),
        (b'a: &a [*a]\n', 'line 1: an alias .* stands inside'),
        (b'a: ' + b'[' * 3000, 'nested deeper than 50'),
        (b'a: ' + b'[' * 60 + b']' * 60, 'nested deeper than 50'),
        (b'a: 2024-13-01\n', 'line 1: timestamp cannot be read: month'),
        (b'a: ' + b'9' * 5000, 'line 1: int cannot be read'),
        (b'a: 1\nb: 0200\n', 'line 2: int cannot be read: 0200 is 128 to YAML: write no zeros'),
        (b'a: 3:20\n', '3:20 is 200 to YAML: write no zeros .* no colons, a name in quotes'),
        (b'a: -1:30.5\n', 'float cannot be read: -1:30.5 is -90.5 to YAML'),
        (b'a: \x00\n', 'line 1: character'),
        (b'? [a]\n: 1\n', 'line 1: a key is a name'),
        (b'#' * 2_000_000, 'it is longer than 1 MB'),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(tmp_path, content, said):
    path = tmp_path / 'robot.yaml'
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('line', ['{0}: &{0} [{1}]', '{0}: &{0} {{<<: [{1}]}}'])
def test_aliases_that_stand_for_more_than_a_file_can_hold_are_refused_at_once(tmp_path, line):
    # Ten of the line above each, nine times over: 10^9 values in 400 characters.
    names = 'abcdefghij'
    lines = ['a: &a {x: 1}']
    lines += [line.format(n, ', '.join([f'*{m}'] * 10)) for m, n in pairwise(names)]
    path = tmp_path / 'robot.yaml'
    path.write_text('\n'.join(lines))
    with pytest.raises(UserError, match=r'line \d: this stands for more than 100000 values'):
        read_yaml(path)


def test_anchors_and_merges_of_keys_are_yaml_and_read_as_such(tmp_path):
    path = tmp_path / 'robot.yaml'
    path.write_bytes(b'\xef\xbb\xbfa: &a {x: 1, y: 2}\r\nb: {<<: *a, x: 3}\r\n')
    assert read_yaml(path) == {'a': {'x': 1, 'y': 2}, 'b': {'x': 3, 'y': 2}}


def test_a_device_is_not_read_to_its_end():
    with pytest.raises(UserError, match='longer than 1 MB'):
        read_yaml(Path('/dev/zero'))


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


@pytest.mark.parametrize(
    ('files', 'said'),
    [
        ({'a': 'a.yaml'}, r'a\.yaml extends itself: a\.yaml -> a\.yaml$'),
        ({'a': 'b.yaml', 'b': 'a.yaml'}, r'extends itself: a\.yaml -> b\.yaml -> a\.yaml$'),
        ({'a': '../{folder}/a.yaml'}, 'extends itself'),
        ({'a': '[b.yaml]'}, r"a\.yaml: extends takes the name of a file beside it, got \['b"),
        ({'a': ''}, 'extends takes the name of a file beside it, got None'),
        ({'a': '.'}, r'Is a directory \(.*a\.yaml extends it\)'),
        ({'a': 'none.yaml'}, r'none\.yaml: No such file .*\(.*a\.yaml extends it\)'),
        ({'abc'[i:] or 'd': f'{"abc"[i + 1 :] or "d"}.yaml' for i in range(3)} | {'d': 'abc.yaml'},
         r'abc\.yaml extends itself'),
        ({f'{i}': f'{i + 1}.yaml' for i in range(40)}, r'0\.yaml extends more than 20 files'),
    ],
)  # fmt: skip
def test_files_that_cannot_extend_each_other_are_named_in_one_line(tmp_path, files, said):
    for name, base in files.items():
        text = f'extends: {base.format(folder=tmp_path.name)}\n'
        (tmp_path / f'{name}.yaml').write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_extended(tmp_path / f'{next(iter(files))}.yaml')
    assert '\n' not in str(caught.value)


class _Sizes(Config):
    epochs: int = Field(1, ge=1)
    sizes: tuple[int, ...] = Field((1,), min_length=1)


@pytest.mark.parametrize(
    ('written', 'assignment', 'said'),
    [
        ({'epochs': -1}, 'epochs=0', '^--set upon recipe.yaml: epochs: '),
        ({}, 'sizes=[]', '^--set upon recipe.yaml: sizes: needs at least 1 item, got'),
        ({'epochs': -1}, 'sizes=[1]', '^recipe.yaml: epochs: '),
    ],
)
def test_what_an_assignment_got_wrong_is_no_mistake_of_the_file(written, assignment, said):
    data = override(written, [assignment])
    with pytest.raises(UserError, match=said):
        parse(_Sizes, data, 'recipe.yaml', [assignment])


class _Ring(Config):
    inner: float = 1.0
    outer: float = 2.0

    @model_validator(mode='after')
    def _ordered(self):
        if self.inner >= self.outer:
            raise ValueError('inner must be below outer')
        return self


class _Area(Config):
    ring: _Ring = _Ring()


def test_a_mistake_about_several_keys_of_a_record_is_of_the_assignment_within_it():
    data = override({}, ['ring.outer=0.5'])
    with pytest.raises(UserError, match=r'^--set upon area\.yaml: ring: inner'):
        parse(_Area, data, 'area.yaml', ['ring.outer=0.5'])
    with pytest.raises(UserError, match=r'^area\.yaml: ring: inner'):
        parse(_Area, {'ring': {'outer': 0.5}}, 'area.yaml', [])
