# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the cells of a notebook in order, and keep what they print and show in it.

    python benchmarks/notebook.py docs/tour.ipynb

A cell shows the value of its last line, where that is a figure or an image.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image


def run_cell(source: str, known: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the outputs of a cell; `known` are its variables, and those of the cells before."""
    tree, last = ast.parse(source), None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(tree, 'cell', 'exec'), known)
        value = None if last is None else eval(compile(last, 'cell', 'eval'), known)
    outputs: list[dict[str, Any]] = []
    if said.getvalue():
        outputs.append({'output_type': 'stream', 'name': 'stdout', 'text': said.getvalue()})
    if (png := as_png(value)) is not None:
        data = {'image/png': base64.b64encode(png).decode()}
        outputs.append({'output_type': 'display_data', 'metadata': {}, 'data': data})
    return outputs


def as_png(value: object) -> bytes | None:
    """Return a figure or an image as PNG; None for all else."""
    buffer = io.BytesIO()
    if isinstance(value, Figure):
        value.savefig(buffer, format='png', dpi=80, bbox_inches='tight')
    elif isinstance(value, Image.Image):
        value.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(buffer, 'png', optimize=True)
    return buffer.getvalue() or None


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('notebook', type=Path)
    path = parser.parse_args().notebook
    notebook, known = json.loads(path.read_text()), {'__name__': 'notebook'}
    codes = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']
    for number, cell in enumerate(codes, 1):
        cell['execution_count'] = number
        cell['outputs'] = run_cell(''.join(cell['source']), known)
    path.write_text(json.dumps(notebook, indent=1) + '\n')


if __name__ == '__main__':
    main()
