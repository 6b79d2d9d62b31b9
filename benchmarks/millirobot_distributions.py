# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated millirobot beside the recorded one, under the same commands.

    python benchmarks/millirobot_distributions.py BAGS [--out docs/results/millirobot]

BAGS: folder with the recordings, named <terrain>_<start>. Every recorded piece of a session is
played again on the simulated terrain, from rest and with its own commands; the first steps of both
are left out. Writes distributions.json (statistics only), tables.md and distributions.png.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch
from matplotlib.figure import Figure
from scipy import stats
from tqdm import tqdm

from mbmrl_ros.data.bags import find_bags
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.recordings.cut import read_recordings
from mbmrl_ros.sim.disturbances import Disturbance, Event
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Array

SHORTEST_STEPS = 15
SKIPPED_STEPS = 5
COLOURS = {'recorded': '#7b7b7b', 'simulated': '#1f6fb2'}


class Piece(NamedTuple):
    """An unbroken piece: channels by name [T+1], actions [T, A] in -1..1."""

    state: dict[str, Array]
    actions: Array


QUANTITIES: dict[str, tuple[str, Callable[[Piece], Array]]] = {
    'forward': ('forward speed [m/s]', lambda p: _body_velocity(p)[0]),
    'sideways': ('sideways speed [m/s]', lambda p: _body_velocity(p)[1]),
    'vertical': ('vertical speed [m/s]', lambda p: p.state['vz'][1:]),
    'turn': ('turn per step [rad]', lambda p: _turn(p)),
    'roll': ('roll, mean removed [rad]', lambda p: _centred(p.state['sin_roll'])),
    'pitch': ('pitch, mean removed [rad]', lambda p: _centred(p.state['sin_pitch'])),
    'height': ('height, mean removed [m]', lambda p: _centred(p.state['z'])),
    'roll_rate': ('gyro x [rad/s]', lambda p: p.state['roll_rate'][1:]),
    'pitch_rate': ('gyro y [rad/s]', lambda p: p.state['pitch_rate'][1:]),
    'yaw_rate': ('gyro z [rad/s]', lambda p: p.state['yaw_rate'][1:]),
    'left_rate': ('speed of left legs [rad/s]', lambda p: p.state['left_rate'][1:]),
    'right_rate': ('speed of right legs [rad/s]', lambda p: p.state['right_rate'][1:]),
    'left_back_emf': ('left back-EMF [counts]', lambda p: p.state['left_back_emf'][1:]),
    'right_back_emf': ('right back-EMF [counts]', lambda p: p.state['right_back_emf'][1:]),
    'battery': ('battery [counts]', lambda p: p.state['battery'][1:]),
}


