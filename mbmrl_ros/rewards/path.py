# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Following a path of way-points: distance, heading and progress (Nagabandi et al. 2017, 2019).

The published cost remembers for every candidate which segment it is on, and moves on to the next
one when that is as close. Here the segment follows from the state alone: of those whose end the
robot has not passed, the one whose distance and heading together suit it best. So a reward stays a
function of two states, a robot that was pushed away comes back to where the path is near, and at a
crossing the heading decides.
Progress is along that segment in metres, where the published one is a fraction of segments about
1 m long; and it counts at the change of segments too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import RewardFn

Waypoints = tuple[tuple[float, float], ...]
"""x, y [m], in the order in which they are to be passed."""

Route = str | Waypoints
"""A path by the name of its shape, or by its way-points."""

# Of a path: with every segment all imagined states are compared.
MOST_WAYPOINTS = 100

# How many metres off the path a radian off its heading is worth when a segment is chosen: the
# ratio of their weights in the published cost.
_METRES_PER_RADIAN = 0.1

# Two way-points are one place [m].
_SAME_M = 1e-6
# There and back again is no round: to turn about at the end is not wanted.
_MOST_OPEN = 3

# Added to squared distances [m^2]: on the path itself the gradient of their root is 0, not NaN.
_TINY = 1e-30


def _figure_8() -> Waypoints:
    """Return two lobes, 3.2 m long and 1.7 m wide, in 14 segments that begin along x."""
    turns = [2 * math.pi * place / 14 for place in range(15)]
    return tuple((1.6 * math.sin(turn), 0.85 * math.sin(2 * turn)) for turn in turns)


SHAPES: dict[str, Waypoints] = {
    'straight': ((0.0, 0.0), (12.0, 0.0)),
    'left': ((0.0, 0.0), (1.0, 0.0), (1.8, 0.2), (2.0, 1.0), (2.0, 12.0)),
    'right': ((0.0, 0.0), (1.0, 0.0), (1.8, -0.2), (2.0, -1.0), (2.0, -12.0)),
    'zig_zag': tuple((float(place), float(place % 2)) for place in range(13)),
    'figure_8': _figure_8(),
}
"""The shapes of the published tests [m]; they begin at the origin."""


class Segments(NamedTuple):
    """A path: starts [P, 2], directions [P, 2] of norm 1, lengths [P], headings [P].

    closed: whether it ends where it begins, so that the first segment follows the last.
    """

    starts: Tensor
    directions: Tensor
    lengths: Tensor
    headings: Tensor
    closed: bool = False

    def each(self, change: Callable[[Tensor], Tensor]) -> Segments:
        """Return the path with its tensors changed."""
        starts, directions, lengths, headings = map(change, self[:4])
        return Segments(starts, directions, lengths, headings, self.closed)


class Place(NamedTuple):
    """Where states [...] are on a path, on the segment that suits them best.

    distance: [...] from the nearest point of the segment [m]. heading: [...] between the robot's
    and the segment's, 0 to pi [rad]. direction: [..., 2] of the segment.
    """

    distance: Tensor
    heading: Tensor
    direction: Tensor


def read_route(text: str) -> Route | None:
    """Return what a parameter names: a shape, or way-points as in '0 0, 1.5 0' [m]; '' is None."""
    if ',' not in text:
        return text.strip() or None
    try:
        return tuple((float(x), float(y)) for x, y in (pair.split() for pair in text.split(',')))
    except ValueError as error:
        raise UserError(
            f'path {text!r} is neither a shape ({", ".join(SHAPES)}) nor way-points x, y such as '
            "'0 0, 1.5 0'"
        ) from error


