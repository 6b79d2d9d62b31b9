# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's runs side by side, drawn from what was recorded of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mbmrl_ros.demo.figures import BROKEN
from mbmrl_ros.demo.outcomes import Outcome, Scene, Show, fault_words
from mbmrl_ros.envs.marks import target_points, task_marks
from mbmrl_ros.envs.task import Task
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.reports.video import Picture, check_video, write_video
from mbmrl_ros.sim.disturbances import active
from mbmrl_ros.sim.pose import PoseReader
from mbmrl_ros.sim.rendering import Renderer, make_camera
from mbmrl_ros.types import Array

# Of one robot, in pixels, and of the bars above and below.
WIDTH, HEIGHT, BAR = 320, 240, 32
PER_SECOND = 20
_NEAR = 0.5
INK, _PAPER = '#1b1f24', '#ffffff'


class Head(NamedTuple):
    """Of a picture: whose it is, in which colour, and what is said of it."""

    label: str
    colour: str
    says: str


class Word(NamedTuple):
    """Below the pictures: where it begins [pixels]."""

    left: int
    text: str
    colour: str = INK


class _Panel(NamedTuple):
    """One run: where the robot was at every step [T+1, nq], and the camera that goes with it."""

    outcome: Outcome
    positions: Sequence[Array]
    camera: Any


def write_film(path: Path, scene: Scene, show: Show) -> Path:
    """Write the video of the first seed that every contender has.

    UserError says what is missing where there is no library that writes videos, or no OpenGL.
    """
    check_video()
    every = max(1, round(1 / (PER_SECOND * scene.spec.period_s)))
    per_second = max(1, round(1 / (every * scene.spec.period_s)))
    return write_video(path, draw_film(scene, show, every), per_second)


def draw_film(scene: Scene, show: Show, every: int) -> Iterator[Picture]:
    """Yield a picture of every so many steps. UserError if nothing can be drawn."""
    renderer = Renderer(scene.spec, WIDTH, HEIGHT)
    panels = [_panel(scene, outcome, renderer) for outcome in _chosen(scene)]
    steps = min(len(panel.positions) for panel in panels)
    marks = task_marks(scene.task, renderer.stage.size_m)
    try:
        for step in range(0, steps, every):
            wrong, pictures = active(scene.schedule, step), []
            for panel in panels:
                renderer.camera = panel.camera
                pictures.append(renderer.draw(panel.positions[step], wrong, marks))
            heads = [_head(scene, show, panel.outcome, step) for panel in panels]
            yield compose(heads, pictures, _foot(scene, step))
    finally:
        renderer.close()


def _chosen(scene: Scene) -> list[Outcome]:
    """Return a run of each contender, of the first seed that all have, or of its own first."""
    seeds = [{outcome.seed for outcome in scene.of(c)} for c in scene.contenders]
    common = set.intersection(*seeds)
    chosen = min(common) if common else None
    return [
        next((o for o in scene.of(c) if o.seed == chosen), scene.of(c)[0])
        for c in scene.contenders
    ]


def _panel(scene: Scene, outcome: Outcome, renderer: Renderer) -> _Panel:
    camera = near_goal(renderer, scene.task)
    poses = PoseReader(scene.spec, renderer.stage.original)
    positions = [poses.positions(signals) for signals in outcome.run.signals]
    return _Panel(outcome, last_known(positions), camera)


def near_goal(renderer: Renderer, task: Task) -> Any:
    """Return a camera: near the points that a task is to reach, if it has some."""
    camera, goal = make_camera(renderer.stage), target_points(task)
    if len(goal):
        # How near a hand is to its goal cannot be seen from where the whole arm is.
        camera.lookat[:] = goal.mean(0)
        camera.distance *= _NEAR
    return camera


def last_known(positions: Sequence[Array]) -> list[Array]:
    """Return positions with the last one that was known where motion capture dropped out."""
    known: list[Array] = []
    for place in positions:
        known.append(place if np.isfinite(place).all() or not known else known[-1])
    return known


def compose(heads: Sequence[Head], pictures: Sequence[Picture], foot: Sequence[Word]) -> Picture:
    """Return pictures beside each other, each under its head, above what is said of all."""
    sheet = Image.new('RGB', (WIDTH * len(pictures), HEIGHT + 2 * BAR), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for place, (head, picture) in enumerate(zip(heads, pictures)):
        left = place * WIDTH
        sheet.paste(Image.fromarray(picture), (left, BAR))
        draw.rectangle((left, BAR - 4, left + WIDTH, BAR - 1), fill=head.colour)
        draw.text((left + 8, 4), head.label, fill=head.colour, font=font)
        draw.text((left + WIDTH - 8, 4), head.says, fill=INK, font=font, anchor='ra')
    for word in foot:
        draw.text((word.left, HEIGHT + BAR + 6), word.text, fill=word.colour, font=font)
    return np.asarray(sheet)


def _head(scene: Scene, show: Show, outcome: Outcome, step: int) -> Head:
    contender = outcome.contender
    return Head(contender.label, style_of(contender.key).colour, show.live(scene, outcome, step))


def _foot(scene: Scene, step: int) -> list[Word]:
    broken = step >= scene.failure_step
    state = fault_words(scene.faults) if broken else 'nothing is wrong'
    return [
        Word(8, f'{step * scene.spec.period_s:.1f} s'),
        Word(90, state, BROKEN if broken else INK),
    ]


def film_text(scene: Scene) -> str:
    """Return what the video shows, in words."""
    return (
        'The runs of one seed side by side, drawn from what was recorded. What fails turns red '
        f'at {scene.failure_s:.1f} s; the camera goes with each robot.'
    )
