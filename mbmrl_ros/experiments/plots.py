# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of a figure.

What is drawn about a mean is its 95 % interval over training seeds, black and with caps; of one
trained model it is the standard deviation over episodes, grey and without caps, and a line below
the figure says so.
"""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

from mbmrl_ros.experiments.columns import ORACLE
from mbmrl_ros.experiments.recovery import mean_curve
from mbmrl_ros.experiments.results import Line, Results
from mbmrl_ros.experiments.statistics import EDGES, Estimate, estimate, ratio_interval
from mbmrl_ros.experiments.studies import METHODS, Figure
from mbmrl_ros.experiments.tables import by_setting
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.types import Array

PANEL = 3.6
# Control steps that are shown after a fault.
AROUND_FAULT = 300
# A variant has the colour of its method, in a shade of its own.
SHADES = ('-', '--', '-.', ':')
LEGEND = (
    'black with caps: 95 % t-interval over training seeds; '
    'grey: one trained model, standard deviation over its episodes'
)
BEFORE_THE_FAULT = (
    'An error is of the next T2 steps: in the T2 steps before the fault (grey) it rises, since '
    'more and more of them lie after it. Dotted: the model as trained; at 0 no episode is back.'
)
OVER_SEEDS: dict[str, Any] = {'color': 'black', 'capsize': 3, 'lw': 1}
OVER_EPISODES: dict[str, Any] = {'color': '#8c8c8c', 'capsize': 0, 'lw': 2.5, 'alpha': 0.8}
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
            look: dict[str, Any] = {'color': style_of(line.method).colour, 'ls': style}
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
            found = [estimate(groups) for groups in returns]
            mean = np.array([one.mean for one in found])
            ends.append(mean[-1])
            look: dict[str, Any] = {'color': style_of(line.method).colour}
            if len(figure.variants) > 1:
                look['ls'] = SHADES[figure.variants.index(line.variant) % len(SHADES)]
            marker = 's' if len(steps) == 1 else 'o'
            axes.plot(steps, mean, marker=marker, ms=4, label=line.label, zorder=place, **look)
            for step, one in zip(steps, found):
                draw_spread(axes, step, one)
        axes.locator_params(axis='x', nbins=5)
        axes.set(title=setting.title, xlabel='control steps of training')
        axes.set_ylabel('return per episode')
        if _tall(np.array(ends)).any():
            axes.set_yscale('symlog', linthresh=100)
            axes.yaxis.set_major_formatter('{x:.0f}')
            axes.set_ylabel('return per episode (logarithmic beyond 100)')
        _within_means(axes)
    return _finished(plot, legend=True, note=LEGEND)


def normalised_plot(figure: Figure, results: Results) -> Plot:
    """Fig. 33: returns, that of the oracle being 1; plain returns where that may be zero."""
    groups = by_setting(results.lines(figure))
    plot, panels = _panels(len(groups))
    for axes, (setting, lines) in zip(panels, groups.items()):
        oracle = next((one.by_seed('returns') for one in lines if one.method == ORACLE), {})
        if oracle and np.isnan(ratio_interval(oracle, oracle)[0]):
            oracle = {}
        bars = [_normalised(line, oracle) for line in lines]
        _bars(axes, lines, bars, [METHODS[line.method].label for line in lines])
        axes.set(title=setting.title, ylabel='return / MB oracle' if oracle else 'return')
    return _finished(plot, note=f'{LEGEND}; a ratio of single models has neither')


def variants_plot(figure: Figure, results: Results) -> Plot:
    """Returns of every variant."""
    groups = by_setting(results.lines(figure))
    longest = max(len(line.label) for lines in groups.values() for line in lines)
    widest = max(map(len, groups.values()))
    plot, panels = _panels(len(groups), max(PANEL, 0.2 * widest), PANEL + 0.06 * longest)
    for axes, (setting, lines) in zip(panels, groups.items()):
        bars = [_normalised(line, {}) for line in lines]
        _bars(axes, lines, bars, [line.label for line in lines])
        axes.set(title=setting.title, ylabel='return')
    return _finished(plot, note=LEGEND)


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
            colour = style_of(line.method).colour
            times, curve = _over_time(line, 'errors', 'after')
            upper.plot(times - fault, curve, color=colour, lw=1.3, label=line.label)
            for name, style, width in (('adapted', '-', 1.3), ('trained', ':', 3.0)):
                steps, shares = _back_by(line, name)
                # What is never back lies on zero, in all methods: the dotted lines on top.
                lower.step(
                    steps, shares, where='post', color=colour, ls=style, lw=width, zorder=width
                )
            lower.axvline(line.numbers('past_steps')[0], color=colour, lw=0.8, ls='--')
        upper.axvspan(-max(line.numbers('future_steps')[0] for line in shown), 0, color='#eeeeee')
        upper.axvline(0, color='black', lw=0.8, ls='--')
        upper.set(title=setting.title, xlim=(-AROUND_FAULT / 3, AROUND_FAULT), yscale='log')
        lower.set(xlim=(0, AROUND_FAULT), ylim=(-0.04, 1.04),
                  xlabel='control steps after the fault (dashed: T1)')  # fmt: skip
    panels[0][0].set_ylabel('T2-step error, adapted')
    panels[1][0].set_ylabel('share back (dotted: as trained)')
    return _finished(plot, legend=True, note=BEFORE_THE_FAULT)


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
    curve = mean_curve(line.groups(*keys, 'over_time'))
    first, block = (line.numbers(*keys[:-1], key) for key in ('first_moment', 'block'))
    if not first:
        return np.empty(0), np.empty(0)
    return first[0] + block[0] * (np.arange(len(curve), dtype=np.float64) + 0.5), curve


class Bar(NamedTuple):
    """A value and the ends of what is drawn about it; over_seeds: whether that is an interval."""

    value: float
    low: float
    high: float
    over_seeds: bool


def _normalised(line: Line, oracle: dict[int, list[float]]) -> Bar:
    """Return the mean return of a line, or its ratio to the oracle's where there is one."""
    if oracle:
        value, low, high = ratio_interval(line.by_seed('returns'), oracle)
        return Bar(value, low, high, True)
    found = estimate(line.by_seed('returns'))
    half = found.half if found.seeds > 1 else found.std
    return Bar(found.mean, found.mean - half, found.mean + half, found.seeds > 1)


