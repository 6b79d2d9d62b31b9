# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The documents: what they link to is there, the site builds, the front page fits on a screen."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / 'docs'
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted(DOCS.rglob('*.md'))]
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
# What results link to is reached from them, settings of algorithms from reference/lists.md.
REACHED = re.compile(r'results/.+/|reference/settings/')


def prose(page: Path, code: str = '') -> str:
    """Return a page without code, in which brackets are no links, or with a word in its place."""
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S)
    text = '\n'.join(line for line in text.split('\n') if not line.startswith('    '))
    return re.sub(r'`[^`\n]*`', code, text)


def anchors(page: Path) -> set[str]:
    """Return what headings of a page are called in links."""
    headings = re.findall(r'^#+ (.*)$', page.read_text(), re.M)
    return {re.sub(r'[^\w\- ]', '', text.lower()).strip().replace(' ', '-') for text in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page):
    for target in LINK.findall(prose(page)):
        if target.startswith(('http://', 'https://')):
            continue
        name, _, anchor = target.partition('#')
        linked = page.parent / name if name else page
        assert linked.is_file(), f'{target} is not there'
        if DOCS in page.parents:
            assert DOCS in linked.resolve().parents, f'{target} is not part of the site'
        if anchor:
            assert anchor in anchors(linked), f'{target}: no such heading'


def entries(nav) -> list[str]:
    """Return the pages in the navigation of mkdocs.yml."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [entry for part in parts for entry in entries(part)]


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose functions are of no concern here."""


Loader.add_multi_constructor('tag:yaml.org,2002:python/name:', lambda loader, suffix, node: suffix)


def test_every_page_is_in_the_navigation_or_reached_from_one_that_is():
    nav = entries(yaml.load((ROOT / 'mkdocs.yml').read_text(), Loader)['nav'])
    assert len(nav) == len(set(nav))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob('*.md')}
    assert set(nav) <= pages
    assert not [page for page in pages - set(nav) if not REACHED.match(page)]
    for algorithm in (DOCS / 'reference' / 'settings').glob('*.md'):
        assert f'settings/{algorithm.name}' in (DOCS / 'reference/lists.md').read_text()


# What is written by scripts, and a list of faults, are looked things up in; the others are read.
LOOKED_UP = {
    page
    for page in PAGES
    if DOCS / 'reference' in page.parents or page.name in ('tables.md', 'faults.md')
}
CLAIMS = [page for page in PAGES if DOCS / 'results' in page.parents and page not in LOOKED_UP]
GUIDES = [page for page in PAGES if page not in LOOKED_UP.union(CLAIMS)]


def sentences(page: Path) -> list[str]:
    """Return what a page says in sentences: no code, tables, headings or pictures."""
    lines = prose(page, code='Code').split('\n')
    text = '\n'.join(line for line in lines if not line.startswith(('|', '#', '<', '![')))
    text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', text)
    parts = [' '.join(part.split()) for part in re.split(r'\n\s*\n|\n(?=\s*(?:-|\d+\.) )', text)]
    end = re.compile(r'(?<=[.:?])[*)_]*\s+(?=[*(]*[A-Z])')
    return [sentence for part in parts for sentence in end.split(part) if sentence]


def is_read_in_minutes(page: Path, words: int, words_of_a_sentence: int) -> None:
    """Assert that a page is short, and its sentences are."""
    said = [word for word in re.findall(r'[^\s|]+', page.read_text()) if set(word) - set('-:')]
    assert len(said) <= words
    longest = max(sentences(page), key=lambda sentence: len(sentence.split()), default='')
    assert len(longest.split()) <= words_of_a_sentence, longest


@pytest.mark.parametrize('page', CLAIMS, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_claim_is_read_in_minutes(page):
    is_read_in_minutes(page, words=1200, words_of_a_sentence=50)


@pytest.mark.parametrize('page', GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_guide_answers_one_question(page):
    is_read_in_minutes(page, words=1500, words_of_a_sentence=40)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_say_what_they_show(page):
    text = prose(page)
    assert not re.findall(r'!\[\]', text)
    assert not re.findall(r'\[\S+\.md\]', text), 'a link names a page by its title'


def test_every_figure_is_on_a_page():
    pages = '\n'.join(page.read_text() for page in [*PAGES, DOCS / 'tour.ipynb'])
    figures = [path for path in DOCS.rglob('*') if path.suffix in ('.png', '.webp', '.svg')]
    assert figures and not [path.name for path in figures if path.name not in pages]


def test_the_front_page_fits_on_a_screen_and_has_what_a_visitor_looks_for():
    page = (ROOT / 'README.md').read_text()
    assert len(page.splitlines()) <= 60
    assert page.index('.webp') < page.index('For you if') < page.index('Not for you if')
    assert page.index('make demo') < page.index('## Limitations') < page.index('TRPO')


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip('mkdocs', reason="the site needs pip install 'mbmrl_ros[docs]'")
    pytest.importorskip('material', reason="the site needs pip install 'mbmrl_ros[docs]'")
    # A copy, so that nothing is written here; without what results are computed from.
    shutil.copy(ROOT / 'mkdocs.yml', tmp_path)
    shutil.copytree(DOCS, tmp_path / 'docs', ignore=shutil.ignore_patterns('*.json', '*.csv'))
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '-d', 'site']
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / 'site' / 'reference' / 'settings' / 'grbal' / 'index.html').exists()
