# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of a figure. Bars and bands are means with 95 % intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

from mbmrl_ros.experiments.columns import ORACLE
from mbmrl_ros.experiments.grid import Figure
from mbmrl_ros.experiments.methods import METHODS
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.statistics import EDGES, ratio_interval
from mbmrl_ros.experiments.tables import by_setting
from mbmrl_ros.training.evaluate import interval95
from mbmrl_ros.types import Array

PANEL = 3.6
# Control steps that are shown after a fault.
AROUND_FAULT = 300
# A variant has the colour of its method, in a shade of its own.
SHADES = ('-', '--', '-.', ':')
# So many times the median of a panel, and the others could not be told apart beside it.
TALL = 2.5


def errors_plot(figure: Figure, results: Results) -> Plot:
    """Fig. 31 and 45 above, Fig. 46 below: histograms, and errors over time."""
    lines = [line for line in results.lines(figure) if line.groups('errors')]
    groups = by_setting(lines)
    kinds: dict[str, tuple[str, ...]] = {'next T2 steps': ('errors',)}
    if any(line.groups('errors', 'ahead') for line in lines):
        kinds['state T2 steps ahead'] = ('errors', 'ahead')
    plot = Plot(figsize=(max(5.0, PANEL * len(groups)), 2 * PANEL * len(kinds)))
    panels = plot.subplots(2 * len(kinds), max(1, len(groups)), squeeze=False)
    for row, (what, keys) in enumerate(kinds.items()):
        for column, (setting, shown) in enumerate(groups.items()):
            upper, lower = panels[2 * row][column], panels[2 * row + 1][column]
            _errors(upper, lower, [line for line in shown if line.groups(*keys)], keys)
            upper.set(title=setting.title, xscale='log', xlabel=f'normalised error, {what}')
            lower.set(xlabel='control step', yscale='log')
        panels[2 * row][0].set_ylabel('share of moments')
        panels[2 * row + 1][0].set_ylabel(f'error, {what}')
    return _finished(plot, legend=True)


def _errors(upper: Axes, lower: Axes, lines: list[Line], keys: tuple[str, ...]) -> None:
    """Draw histograms of errors, and errors over time."""
    for line in lines:
        for name, style in (('before', ':'), ('after', '-')):
            label = f'{line.label}, {name}'
            look: dict[str, Any] = {'color': METHODS[line.method].colour, 'ls': style}
            counts = np.sum(line.groups(*keys, name, 'histogram'), 0)
            upper.stairs(counts / counts.sum(), EDGES, label=label, **look)
            times, curve = _over_time(line, *keys, name)
            lower.plot(times, curve, lw=1, **look)


def curve_plot(figure: Figure, results: Results) -> Plot:
    """Fig. 32 and 48: return against data; a square where there is one point only."""
    groups = by_setting(results.lines(figure))
    plot, panels = _panels(len(groups))
    for axes, (setting, lines) in zip(panels, groups.items()):
        ends = []
        for place, line in enumerate(lines):
            steps, returns = zip(*results.curve(line))
            ends.append(np.mean(returns[-1]))
            mean, half = np.array([interval95(values) for values in returns]).T
            look: dict[str, Any] = {'color': METHODS[line.method].colour}
            if len(figure.variants) > 1:
                look['ls'] = SHADES[figure.variants.index(line.variant) % len(SHADES)]
            if len(steps) == 1:
                axes.errorbar(
                    steps, mean, half, fmt='s', ms=4, capsize=2, label=line.label, **look
                )
                continue
            axes.plot(steps, mean, marker='o', ms=3, label=line.label, zorder=place, **look)
            axes.fill_between(steps, mean - half, mean + half, alpha=0.12, color=look['color'])
        axes.locator_params(axis='x', nbins=5)
        axes.set(title=setting.title, xlabel='control steps of training')
        axes.set_ylabel('return per episode')
        if _tall(np.array(ends)).any():
            axes.set_yscale('symlog', linthresh=100)
            axes.yaxis.set_major_formatter('{x:.0f}')
            axes.set_ylabel('return per episode (logarithmic beyond 100)')
    return _finished(plot, legend=True)


def normalised_plot(figure: Figure, results: Results) -> Plot:
    """Fig. 33: returns, that of the oracle being 1; plain returns where that may be zero."""
    groups = by_setting(results.lines(figure))
    plot, panels = _panels(len(groups))
    for axes, (setting, lines) in zip(panels, groups.items()):
        oracle = next((one.groups('returns') for one in lines if one.method == ORACLE), [])
        if oracle and np.isnan(ratio_interval(oracle, oracle)[0]):
            oracle = []
        bars = [_normalised(line, oracle) for line in lines]
        _bars(axes, lines, np.array(bars), [METHODS[line.method].label for line in lines])
        axes.set(title=setting.title, ylabel='return / MB oracle' if oracle else 'return')
    return _finished(plot)


def variants_plot(figure: Figure, results: Results) -> Plot:
    """Returns of every variant."""
    groups = by_setting(results.lines(figure))
    longest = max(len(line.label) for lines in groups.values() for line in lines)
    widest = max(map(len, groups.values()))
    plot, panels = _panels(len(groups), max(PANEL, 0.2 * widest), PANEL + 0.06 * longest)
    for axes, (setting, lines) in zip(panels, groups.items()):
        values = np.array([interval95(line.returns()) for line in lines])
        _bars(axes, lines, _about(values), [line.label for line in lines])
        axes.set(title=setting.title, ylabel='return')
    return _finished(plot)


