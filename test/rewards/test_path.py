# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.rewards.path import MOST_WAYPOINTS, SHAPES, locate, path_segments, read_route
from mbmrl_ros.rewards.reward import TermConfig, along, build_reward, route_of
from mbmrl_ros.spec.robot import load_robot

ROBOT = load_robot('millirobot')
CORNER = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))


def state(x: float, y: float, yaw: float) -> Tensor:
    values = torch.zeros(ROBOT.state_size)
    named = {'x': x, 'y': y, 'sin_yaw': math.sin(yaw), 'cos_yaw': math.cos(yaw)}
    for name, value in named.items():
        values[ROBOT.channel_index(name)] = value
    return values


def reward(path, weights=(-50.0, -5.0, 10.0)):
    names = ('path_distance', 'path_heading', 'path_progress')
    terms = tuple(TermConfig(term=n, weight=w, path=path) for n, w in zip(names, weights))
    return build_reward(ROBOT, terms)


def where(x: float, y: float, yaw: float, path=CORNER) -> tuple[float, float]:
    place = locate(path_segments(path), torch.tensor([x, y]), torch.tensor(yaw))
    return float(place.distance), float(place.heading)


@pytest.mark.parametrize(
    ('pose', 'distance', 'heading'),
    [
        ((0.5, 0.0, 0.0), 0.0, 0.0),
        ((0.5, -0.2, 0.3), 0.2, 0.3),
        ((0.5, 0.1, -0.4), 0.1, 0.4),
        # Before the begin and behind the end the nearest point is an end.
        ((-0.3, 0.4, 0.0), 0.5, 0.0),
        ((1.3, 1.4, math.pi / 2), 0.5, 0.0),
        # Headings are told apart modulo a turn: -3 rad is pi - 3 away from pi.
        ((0.5, 0.0, 2 * math.pi + 0.2), 0.0, 0.2),
    ],
)
def test_distance_and_heading_are_those_of_the_nearest_point(pose, distance, heading):
    assert where(*pose) == pytest.approx((distance, heading), abs=1e-6)


def test_at_a_crossing_the_heading_chooses_the_segment():
    crossing = ((-1.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, -1.0))
    assert where(0.01, 0.02, 0.0, crossing) == pytest.approx((0.02, 0.0), abs=1e-6)
    assert where(0.01, 0.02, -math.pi / 2, crossing) == pytest.approx((0.01, 0.0), abs=1e-6)


def test_beyond_a_corner_the_next_segment_counts_wherever_the_robot_is_heading():
    # A turn to the right by 90 degrees at (1, 0). Past it, straight on: on the next segment, which
    # is as near, and a quarter turn off its heading.
    corner = ((0.0, 0.0), (1.0, 0.0), (1.0, -1.0))
    assert where(1.2, 0.1, 0.0, corner) == pytest.approx((math.hypot(0.2, 0.1), math.pi / 2))
    # Just before it: still on the first one.
    assert where(0.99, 0.1, 0.0, corner) == pytest.approx((0.1, 0.0), abs=1e-6)
    # Behind the end of the path there is no next one.
    assert where(1.0, -1.3, -math.pi / 2, corner) == pytest.approx((0.3, 0.0), abs=1e-6)


def test_where_a_path_ends_at_its_begin_the_first_segment_follows_the_last():
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0))
    # Down the left side and past the corner, heading on down: the bottom is next.
    assert where(0.1, -0.3, -math.pi / 2, square) == pytest.approx((0.3, math.pi / 2))
    assert where(-0.1, 0.2, -math.pi / 2, square) == pytest.approx((0.1, 0.0), abs=1e-6)
    # There and back is no round: nobody is to turn about at the end.
    there_and_back = ((0.0, 0.0), (1.0, 0.0), (0.0, 0.0))
    assert where(-0.2, 0.0, math.pi, there_and_back) == pytest.approx((0.2, 0.0), abs=1e-6)


def test_to_turn_beyond_a_corner_pays_at_once():
    # The heading alone differs: 5 a radian, as long as the turn is not too far.
    corner = ((0.0, 0.0), (1.0, 0.0), (1.0, -1.0))
    here = state(1.1, 0.0, 0.0)
    costs = [-float(reward(corner)(here, torch.zeros(2), state(1.1, 0.0, -turn)))
             for turn in (0.0, 0.4, 0.8, 1.2, math.pi / 2)]  # fmt: skip
    assert costs == sorted(costs, reverse=True)
    assert costs[0] - costs[2] == pytest.approx(5 * 0.8, abs=1e-4)


