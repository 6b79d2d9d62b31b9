# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Self-contained HTML pages: figures inside, nothing to fetch."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment
from matplotlib.figure import Figure

from mbmrl_ros.config import write_text

_TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
        color: #1b1f24; background: #fff; }
 h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
 img, video { max-width: 100%; height: auto; }
 figcaption, .note { color: #57606a; font-size: .92rem; }
 figure { margin: 1rem 0; } .scroll { overflow-x: auto; }
 table { border-collapse: collapse; margin: .6rem 0; }
 th, td { padding: .3rem .8rem; border-bottom: 1px solid #d0d7de; text-align: right; }
 th:first-child, td:first-child { text-align: left; } thead th { border-bottom-width: 2px; }
 td { font-variant-numeric: tabular-nums; }
</style></head><body><h1>{{ title }}</h1>
{% for line in introduction %}<p>{{ line }}</p>{% endfor %}
{% for section in sections %}<h2>{{ section.title }}</h2>
{% if section.header %}<div class="scroll"><table><thead><tr>
{% for cell in section.header %}<th>{{ cell }}</th>{% endfor %}</tr></thead><tbody>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
{% if section.film %}<figure><video controls autoplay loop muted playsinline
 src="data:video/mp4;base64,{{ section.film }}"></video>
<figcaption>{{ section.caption }}</figcaption></figure>
{% elif section.image %}<figure><img alt="{{ section.caption }}"
 src="data:image/png;base64,{{ section.image }}">
<figcaption>{{ section.caption }}</figcaption></figure>
{% elif section.caption %}<p class="note">{{ section.caption }}</p>{% endif %}
{% endfor %}</body></html>
"""


@dataclass(frozen=True)
class Section:
    """A heading with a table, a figure, a video, or several of them, and what they show."""

    title: str
    caption: str = ''
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figure: Figure | None = None
    video: Path | None = None

    @property
    def film(self) -> str:
        """The video as base64 MP4; empty without one."""
        return '' if self.video is None else base64.b64encode(self.video.read_bytes()).decode()

    @property
    def image(self) -> str:
        """The figure as base64 PNG; empty without one."""
        return '' if self.figure is None else base64.b64encode(png(self.figure)).decode()


@dataclass(frozen=True)
class Page:
    """What goes on a page."""

    title: str
    introduction: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=tuple)


def png(figure: Figure) -> bytes:
    """Render a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110, bbox_inches='tight')
    return buffer.getvalue()


def write_page(path: Path, page: Page) -> Path:
    """Write the page; it appears whole or not at all."""
    template = Environment(autoescape=True).from_string(_TEMPLATE)
    text = template.render(
        title=page.title, introduction=page.introduction, sections=page.sections
    )
    write_text(path, text)
    return path


def settings_section(title: str, settings: Mapping[str, object]) -> Section:
    """Return a table of a configuration."""
    rows = [(key, str(value)) for key, value in settings.items()]
    return Section(title, header=('setting', 'value'), rows=rows)
