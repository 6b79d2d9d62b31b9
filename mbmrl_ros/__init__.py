# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Online adaptation of meta-learned dynamics models, for robots that run ROS 2.

For scripts, `import mbmrl_ros as mb` (docs/python.md):

    agent = mb.load('pr2_left_arm/reach/grbal')
    env = mb.make('pr2_left_arm/reach', setting='mid_run')
    state, _ = env.reset(seed=0)
    state, reward, terminated, truncated, info = env.step(agent.act(state))

What is named in `__all__` is the interface; all else may change. A name is imported when it is
first used, so that the import itself takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mbmrl_ros.system.machine import wait_passively as _wait_passively

if TYPE_CHECKING:
    from mbmrl_ros.api.agent import Adaptation, Agent, Planned, load
    from mbmrl_ros.api.lists import list_bundles, list_tasks
    from mbmrl_ros.api.training import train
    from mbmrl_ros.envs.gym import make
    from mbmrl_ros.envs.vector import make_vec
    from mbmrl_ros.system.endings import UserError

__version__ = '0.1.0'

__all__ = [
    'Adaptation', 'Agent', 'Planned', 'UserError', 'list_bundles', 'list_tasks', 'load', 'make',
    'make_vec', 'train',
]  # fmt: skip

_MODULES = {
    'Adaptation': 'api.agent',
    'Agent': 'api.agent',
    'Planned': 'api.agent',
    'load': 'api.agent',
    'make': 'envs.gym',
    'make_vec': 'envs.vector',
    'list_bundles': 'api.lists',
    'list_tasks': 'api.lists',
    'train': 'api.training',
    'UserError': 'system.endings',
}

# Here, since this runs before any module of the package imports torch.
_wait_passively()


def __getattr__(name: str) -> Any:
    """Import what is named, when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
