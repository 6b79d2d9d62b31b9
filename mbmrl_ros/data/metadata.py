# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml of rosbag2: a claim, held against what the storage files hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import yaml

from mbmrl_ros.data.contents import Contents, one_line
from mbmrl_ros.data.storage import COMPRESSED, plain_name, storage_kind

METADATA = 'metadata.yaml'
_SHOWN = 3


class Claim(NamedTuple):
    """What metadata.yaml says. files: names. counts: messages by topic."""

    storage: str
    files: tuple[str, ...]
    counts: Counter[str]


def read_claim(folder: Path, contents: Contents) -> Claim | None:
    """Read metadata.yaml of any version; None and a word in `contents.damage` if there is none."""
    try:
        data = yaml.safe_load((folder / METADATA).read_bytes())
        return _claim(data['rosbag2_bagfile_information'])
    except FileNotFoundError:
        contents.damage.append(f'it has no {METADATA}')
    except (yaml.YAMLError, OSError) as error:
        contents.damage.append(f'{METADATA} cannot be used: {one_line(error)}')
    except Exception:  # of other keys and types than those of rosbag2
        contents.damage.append(f'{METADATA} cannot be used: it is not what rosbag2 writes')
    return None


def _claim(data: dict[str, Any]) -> Claim:
    counts: Counter[str] = Counter()
    for entry in data.get('topics_with_message_count') or ():
        counts[str(entry['topic_metadata']['name'])] += int(entry['message_count'])
    # Old bags name the folder too, and folders are renamed.
    files = [PurePath(str(name)).name for name in data['relative_file_paths']]
    return Claim(str(data.get('storage_identifier') or ''), tuple(files), counts)


def chosen_files(claim: Claim | None, files: list[Path], contents: Contents) -> list[Path]:
    """Return which files of a folder belong to its bag: those that are named, if one is there."""
    if claim is None:
        return files
    named = {plain_name(name) for name in claim.files}
    chosen = [file for file in files if plain_name(file.name) in named]
    found = {plain_name(file.name) for file in chosen}
    lost = [name for name in claim.files if plain_name(name) not in found]
    if lost:
        contents.damage.append(f'{METADATA} names {", ".join(lost)}, not there')
    if not chosen:
        return files
    others = [file.name for file in files if file not in chosen]
    if others:
        contents.damage.append(
            f'not read: {", ".join(others)}, which {METADATA} does not name (rename {METADATA} to '
            'have all files read)'
        )
    return chosen


def check_claim(claim: Claim | None, files: list[Path], contents: Contents) -> None:
    """Say where metadata.yaml and the files that were read differ."""
    if claim is None:
        return
    kinds = {kind for file in files if (kind := _kind(file))} - {*COMPRESSED}
    if kinds and claim.storage not in kinds:
        contents.damage.append(
            f'{METADATA} says storage {claim.storage!r}, it is {", ".join(sorted(kinds))}'
        )
    found: Counter[str] = Counter()
    for (topic, _), count in contents.counts.items():
        found[topic] += count
    differing = sorted(
        topic for topic in claim.counts | found if claim.counts[topic] != found[topic]
    )
    if differing:
        parts = [f'{found[t]} of {claim.counts[t]} of {t}' for t in differing[:_SHOWN]]
        more = f' and {len(differing) - _SHOWN} topics more' if len(differing) > _SHOWN else ''
        contents.damage.append(
            f'{METADATA} counts {claim.counts.total()} messages, there are {found.total()} '
            f'({", ".join(parts)}{more})'
        )


def _kind(file: Path) -> str:
    try:
        return storage_kind(file)
    except OSError:
        return ''
