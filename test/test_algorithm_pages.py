# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pages of algorithms: one form, a figure, the command first, and one for every algorithm."""

import re
from pathlib import Path

import pytest

from mbmrl_ros.algorithms import ALGORITHMS

FOLDER = Path(__file__).resolve().parent.parent / 'docs' / 'algorithms'
# The overview, and the second half of a page.
OTHERS = ('index.md', 'grbal_differences.md')
PAGES = [page for page in sorted(FOLDER.glob('*.md')) if page.name not in OTHERS]
FORM = [
    'What it is for',
    'The box',
    'Settings',
    'What differs from the papers and their code, and why',
]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_form(page):
    top, *sections = re.split(r'^## (.*)\n', page.read_text(), flags=re.M)
    bodies = dict(zip(sections[::2], sections[1::2], strict=True))
    assert list(bodies)[: len(FORM)] == FORM
    assert '    mbmrl train ' in top, 'the command comes first'
    figure = re.search(r'^!\[[^\]]+\]\([^)]+\)\n\n\*[^*]+\*$', bodies[FORM[0]], re.M)
    assert figure, 'a figure with a caption says what it is for'
    assert re.search(r'^    \S', bodies['The box'], re.M)
    assert '|---|' in bodies['Settings']
    assert '|---|' in bodies[FORM[-1]]


def test_every_algorithm_has_a_page():
    text = '\n'.join(page.read_text() for page in PAGES)
    assert not [name for name in ALGORITHMS if not re.search(rf'\b{name}\b', text)]
    assert all(f'({page.name})' in (FOLDER / 'index.md').read_text() for page in PAGES)