def draw_spread(axes: Axes, place: float, found: Estimate) -> None:
    """Draw what is known about a mean."""
    over_seeds = found.seeds > 1
    half, look = (found.half, OVER_SEEDS) if over_seeds else (found.std, OVER_EPISODES)
    if np.isfinite(half):
        axes.errorbar(place, found.mean, half, fmt='none', **look)


def _within_means(axes: Axes) -> None:
    """Show all means and twice their range: an interval over two seeds may be ten times that."""
    means = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.lines])
    if len(means := means[np.isfinite(means)]):
        middle, reach = (means.max() + means.min()) / 2, np.ptp(means)
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, middle - reach), min(high, middle + reach))


def _bars(axes: Axes, lines: list[Line], bars: list[Bar], labels: list[str]) -> None:
    """Draw bars, and what is known about them.

    A bar that would dwarf all others is cut off, with its value on it; so is an interval.
    """
    places = np.arange(len(lines))
    values = np.array([bar.value for bar in bars])
    axes.bar(places, values, 0.75, color=[style_of(line.method).colour for line in lines])
    for place, bar in zip(places, bars):
        if np.isfinite(bar.low):
            about = [[bar.value - bar.low], [bar.high - bar.value]]
            look = OVER_SEEDS if bar.over_seeds else OVER_EPISODES
            axes.errorbar(place, bar.value, np.abs(about), fmt='none', **look)
    axes.set_xticks(places, labels, rotation=90, fontsize=8)
    tall = _tall(values)
    usual = values[~tall]
    top = 1.1 * usual.max()
    tall &= values > 2 * top
    ends = min(usual.min(), 0.0), max(usual.max(), 0.0)
    reach = 0.5 * (ends[1] - ends[0])
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, ends[0] - reach), top if tall.any() else min(high, ends[1] + reach))
    for place, value in zip(places[tall], values[tall]):
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


def _finished(plot: Plot, legend: bool = False, note: str = '') -> Plot:
    """Finish a plot; note: what its bars of error are, below it."""
    for axes in plot.axes:
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    # A wide plot is shown smaller.
    width = plot.get_figwidth()
    size = min(12.0, max(9.0, 0.9 * width))
    if legend:
        # Of all panels: a method may be missing from the first.
        shown = {
            label: handle
            for axes in plot.axes
            for handle, label in zip(*axes.get_legend_handles_labels())
        }
        plot.legend(shown.values(), shown.keys(), frameon=False, ncols=4, fontsize=size,
                    loc='lower center', bbox_to_anchor=(0.5, 1.0))  # fmt: skip
    plot.tight_layout()
    if note:
        lines = textwrap.fill(note, int(2 * 72 * width / size))
        plot.text(0.5, -0.01, lines, ha='center', va='top', fontsize=size)
    return plot


PLOTS = {
    'errors': errors_plot,
    'curve': curve_plot,
    'normalised': normalised_plot,
    'variants': variants_plot,
    'recovery': recovery_plot,
}