def path_segments(path: Route) -> Segments:
    """Return the segments of a shape or of way-points; UserError if they are none."""
    if isinstance(path, str):
        if path not in SHAPES:
            raise UserError(f'unknown path {path!r}; {closest(path, SHAPES)}')
        path = SHAPES[path]
    points = torch.tensor(path, dtype=torch.float32)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or not points.isfinite().all():
        raise UserError('a path needs two or more finite way-points x, y')
    if len(points) > MOST_WAYPOINTS:
        raise UserError(
            f'a path has at most {MOST_WAYPOINTS} way-points, this one {len(points)}: thin it'
        )
    steps = points[1:] - points[:-1]
    lengths = steps.norm(dim=-1)
    if (lengths == 0).any():
        raise UserError('a path has the same way-point twice in a row')
    headings = torch.atan2(steps[:, 1], steps[:, 0])
    closed = len(points) > _MOST_OPEN and bool((points[0] - points[-1]).norm() < _SAME_M)
    return Segments(points[:-1], steps / lengths[:, None], lengths, headings, closed)


def locate(segments: Segments, position: Tensor, yaw: Tensor) -> Place:
    """Return where positions [..., 2] with headings yaw [...] are on a path.

    Written for speed: at every tick all imagined states are located.
    """
    segments = segments.each(lambda part: part.type_as(position))
    starts, directions = segments.starts, segments.directions
    normals = torch.stack([-directions[:, 1], directions[:, 0]], -1)
    along = position @ directions.T - (starts * directions).sum(-1)
    aside = position @ normals.T - (starts * normals).sum(-1)
    beyond = along - along.clamp(min=0.0).minimum(segments.lengths)
    distance = (beyond * beyond).addcmul_(aside, aside).add_(_TINY).sqrt_()
    turn = torch.atan2(yaw.sin(), yaw.cos())[..., None] - segments.headings
    heading = math.pi - turn.abs_().sub_(math.pi).abs_()
    # Beyond its end a segment is passed: the next one is as near, and to go on straight there must
    # not look better than to turn. A corner would be overrun, and nothing within a plan's sight
    # would bring the robot back.
    passed = along > segments.lengths
    if not segments.closed:
        passed[..., -1] = False
    suits = distance.add(heading, alpha=_METRES_PER_RADIAN).masked_fill_(passed, math.inf)
    best = suits.argmin(-1, keepdim=True)
    return Place(
        distance.gather(-1, best)[..., 0],
        heading.gather(-1, best)[..., 0],
        segments.directions[best[..., 0]],
    )


def path_distance(spec: RobotSpec, path: Route) -> RewardFn:
    """Distance from the path [m]."""
    tracker = _Tracker(spec, path)

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return tracker.place(next_state).distance

    return term


def path_heading(spec: RobotSpec, path: Route) -> RewardFn:
    """Angle between robot and path, 0 to pi [rad]."""
    tracker = _Tracker(spec, path)

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return tracker.place(next_state).heading

    return term


def path_progress(spec: RobotSpec, path: Route) -> RewardFn:
    """Way that a step makes along the path [m]."""
    tracker = _Tracker(spec, path)

    def term(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        step = tracker.position(next_state) - tracker.position(state)
        return (step * tracker.place(next_state).direction).sum(-1)

    return term


class _Tracker:
    """A path, and where states of a robot are on it; UserError if it has no pose."""

    def __init__(self, spec: RobotSpec, path: Route) -> None:
        names = ('x', 'y', 'sin_yaw', 'cos_yaw')
        self._x, self._y, self._sin, self._cos = (spec.channel_index(name) for name in names)
        self._segments = path_segments(path)

    def position(self, state: Tensor) -> Tensor:
        """Return x, y [..., 2] of states [..., S]."""
        return torch.stack([state[..., self._x], state[..., self._y]], -1)

    def place(self, state: Tensor) -> Place:
        """Return where states [..., S] are on the path."""
        if self._segments.starts.device != state.device:
            # Once and for good: a CUDA graph cannot hold a copy from the processor's memory.
            self._segments = self._segments.each(lambda tensor: tensor.to(state.device))
        yaw = torch.atan2(state[..., self._sin], state[..., self._cos])
        return locate(self._segments, self.position(state), yaw)
