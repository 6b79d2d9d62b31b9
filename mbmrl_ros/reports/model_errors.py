# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the models of an ensemble are off over the horizon, as a figure."""

from __future__ import annotations

from matplotlib.figure import Figure

from mbmrl_ros.evaluation.model_errors import HorizonErrors


def errors_figure(errors: HorizonErrors) -> Figure:
    """Draw the error of each model, and what they disagree by, against the steps ahead."""
    figure = Figure(figsize=(6, 3.8), layout='tight')
    axes = figure.subplots()
    for index, row in enumerate(errors.errors.T.tolist()):
        label = 'models' if index == 0 else None
        axes.plot(errors.horizons, row, color='#555555', lw=1, marker='o', ms=3, label=label)
    axes.plot(errors.horizons, errors.disagreement.tolist(), '--', color='#c25a00', lw=2,
              label='disagreement')  # fmt: skip
    axes.set(xlabel='steps ahead', ylabel='error [standard deviations of states]', xscale='log',
             yscale='log')  # fmt: skip
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
    return figure
