# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's page: what the robot did before and after, prediction error, tick times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mbmrl_ros.demo.figures import draw_losses, draw_ticks
from mbmrl_ros.demo.film import film_text
from mbmrl_ros.demo.outcomes import Scene, Show, fault_words, header, headline, table_rows
from mbmrl_ros.reports.page import Page, Section, png, write_page
from mbmrl_ros.system.outputs import replacing


def write_demo_page(
    path: Path, scene: Scene, show: Show, summary: dict[str, Any], film: Path | None
) -> Path:
    """Write the page and, beside it, its first picture (overview.png).

    film: the video that belongs into it, if there is one.
    """
    sections = show.sections(scene)
    if sections[0].figure is not None:
        with replacing(path.with_name('overview.png')) as picture:
            picture.write_bytes(png(sections[0].figure))
    page = Page(
        f'{scene.spec.name}: {fault_words(scene.faults)}, from {scene.failure_s:.1f} s on',
        [
            headline(scene, show, summary),
            _introduction(scene, len(summary['seeds'])),
            *_gaps(summary),
        ],
        [
            Section(
                'Summary',
                'Means over runs, which differ by their seed; every controller has one trained '
                'model, so that they say nothing of another training. Loss: squared error of '
                'normalised changes over the next steps after the failure, '
                'with the parameters as trained and as adapted.',
                header=header(show),
                rows=list(table_rows(show, summary)),
            ),
            *([] if film is None else [Section('The runs', film_text(scene), video=film)]),
            *sections,
            Section(
                'Prediction error',
                'Mean over runs: dotted with the parameters as trained, solid as adapted. It is '
                'that of the steps ahead, so that it rises a little before the failure.',
                figure=draw_losses(scene),
            ),
            Section(
                'Tick times',
                'From the assembled state to the command: adapting, planning, safety.',
                figure=draw_ticks(scene),
            ),
        ],
    )
    return write_page(path, page)


def _introduction(scene: Scene, seeds: int) -> str:
    return (
        f'The task: {scene.task.description}. Simulator and controller ran as ROS 2 nodes in '
        f'processes of their own; every run is recorded in a bag. Seeds per controller: {seeds}. '
        'The controllers share planner, network and seeds and differ in how the model follows '
        'the last transitions: MB not at all, MB+DE by a gradient step at every tick with '
        'the weights carried over, GrBAL by gradient steps afresh at every tick, with step sizes '
        'that were meta-learned.'
    )


def _gaps(summary: dict[str, Any]) -> list[str]:
    missing = [f'{title} ({reason})' for title, reason in summary['missing'].items()]
    return ['Not there: ' + '; '.join(missing)] if missing else []
