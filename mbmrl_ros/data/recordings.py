# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A dataset of recorded sessions: what `mbmrl bag` writes and offline training reads.

manifest.json                  for which robot, what was kept, what was dropped and why
<session>.safetensors          trajectories of one bag
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from mbmrl_ros import __version__
from mbmrl_ros.config import Config, UserError, write_text
from mbmrl_ros.data.dataset import Trajectory, load_trajectories, save_trajectories
from mbmrl_ros.spec.model_text import why_damaged
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.system.explain import explain
from mbmrl_ros.system.outputs import as_json, reason

MANIFEST = 'manifest.json'
PARTIAL = '.partial'


class Account(Config):
    """Where the time of recordings went, in seconds and in trajectories."""

    seconds: float = Field(description='length of the recording [s]')
    kept_s: float = Field(description='of it, in trajectories [s]')
    dropped_s: dict[str, float] = Field(
        description='the rest by reason [s]; with `kept_s` it adds up to `seconds`'
    )
    trajectories: int = Field(description='pieces that were kept')
    transitions: int = Field(description='control steps in them')


class SessionAccount(Account):
    """One bag."""

    name: str = Field(description='of the bag, and of its file in the dataset')
    messages: dict[str, int] = Field(description='that were read, by topic')
    refused: dict[str, int] = Field(description='messages that held no reading, by reason')
    damage: str = Field(description='what is wrong with the bag; empty if it is whole')
    notes: tuple[str, ...] = Field(
        (), description='what is odd, though nothing was dropped for it'
    )


class Manifest(Config):
    """manifest.json."""

    format: Literal[1] = Field(1, description='of the dataset')
    robot: str = Field(description='name of the robot file that the bags were read by')
    robot_hash: str = Field(
        description='first 16 digits of the SHA-256 of what matters of it: channels, period, '
        'action and its limits; a training with another robot file refuses the dataset'
    )
    period_s: float = Field(description='between two control steps [s]')
    shortest_steps: int = Field(description='`--shortest`: steps that a piece must have')
    package_version: str = Field(__version__, description='of mbmrl_ros that wrote it')
    total: Account = Field(description='of all bags')
    sessions: tuple[SessionAccount, ...] = Field(description='a bag each')
    unreadable: dict[str, str] = Field(description='bags that were left out, and why')
    reasons: dict[str, str] = Field(description='what the keys of `dropped_s` mean')


class Session(NamedTuple):
    """The trajectories of one bag."""

    name: str
    trajectories: list[Trajectory]


def total(accounts: list[SessionAccount]) -> Account:
    """Add accounts up."""
    reasons = dict.fromkeys(reason for account in accounts for reason in account.dropped_s)
    return Account(
        seconds=sum(account.seconds for account in accounts),
        kept_s=sum(account.kept_s for account in accounts),
        dropped_s={
            reason: sum(account.dropped_s.get(reason, 0.0) for account in accounts)
            for reason in reasons
        },
        trajectories=sum(account.trajectories for account in accounts),
        transitions=sum(account.transitions for account in accounts),
    )


def check_empty(folder: Path) -> None:
    """Refuse a folder that holds something already: UserError."""
    if folder.exists() and (not folder.is_dir() or {*os.listdir(folder)} - {PARTIAL}):
        raise UserError(f'{folder} is not an empty folder; choose another --out, or remove it')


def save_recordings(folder: Path, manifest: Manifest, sessions: list[Session]) -> None:
    """Write a dataset, which appears whole or not at all; UserError if it cannot be written."""
    check_empty(folder)
    # Within the folder, which may be a link, or where another file system begins.
    partial, made = folder / PARTIAL, not folder.exists()
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for session in sessions:
            save_trajectories(_file(partial, session.name), session.trajectories)
        write_text(partial / MANIFEST, as_json(manifest.model_dump()))
        # The manifest last: without it a folder is no dataset.
        for path in sorted(partial.iterdir(), key=lambda path: path.name == MANIFEST):
            path.rename(folder / path.name)
    except OSError as error:
        raise UserError(f'cannot write {folder}: {reason(error)}') from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):  # it holds the dataset
                folder.rmdir()


def load_manifest(folder: Path) -> Manifest:
    """Read manifest.json; UserError if there is none, or of another format."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(json.loads(path.read_bytes().decode('utf-8-sig')))
    except OSError as error:
        raise UserError(
            f'{folder} is no dataset of recordings ({MANIFEST} cannot be read); '
            'make one with: mbmrl bag BAG --robot ROBOT --out DIR'
        ) from error
    except ValidationError as error:
        what = explain(Manifest, error.errors()[0])
        raise UserError(f'{path} is damaged or of another format: {what}') from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{path} is damaged or of another format: {why_damaged(path, error)}'
        ) from error


def load_recordings(folder: Path, spec: RobotSpec) -> list[Session]:
    """Read the sessions that hold trajectories; UserError if they are of another robot."""
    manifest = load_manifest(folder)
    if manifest.robot_hash != spec.hash:
        raise UserError(
            f'{folder} was made for robot {manifest.robot} with other channels, period or limits '
            f'than {spec.name} has now; make it again with: mbmrl bag'
        )
    return [
        Session(account.name, load_trajectories(_file(folder, account.name)))
        for account in manifest.sessions
        if account.trajectories
    ]


def _file(folder: Path, session: str) -> Path:
    return folder / f'{session}.safetensors'
