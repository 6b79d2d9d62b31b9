# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import rclpy
from pydantic import Field
from rclpy.exceptions import ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.params import (
    Settings,
    changed,
    check_files,
    declare,
    flat_values,
    help_text,
    validate,
)
from mbmrl_ros.nodes.common.settings import ControllerSettings, SimSettings


class Inner(Settings):
    gain: float = Field(1.0, gt=0, le=10, description='of the inner loop')


class Outer(Settings):
    rate: float = Field(20.0, gt=0, description='per second')
    count: int = Field(3, ge=1, le=9, description='how many')
    name: str = Field('a', description='what it is called')
    tags: tuple[str, ...] = Field((), description='any number of words')
    on: bool = Field(True, description='whether')
    inner: Inner = Inner()


@pytest.fixture
def context() -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


def node_with(context: rclpy.Context, **overrides: Any) -> Node:
    parameters = [Parameter(name.replace('__', '.'), value=v) for name, v in overrides.items()]
    return Node('params', context=context, parameter_overrides=parameters)


def test_every_field_becomes_a_parameter_with_default_description_and_bounds(context):
    node = node_with(context)
    assert declare(node, Outer) == Outer()
    defaults = {'rate': 20.0, 'count': 3, 'name': 'a', 'tags': [''], 'on': True, 'inner.gain': 1.0}
    assert {name: node.get_parameter(name).value for name in defaults} == defaults
    descriptor = node.describe_parameter('inner.gain')
    assert descriptor.description == 'of the inner loop'
    bounds = descriptor.floating_point_range[0]
    assert (bounds.from_value, bounds.to_value) == (0.0, 10.0)
    bounds = node.describe_parameter('count').integer_range[0]
    assert (bounds.from_value, bounds.to_value) == (1, 9)


def test_overrides_are_taken_and_a_whole_number_does_for_a_double(context):
    node = node_with(context, rate=50, inner__gain=2, tags=['x', 'y'], on=False)
    expected = Outer(rate=50.0, inner=Inner(gain=2.0), tags=('x', 'y'), on=False)
    assert declare(node, Outer) == expected
    assert node.get_parameter('rate').type_ == Parameter.Type.DOUBLE


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        ({'rat': 50.0}, "unknown parameter 'rat'; did you mean 'rate'"),
        ({'inner__gian': 1.0}, "did you mean 'inner.gain'"),
        ({'inner': 1.0}, "unknown parameter 'inner'"),
        ({'rate': 'fast'}, "rate: Input should be a valid number, got 'fast'"),
        ({'rate': 0.0}, 'rate: Input should be greater than 0'),
        ({'rate': float('nan')}, 'rate'),
        ({'count': 2.5}, 'count'),
        ({'count': True}, 'count'),
        ({'count': 10}, 'count: Input should be less than or equal to 9'),
        ({'on': 1}, 'on: Input should be a valid boolean'),
        ({'name': 5}, 'name: Input should be a valid string'),
        ({'inner__gain': 11.0}, 'inner.gain'),
        ({'tags': [1, 2]}, 'tags'),
    ],
)
def test_a_wrong_override_is_answered_by_one_line(context, overrides, message):
    with pytest.raises(UserError) as error:
        declare(node_with(context, **overrides), Outer)
    assert message in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        (
            'node:\n  ros__parameters:\n    seed: 1\n    seed: 2\n',
            "line 4: key 'seed' stands twice",
        ),
        ('node:\n  ros__parameters:\n\tseed: 1\n', 'line 3, column 1: .*not by tabs'),
        ('', 'is empty'),
        ('- node\n', 'holds a list'),
    ],
)
def test_a_file_of_parameters_is_read_as_strictly_as_a_robot_file(tmp_path, text, said):
    path = tmp_path / 'nodes.params.yaml'
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        check_files(['--ros-args', '-p', 'seed:=1', '--params-file', str(path)])
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_parameters_of_rclpy_itself_are_not_unknown(context):
    overrides = [
        Parameter('use_sim_time', value=True),
        Parameter('qos_overrides./odom.subscription.depth', value=3),
    ]
    node = Node('params', context=context, parameter_overrides=overrides)
    assert declare(node, Outer) == Outer()


def test_a_change_is_validated_as_a_whole_and_leaves_other_parameters_alone():
    new = [Parameter('inner.gain', value=3.0), Parameter('use_sim_time', value=True)]
    assert changed(Outer(), new, None) == Outer(inner=Inner(gain=3.0))
    with pytest.raises(UserError, match='count'):
        changed(Outer(), [Parameter('count', value=0)], None)


def test_a_change_outside_of_what_may_change_now_says_what_may():
    with pytest.raises(UserError, match=r'clean it up first; at run time: inner.gain'):
        changed(Outer(), [Parameter('rate', value=5.0)], frozenset({'inner.gain'}))


@pytest.mark.parametrize('model', [SimSettings, ControllerSettings])
def test_the_defaults_of_the_nodes_are_valid_and_described(model, context):
    assert validate(model, dict(flat_values(model())), 'defaults') == model()
    node = node_with(context)
    declare(node, model)
    for name, _ in flat_values(model()):
        assert node.describe_parameter(name).description, name
        assert f'  {name} (default ' in help_text(model)
        try:
            node.get_parameter(name)
        except ParameterUninitializedException:
            pytest.fail(f'{name} has no value')


class Renamed(Settings):
    renamed: ClassVar[dict[str, str]] = {'strength': 'gain'}

    gain: float = Field(1.0, description='of the inner loop')


class AroundRenamed(Settings):
    inner: Renamed = Renamed()


def test_a_parameter_is_read_by_its_old_name_which_says_the_new_one(context, caplog):
    node = node_with(context, inner__strength=3.0)
    assert declare(node, AroundRenamed).inner.gain == 3.0
    assert node.get_parameter('inner.gain').value == 3.0
    assert 'inner.strength is called inner.gain now' in caplog.text


def test_the_planners_old_parameters_are_read(context):
    node = node_with(context, planner__inertia=0.3, planner__minimum_noise=0.01)
    planner = declare(node, ControllerSettings).planner
    assert (planner.alpha, planner.min_std) == (0.3, 0.01)
