# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What TensorBoard shows of a run: a curve for every metric, and the table of its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from mbmrl_ros.config import UserError
from mbmrl_ros.system.outputs import reason


class Board:
    """The folder of a run that TensorBoard reads."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """folder: is made with the first metrics. settings: of the run, for the table."""
        self._folder, self._settings = folder, settings
        self._writer: Any = None

    def log(self, metrics: Mapping[str, float], at: int) -> None:
        """Add a point to every curve; UserError if it cannot be written.

        What was logged there or later of an iteration that was not finished goes.
        """
        try:
            if self._writer is None:
                self._writer = SummaryWriter(str(self._folder), purge_step=at)
                # By `add_hparams` it would be a run of its own, with a point more in every curve.
                table: Any = hparams
                for part in table(dict(flat(self._settings)), dict(metrics)):
                    self._writer.file_writer.add_summary(part)
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, at)
            self._writer.flush()
        except OSError as error:
            raise UserError(f'cannot write {self._folder}: {reason(error)}') from error


def flat(settings: Mapping[str, Any], before: str = '') -> Iterator[tuple[str, Any]]:
    """Yield settings as the table takes them: a name each, a number or text."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f'{before}{name}.')
        else:
            yield f'{before}{name}', value if isinstance(value, int | float | str) else str(value)
