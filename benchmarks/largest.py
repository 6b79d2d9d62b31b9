# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The largest number of candidates that fits a time: python benchmarks/largest.py [--device cuda].

Doubles K until a tick takes longer in the median, then halves the interval down to a twentieth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch

from mbmrl_ros.bench.compare import conditions
from mbmrl_ros.bench.tick import TickSize, bench_tick
from mbmrl_ros.cli.bench import rounded
from mbmrl_ros.models.device import choose_device, choose_precision
from mbmrl_ros.system.outputs import output_file, write_text

PRECISION = 1.05


def main() -> None:
    """Search, print every point, write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--precision', default='auto')
    parser.add_argument('--limit-ms', type=float, default=10.0)
    parser.add_argument('--horizon', type=int, default=15)
    parser.add_argument('--repetitions', type=int, default=21)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', type=output_file)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, message = choose_device(options.device)
    if message:
        print(message)
    precision = choose_precision(options.precision, device)
    points: dict[int, float] = {}

    def fits(candidates: int) -> bool:
        size = TickSize(candidates, options.horizon)
        result = bench_tick(size, precision, device, options.repetitions, peers=False)
        points[candidates] = result['tick_ms']
        print(f'{candidates} x {options.horizon}: {points[candidates]:.3f} ms', flush=True)
        return points[candidates] <= options.limit_ms

    largest = _largest(fits)
    result = {
        'largest_candidates': largest,
        'limit_ms': options.limit_ms,
        'horizon': options.horizon,
        'precision': precision,
        'points': [{'candidates': k, 'tick_ms': points[k]} for k in sorted(points)],
        **conditions(device, options.repetitions),
    }
    text = json.dumps(rounded(result), indent=2)
    print(text)
    if options.json:
        write_text(options.json, text + '\n')


def _largest(fits: Callable[[int], bool]) -> int:
    low, high = 0, 64
    while fits(high):
        low, high = high, 2 * high
    # MPPI needs two candidates.
    while high > PRECISION * max(low, 1) and high - low > 1 and high > 3:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


if __name__ == '__main__':
    main()