def main() -> None:
    """Measure, write the numbers and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bags', type=Path)
    parser.add_argument('--out', type=Path, default=Path('docs/results/millirobot'))
    arguments = parser.parse_args()
    spec = load_robot('millirobot')
    recorded = recorded_pieces(spec, arguments.bags)
    simulated = {terrain: replay(spec, terrain, pieces) for terrain, pieces in recorded.items()}
    report = compare(recorded, simulated)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1)
    (arguments.out / 'distributions.json').write_text(text + '\n')
    plot(recorded, simulated).savefig(arguments.out / 'distributions.png', dpi=100)
    (arguments.out / 'tables.md').write_text(tables(report))
    print(tables(report))


def recorded_pieces(spec: RobotSpec, bags: Path) -> dict[str, list[Piece]]:
    """Return the pieces of all sessions by terrain."""
    _, sessions = read_recordings(find_bags([bags]), spec, shortest_steps=SHORTEST_STEPS)
    pieces: dict[str, list[Piece]] = {}
    for session in sessions:
        found = [_piece(spec, trajectory) for trajectory in session.trajectories]
        pieces.setdefault(session.name.split('_')[0], []).extend(found)
    return pieces


def replay(spec: RobotSpec, terrain: str, pieces: list[Piece], batch: int = 32) -> list[Piece]:
    """Let the simulated robot follow the commands of pieces on a terrain."""
    env, result = RobotEnv(spec, batch), []
    event = Event(0, Disturbance('terrain', terrain))
    rng = np.random.default_rng(0)
    ordered = sorted(pieces, key=lambda piece: len(piece.actions))
    for start in tqdm(range(0, len(ordered), batch), desc=terrain, leave=False):
        group = ordered[start : start + batch]
        steps = max(len(piece.actions) for piece in group)
        actions = np.full((steps, batch, spec.action_size), -1.0)
        for row, piece in enumerate(group):
            actions[: len(piece.actions), row] = piece.actions
        states = [env.reset(rng, [(event,)] * batch)]
        states += [env.step(torch.from_numpy(action).float()) for action in actions]
        whole = torch.stack(states, 1)
        for row, piece in enumerate(group):
            count, actions_of = len(piece.actions), torch.from_numpy(piece.actions)
            trajectory = Trajectory(whole[row, : count + 1], actions_of, torch.zeros(count))
            result.append(_piece(spec, trajectory))
    env.close()
    return result


def compare(recorded: dict[str, list[Piece]], simulated: dict[str, list[Piece]]) -> dict[str, Any]:
    """Return statistics of every quantity on every terrain, and what follows from what."""
    report: dict[str, Any] = {}
    for terrain in recorded:
        report[terrain] = {}
        both = {'recorded': recorded[terrain], 'simulated': simulated[terrain]}
        for name in QUANTITIES:
            values = {kind: joined(pieces, name) for kind, pieces in both.items()}
            entry: dict[str, Any] = {kind: _statistics(value) for kind, value in values.items()}
            distance = stats.wasserstein_distance(values['recorded'], values['simulated'])
            entry['distance_in_std'] = distance / values['recorded'].std()
            report[terrain][name] = entry
        report[terrain]['relations'] = {k: _relations(pieces) for k, pieces in both.items()}
    return report


def joined(pieces: list[Piece], name: str) -> Array:
    """Return the values of a quantity in all pieces, the first steps left out."""
    function = QUANTITIES[name][1]
    return np.concatenate([function(piece)[SKIPPED_STEPS:] for piece in pieces])


def plot(recorded: dict[str, list[Piece]], simulated: dict[str, list[Piece]]) -> Figure:
    """Draw both distributions: a row per quantity, a column per terrain."""
    figure = Figure(figsize=(3.6 * len(recorded), 1.7 * len(QUANTITIES)), layout='constrained')
    axes = figure.subplots(len(QUANTITIES), len(recorded), squeeze=False)
    for row, (name, (label, _)) in zip(axes, QUANTITIES.items()):
        for axis, terrain in zip(row, recorded):
            values = {k: joined(p[terrain], name) for k, p in
                      (('recorded', recorded), ('simulated', simulated))}  # fmt: skip
            low, high = np.quantile(np.concatenate(list(values.values())), [0.002, 0.998])
            bins = np.linspace(low, high, 60)
            for kind, value in values.items():
                style = {'color': COLOURS[kind], 'alpha': 0.5, 'label': kind}
                axis.hist(value, bins, density=True, **style)
            axis.set_xlabel(label, fontsize=8)
            axis.set_yticks([])
            axis.tick_params(labelsize=7)
    for axis, terrain in zip(axes[0], recorded):
        axis.set_title(terrain)
    axes[0, 0].legend(fontsize=8)
    return figure


def tables(report: dict[str, Any]) -> str:
    """Return means and standard deviations side by side, in Markdown."""
    lines = ['±: standard deviation over the steps of all pieces.', '']
    for terrain, entries in report.items():
        steps = entries['forward']['recorded']['steps']
        lines += [f'## {terrain} ({steps} steps)', '']
        lines += ['| | recorded | simulated | distance / std |', '|---|---|---|---|']
        for name, (label, _) in QUANTITIES.items():
            entry = entries[name]
            both = ' | '.join(
                f'{entry[kind]["mean"]:.4f} ± {entry[kind]["std"]:.4f}' for kind in COLOURS
            )
            lines.append(f'| {label} | {both} | {entry["distance_in_std"]:.2f} |')
        for name in entries['relations']['recorded']:
            both = ' | '.join(f'{entries["relations"][kind][name]:.3f}' for kind in COLOURS)
            lines.append(f'| {name} | {both} | |')
        lines.append('')
    return '\n'.join(lines)


def _piece(spec: RobotSpec, trajectory: Trajectory) -> Piece:
    states = trajectory.states.double().numpy()
    channels = {channel.name: states[:, i] for i, channel in enumerate(spec.state)}
    return Piece(channels, trajectory.actions.double().numpy())


def _yaw(piece: Piece) -> Array:
    return np.asarray(np.arctan2(piece.state['sin_yaw'], piece.state['cos_yaw']))


def _turn(piece: Piece) -> Array:
    return (np.diff(_yaw(piece)) + np.pi) % (2 * np.pi) - np.pi


def _body_velocity(piece: Piece) -> tuple[Array, Array]:
    """Return the velocities of steps along and across the heading at their begin."""
    yaw, vx, vy = _yaw(piece)[:-1], piece.state['vx'][1:], piece.state['vy'][1:]
    return np.cos(yaw) * vx + np.sin(yaw) * vy, -np.sin(yaw) * vx + np.cos(yaw) * vy


def _centred(values: Array) -> Array:
    """Markers are not mounted straight, and floors differ in height."""
    return values[1:] - values[1 + SKIPPED_STEPS :].mean()


def _statistics(values: Array) -> dict[str, float]:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {
        'steps': len(values),
        'mean': values.mean(),
        'std': values.std(),
        'q05': low,
        'median': median,
        'q95': high,
    }


def _relations(pieces: list[Piece]) -> dict[str, float]:
    """Return how the robot answers: per rad/s of the legs, and per unit of command."""
    legs = np.concatenate([_mean_legs(piece)[SKIPPED_STEPS:] for piece in pieces])
    difference = np.concatenate(
        [(p.actions[:, 1] - p.actions[:, 0])[SKIPPED_STEPS:] for p in pieces]
    )
    commands = np.concatenate([p.actions[SKIPPED_STEPS:].mean(1) for p in pieces])
    forward, turn = joined(pieces, 'forward'), joined(pieces, 'turn')
    return {
        'forward per leg speed [m/rad]': float((forward * legs).sum() / (legs * legs).sum()),
        'legs to forward, correlation': float(np.corrcoef(legs, forward)[0, 1]),
        'command to legs, correlation': float(np.corrcoef(commands, legs)[0, 1]),
        'command R - L to turn, correlation': float(np.corrcoef(difference, turn)[0, 1]),
        'command R - L to turn, slope': float(np.polyfit(difference, turn, 1)[0]),
    }


def _mean_legs(piece: Piece) -> Array:
    return 0.5 * (piece.state['left_rate'][1:] + piece.state['right_rate'][1:])


if __name__ == '__main__':
    main()
