# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The emergency stop of a node: the topic e_stop, and the services ~/e_stop and ~/release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from mbmrl_ros.nodes.common.inputs import subscribe_to_latched
from mbmrl_ros.nodes.common.node_resources import NodeResources


def offer_e_stop(
    resources: NodeResources, stop: Callable[[str], object], release: Callable[[], str | None]
) -> None:
    """Let topic (true) and service latch the stop; ~/release alone unlatches it.

    stop: gets where it came from. release: returns why it stays latched; None if it does not.
    """

    def on_message(message: Bool) -> None:
        if message.data:
            stop('emergency stop by topic')

    def on_stop(request: Any, response: Any) -> Any:
        stop('emergency stop by service')
        response.success, response.message = True, 'latched; ~/release unlatches it'
        return response

    def on_release(request: Any, response: Any) -> Any:
        problem = release()
        response.success, response.message = problem is None, problem or 'released'
        return response

    subscribe_to_latched(resources, Bool, 'e_stop', on_message)
    resources.service(Trigger, '~/e_stop', on_stop)
    resources.service(Trigger, '~/release', on_release)