def recovery_plot(figure: Figure, results: Results) -> Plot:
    """Errors about the moment of a fault; below, which part of those that rose is back."""
    lines = [line for line in results.lines(figure) if line.numbers('fault_step')]
    groups = by_setting(lines)
    plot = Plot(figsize=(max(5.0, 1.5 * PANEL * len(groups)), 2 * PANEL))
    panels = plot.subplots(2, max(1, len(groups)), squeeze=False)
    for column, (setting, shown) in enumerate(groups.items()):
        upper, lower = panels[0][column], panels[1][column]
        fault = int(shown[0].numbers('fault_step')[0])
        for line in shown:
            colour = METHODS[line.method].colour
            times, curve = _over_time(line, 'errors', 'after')
            upper.plot(times - fault, curve, color=colour, lw=1.3, label=line.label)
            for name, style in (('trained', ':'), ('adapted', '-')):
                steps, shares = _back_by(line, name)
                lower.step(steps, shares, where='post', color=colour, ls=style, lw=1.3)
            lower.axvline(line.numbers('past_steps')[0], color=colour, lw=0.8, ls='--')
        upper.axvline(0, color='black', lw=0.8, ls='--')
        upper.set(title=setting.title, xlim=(-AROUND_FAULT / 3, AROUND_FAULT), yscale='log')
        lower.set(xlim=(0, AROUND_FAULT), ylim=(0, 1.02),
                  xlabel='control steps after the fault (dashed: T1)')  # fmt: skip
    panels[0][0].set_ylabel('T2-step error, adapted')
    panels[1][0].set_ylabel('share back (dotted: as trained)')
    return _finished(plot, legend=True)


def _back_by(line: Line, name: str) -> tuple[list[float], list[float]]:
    """Return after which steps which part of the episodes that rose was back; none: nothing."""
    risen = [getattr(one, name).steps for one in line.recoveries() if one.rose]
    if not risen:
        return [], []
    back = sorted(steps for steps in risen if steps < np.inf)
    shares = [(place + 1) / len(risen) for place in range(len(back))]
    end = max([*back, AROUND_FAULT])
    return [0.0, *back, end], [0.0, *shares, shares[-1] if shares else 0.0]


def _over_time(line: Line, *keys: str) -> tuple[Array, Array]:
    """Return control steps and errors, the mean over training seeds."""
    curves = line.groups(*keys, 'over_time')
    length = min(map(len, curves))
    first, block = (int(line.numbers(*keys[:-1], key)[0]) for key in ('first_moment', 'block'))
    steps = first + block * (np.arange(length, dtype=np.float64) + 0.5)
    return steps, np.asarray(np.mean([curve[:length] for curve in curves], 0))


def _normalised(line: Line, oracle: list[list[float]]) -> tuple[float, float, float]:
    """Return a value and its interval."""
    if oracle:
        return ratio_interval(line.groups('returns'), oracle, line.method == ORACLE)
    mean, half = interval95(line.returns())
    return mean, mean - half, mean + half


def _about(values: Array) -> Array:
    """Return means and intervals [., 3] from means and half widths [., 2]."""
    mean, half = values.T
    return np.stack([mean, mean - half, mean + half], 1)


def _bars(axes: Axes, lines: list[Line], values: Array, labels: list[str]) -> None:
    """Draw bars with values [., 3]: value, and the ends of its interval.

    A bar that would dwarf all others is cut off, with its value on it.
    """
    places = np.arange(len(lines))
    colours = [METHODS[line.method].colour for line in lines]
    axes.bar(places, values[:, 0], 0.75, color=colours)
    ends = np.abs(values[:, 1:] - values[:, :1]).T
    axes.errorbar(places, values[:, 0], ends, color='black', fmt='none', capsize=2, lw=1)
    axes.set_xticks(places, labels, rotation=90, fontsize=8)
    tall = _tall(values[:, 0])
    top = 1.1 * values[~tall].max()
    tall &= values[:, 0] > 2 * top
    if not tall.any():
        return
    axes.set_ylim(top=top)
    for place, value in zip(places[tall], values[tall, 0]):
        text = f'{value:.0f} >' if value >= 100 else f'{value:.1f} >'
        axes.text(place, 0.95 * top, text, color='white', rotation=90,
                  ha='center', va='top', fontsize=9)  # fmt: skip


def _tall(values: Array) -> NDArray[np.bool_]:
    """Return which values [.] are far above what is usual among them."""
    return np.asarray(values > TALL * np.median(np.abs(values)))


def _panels(count: int, width: float = PANEL, height: float = PANEL) -> tuple[Plot, list[Axes]]:
    """Return a plot with so many panels, in rows of about 15 inches."""
    columns = max(1, min(count, int(15 / width)))
    rows = -(-count // columns)
    plot = Plot(figsize=(max(5.0, width * columns), height * rows))
    panels = plot.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.remove()
    return plot, list(panels[:count])


def _finished(plot: Plot, legend: bool = False) -> Plot:
    for axes in plot.axes:
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    if legend:
        # Of all panels: a method may be missing from the first.
        shown = {
            label: handle
            for axes in plot.axes
            for handle, label in zip(*axes.get_legend_handles_labels())
        }
        plot.legend(shown.values(), shown.keys(), frameon=False, ncols=4, fontsize=8,
                    loc='lower center', bbox_to_anchor=(0.5, 1.0))  # fmt: skip
    plot.tight_layout()
    return plot


PLOTS = {
    'errors': errors_plot,
    'curve': curve_plot,
    'normalised': normalised_plot,
    'variants': variants_plot,
    'recovery': recovery_plot,
}