def test_who_sees_eight_steps_and_turns_in_a_bend_does_not_overrun_a_corner():
    # A car with a bend of 0.35 m, in steps of 3 cm: the corner itself cannot be turned. It takes
    # the best of ten commands, each held for eight steps.
    path = ((0.0, 0.0), (1.0, 0.0), (1.0, -2.0))
    value = reward(path)
    pairs = torch.cartesian_prod(torch.tensor([0.006, 0.03]), torch.linspace(-1.0, 1.0, 5) / 0.35)
    speeds, bends = pairs.unbind(-1)
    place = torch.zeros(3)
    for _ in range(140):
        ways, earned = [place.expand(len(speeds), 3)], torch.zeros(len(speeds))
        for _ in range(8):
            x, y, yaw = ways[-1].unbind(-1)
            yaw = yaw + speeds * bends
            after = torch.stack([x + speeds * yaw.cos(), y + speeds * yaw.sin(), yaw], -1)
            earned += value(poses(ways[-1]), torch.zeros(len(speeds), 2), poses(after))
            ways.append(after)
        place = ways[1][earned.argmax()]
    # On the way down, no further off than its bend is wide; it could be at x = 2 by now.
    assert float(place[1]) < -0.9
    assert where(*place.tolist(), path)[0] < 0.35


def poses(places):
    """Return states [N, S] of x, y, yaw [N, 3]."""
    states = torch.zeros(len(places), ROBOT.state_size)
    x, y, yaw = places.unbind(-1)
    named = {'x': x, 'y': y, 'sin_yaw': yaw.sin(), 'cos_yaw': yaw.cos()}
    for name, values in named.items():
        states[:, ROBOT.channel_index(name)] = values
    return states


def test_the_next_segment_is_never_further_than_the_one_that_was_passed():
    generator = torch.Generator().manual_seed(1)
    segments = path_segments('zig_zag')
    position = 6 * torch.rand(2000, 2, generator=generator) * torch.tensor([2.0, 0.3])
    plain = torch.stack([
        distance_to(position, start, start + length * direction)
        for start, direction, length in zip(segments.starts, segments.directions, segments.lengths)
    ])  # fmt: skip
    # With the heading of the nearest segment nothing but the distance is left to choose by.
    heading = segments.headings[plain.argmin(0)]
    assert torch.allclose(locate(segments, position, heading).distance, plain.amin(0), atol=1e-5)


