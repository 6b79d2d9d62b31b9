# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Has a robot put back between two episodes, by a service; nobody waits for the answer."""

from __future__ import annotations

import time
from typing import Any

from std_srvs.srv import Trigger

from mbmrl_ros.nodes.common.node_resources import NodeResources

# After which it is asked again: a server may know of a request before it knows where to answer.
PATIENCE_S = 2.0
# Until readings of the new state are there, which may be slower than the answer.
PERIODS = 3


class Resets:
    """Asks a service, and says when the robot may be driven again.

    problem: why the robot has not been put back; empty if all is well.
    """

    def __init__(self, resources: NodeResources, service: str, period_s: float) -> None:
        """service: of type Trigger; empty: nobody puts the robot back."""
        self.problem = ''
        self._service, self._settle_s = service, PERIODS * period_s
        self._client = resources.client(Trigger, service) if service else None
        self._future: Any = None
        self._asked_s = self._answered_s = -1.0

    def ask(self) -> None:
        """Forget what was asked for before an episode."""
        self._future, self._answered_s = None, -1.0

    def done(self) -> bool:
        """Whether an episode may begin; asks for what is missing."""
        if self._client is None:
            return True
        now_s = time.monotonic()
        if self._answered_s >= 0:
            settled = now_s - self._answered_s >= self._settle_s
            if settled:
                self.ask()
            return settled
        if self._future is not None and self._future.done():
            answer = self._future.result()
            self.problem = '' if answer.success else f'{self._service}: {answer.message}'
            self._future = None
            if answer.success:
                self._answered_s = now_s
        elif self._future is None or now_s - self._asked_s > PATIENCE_S:
            self._ask(now_s)
        return False

    def _ask(self, now_s: float) -> None:
        if self._client is None or not self._client.service_is_ready():
            self.problem = f'nobody answers {self._service}, which puts the robot back'
            return
        self._future, self._asked_s = self._client.call_async(Trigger.Request()), now_s