def distance_to(points, start, end):
    """Return the distance of points [N, 2] from a segment."""
    along = ((points - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
    return (points - start - along[:, None] * (end - start)).norm(dim=-1)


def test_the_reward_is_minus_the_published_cost_of_a_step():
    # 0.1 m to the left, heading 0.2 rad off, 0.03 m onwards:
    # -50 * 0.1 - 5 * 0.2 + 10 * 0.03 = -5.7.
    value = reward(CORNER)(state(0.40, 0.0, 0.0), torch.zeros(2), state(0.43, 0.1, 0.2))
    assert float(value) == pytest.approx(-5.7, abs=1e-5)


def test_progress_counts_over_the_change_of_segments_and_backwards_is_a_loss():
    progress = reward(CORNER, (0.0, 0.0, 1.0))
    # Across the corner, on the second segment by its heading: 0.1 m along y.
    around = progress(state(0.95, 0.0, 0.0), torch.zeros(2), state(1.0, 0.1, math.pi / 2))
    assert float(around) == pytest.approx(0.1, abs=1e-6)
    back = progress(state(0.5, 0.0, 0.0), torch.zeros(2), state(0.4, 0.0, 0.0))
    assert float(back) == pytest.approx(-0.1, abs=1e-6)


def test_batched_over_leading_dimensions():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 4, 5, ROBOT.state_size, generator=generator)
    following = states + 0.1 * torch.randn(states.shape, generator=generator)
    cost = reward('figure_8')
    whole = cost(states, torch.zeros(3, 4, 5, 2), following)
    assert whole.shape == (3, 4, 5)
    one = cost(states[1, 2, 3], torch.zeros(2), following[1, 2, 3])
    assert torch.allclose(whole[1, 2, 3], one, atol=1e-5)


@pytest.mark.parametrize('name', SHAPES)
def test_along_every_shape_the_cost_is_the_progress_alone(name):
    segments = path_segments(name)
    middles = segments.starts + 0.5 * segments.lengths[:, None] * segments.directions
    place = locate(segments, middles, segments.headings)
    assert torch.allclose(place.distance, torch.zeros(len(middles)), atol=1e-5)
    assert torch.allclose(place.heading, torch.zeros(len(middles)), atol=1e-5)
    assert torch.equal(segments.starts[0], torch.zeros(2))


@pytest.mark.parametrize('name', SHAPES)
def test_the_fast_formula_of_a_place_is_the_plain_one(name):
    generator = torch.Generator().manual_seed(0)
    position = 3 * torch.randn(500, 4, 2, generator=generator)
    yaw = 3 * torch.randn(500, 4, generator=generator)
    segments = path_segments(name)
    offset = position[..., None, :] - segments.starts
    along = (offset * segments.directions).sum(-1)
    onwards = along.clamp(min=0.0).minimum(segments.lengths)
    distance = (offset - onwards[..., None] * segments.directions).norm(dim=-1)
    turn = yaw[..., None] - segments.headings
    heading = torch.atan2(turn.sin(), turn.cos()).abs()
    # A tenth of a metre per radian decides, as the ratio of the published weights.
    passed = along > segments.lengths
    passed[..., -1] = False
    rank = torch.where(passed, math.inf, distance + 0.1 * heading)
    best = rank.argmin(-1, keepdim=True)
    # Where two segments suit a state equally, either may be chosen.
    clear = rank.topk(2, largest=False).values.diff()[..., 0] > 1e-5 if rank.shape[-1] > 1 else ...
    place = locate(segments, position, yaw)
    for fast, plain in (
        (place.distance, distance.gather(-1, best)[..., 0]),
        (place.heading, heading.gather(-1, best)[..., 0]),
        (place.direction, segments.directions[best[..., 0]]),
    ):
        assert torch.allclose(fast[clear], plain[clear], atol=1e-5)


def test_the_figure_8_has_the_published_size():
    points = torch.tensor(SHAPES['figure_8'])
    size = points.max(0).values - points.min(0).values
    assert len(points) - 1 == 14
    assert size.tolist() == pytest.approx([3.2, 1.7], abs=0.1)


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('figure_9', 'figure_8'),
        (((0.0, 0.0),), 'two or more'),
        (((0.0, 0.0), (0.0, 0.0)), 'twice'),
        (((0.0, 0.0), (math.nan, 0.0)), 'finite'),
        (tuple((float(x), 0.0) for x in range(MOST_WAYPOINTS + 1)), 'at most 100'),
    ],
)
def test_a_path_that_is_none_is_refused(path, message):
    with pytest.raises(UserError, match=message):
        path_segments(path)


def test_a_robot_without_a_pose_on_the_ground_is_refused():
    with pytest.raises(UserError, match="no channel 'y'"):
        build_reward(load_robot('half_cheetah'), (TermConfig(term='path_heading', path='left'),))


def test_a_path_in_a_parameter_is_a_shape_or_way_points():
    assert read_route('') is None
    assert read_route('zig_zag') == 'zig_zag'
    assert read_route('0 0, 1.5 0,1.5 -2') == ((0.0, 0.0), (1.5, 0.0), (1.5, -2.0))
    for text in ('0 0, 1', '0 0, 1 x', '0 0 0, 1 1 1', ','):
        with pytest.raises(UserError, match='neither a shape'):
            read_route(text)


def test_a_reward_along_another_path_keeps_its_weights_and_its_other_terms():
    names = ('path_distance', 'path_heading', 'path_progress')
    terms = (
        *(TermConfig(term=name, weight=-2.0, path='left') for name in names),
        TermConfig(term='action_squared', weight=-0.5),
    )
    assert route_of(terms) == 'left' and route_of(terms[-1:]) is None
    other = along(terms, CORNER)
    assert route_of(other) == CORNER
    assert [term.weight for term in other] == [term.weight for term in terms]
    states = state(0.4, 0.0, 0.0), torch.ones(2), state(0.43, 0.1, 0.2)
    # 0.1 m aside, 0.2 rad off, 0.03 m onwards, two ones squared.
    assert float(build_reward(ROBOT, other)(*states)) == pytest.approx(
        -2 * (0.1 + 0.2 + 0.03) - 0.5 * 2, abs=1e-5
    )
