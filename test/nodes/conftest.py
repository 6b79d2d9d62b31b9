# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bench: nodes under test in this process or in processes of their own, and who watches them."""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
import torch
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from node_process import NodeProcess
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from mbmrl_ros.bundles.dynamics import Bundle, BundleInfo, save_bundle
from mbmrl_ros.models.dynamics import build_dynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.messages import MESSAGES, sensor_writer
from mbmrl_ros.nodes.controller import controller_node
from mbmrl_ros.nodes.gate import gate_node
from mbmrl_ros.nodes.simulator import sim_node
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system import machine

SPEC = load_robot('half_cheetah')
# For something to happen on a quiet machine; a busy one gets more, by its load.
PATIENCE_S = 30.0
ANSWER_S = 1.5
# A controller computes in a thread beside the executor of everything else here. An operation of
# torch lets the interpreter go, and by default waits up to 5 ms to have it back, for each of its
# hundred operations a tick; on a robot there is a process for each node.
SWITCH_S = 2e-4
PAST_STEPS = 8
SMALL = (32, 32)


def tiny_bundle(folder: Path, spec: RobotSpec = SPEC, seed: int = 0, **changes: Any) -> Path:
    """Write an untrained bundle that is fast."""
    normalizer = Normalizer.identity(spec.state_size)
    dynamics = build_dynamics(spec, SMALL, normalizer)
    params = dynamics.init(torch.Generator().manual_seed(seed))
    values: dict[str, Any] = {
        'algorithm': 'grbal',
        'task': 'half_cheetah/disabled_joint',
        'robot': spec.name,
        'robot_hash': spec.hash,
        'interface': json.loads(json.dumps(spec.interface)),
        'hidden_sizes': SMALL,
        'past_steps': PAST_STEPS,
        'future_steps': 8,
        'inner_steps': 1,
        'precision': 'float32',
        'planner': MPPIConfig(candidates=64, horizon=5),
        'training': {},
        'metrics': {},
    }
    info = BundleInfo(**(values | changes))
    steps = {name: torch.tensor(0.01) for name in params}
    save_bundle(folder, Bundle(info, dynamics, params, steps))
    return folder


class Robot:
    """The sensors of a robot that stands still, published at its period."""

    def __init__(self, node: Any, spec: RobotSpec = SPEC) -> None:
        self._writers = {topic: sensor_writer(spec, topic) for topic in spec.topics}
        self._publishers = {
            topic: node.create_publisher(MESSAGES[settings.type], topic, QoSProfile(depth=10))
            for topic, settings in spec.topics.items()
        }
        self._signals = np.zeros(len(spec.signals))
        self._signals[spec.signals.index('odom:pose.pose.orientation.w')] = 1.0
        self._period_ns = round(spec.period_s * 1e9)
        self.stamp_ns = self._period_ns
        self.silent: set[str] = set()
        self.spoil: Callable[[str, Any], None] = lambda topic, message: None
        node.create_timer(spec.period_s, self._publish)

    def _publish(self) -> None:
        self.stamp_ns += self._period_ns
        for topic, publisher in self._publishers.items():
            if topic not in self.silent:
                message = self._writers[topic](self._signals, self.stamp_ns)
                self.spoil(topic, message)
                publisher.publish(message)


class Bench:
    """An executor, a node that watches, and everything that has to be cleared away."""

    def __init__(self, log: Path, bundle: Path) -> None:
        self.bundle = bundle
        self._log = log
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.node = rclpy.create_node('bench', context=self.context)
        self.executor.add_node(self.node)
        self._nodes: list[ManagedNode] = []
        self._processes: list[NodeProcess] = []
        self._statuses: dict[str, Any] = {}
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._on_status, 100)

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            self._statuses[status.name] = (status.level, status.message, values)

    def _start(
        self,
        make: Any,
        defaults: dict[str, Any],
        given: dict[str, Any],
        namespace: str,
        remap: dict[str, str] | None = None,
    ) -> ManagedNode:
        overrides = [
            Parameter(name.replace('__', '.'), value=value)
            for name, value in (defaults | given).items()
        ]
        rules = [part for rule in (remap or {}).items() for part in ('-r', ':='.join(rule))]
        node = make(
            context=self.context,
            parameter_overrides=overrides,
            namespace=namespace,
            cli_args=['--ros-args', *rules],
        )
        self._nodes.append(node)
        self.executor.add_node(node)
        for transition in (node.trigger_configure, node.trigger_activate):
            assert transition() == TransitionCallbackReturn.SUCCESS, node.problem
        return node

    def sim(self, namespace: str = '', **parameters: Any) -> ManagedNode:
        """Start a simulator in this process."""
        return self._start(sim_node.make_node, {'seed': 1}, parameters, namespace)

    def controller(self, namespace: str = '', **parameters: Any) -> ManagedNode:
        """Start a controller in this process."""
        # How many candidates fit is for the tests that are about it, or they would depend on the
        # machine.
        defaults = {'bundle': str(self.bundle), 'threads': 1, 'seed': 1, 'budget__share': 0.0}
        return self._start(controller_node.make_node, defaults, parameters, namespace)

    def gate(
        self, namespace: str = '', remap: dict[str, str] | None = None, **parameters: Any
    ) -> ManagedNode:
        """Start a gate in this process. remap: topics to other names."""
        return self._start(gate_node.make_node, {}, parameters, namespace, remap)

    def process(self, name: str, *arguments: str, **parameters: Any) -> NodeProcess:
        """Start a node in a process of its own."""
        given = ['--ros-args', *arguments]
        for key, value in parameters.items():
            given += ['-p', f'{key}:={json.dumps(value)}']
        log = self._log / f'{name}{len(self._processes)}'
        process = NodeProcess(EXECUTABLES[name], given, log)
        self._processes.append(process)
        return process

    def output(self) -> str:
        """Return what the processes have printed."""
        return '\n'.join(path.read_text() for path in sorted(self._log.iterdir()))

    def listen(self, kind: Any, topic: str, depth: int = 1000) -> list[Any]:
        """Return the list that messages of a topic will be added to."""
        received: list[Any] = []
        self.node.create_subscription(kind, topic, received.append, QoSProfile(depth=depth))
        return received

    def until(self, condition: Callable[[], Any], what: str = '') -> None:
        """Spin until something is so."""
        end = time.monotonic() + PATIENCE_S * machine.slowness()
        while not condition():
            assert time.monotonic() < end, f'{what}\n{self._statuses}\n{self._last_words()}'
            self.executor.spin_once(timeout_sec=0.05)

    def _last_words(self) -> str:
        """Return what the processes have printed, and where those that run are in their code."""
        for process in self._processes:
            process.send_signal(signal.SIGABRT)
        for process in self._processes:
            process.wait()
        return self.output()

    def call(self, kind: Any, name: str, **fields: Any) -> Any:
        """Call a service and return its response.

        Asked anew after a while: a server may know of a request before it knows where to answer.
        """
        client = self.node.create_client(kind, name)
        self.until(client.service_is_ready, f'no service {name}')
        end = time.monotonic() + PATIENCE_S * machine.slowness()
        while True:
            future = client.call_async(kind.Request(**fields))
            again = time.monotonic() + ANSWER_S
            while not future.done() and time.monotonic() < again:
                self.executor.spin_once(timeout_sec=0.05)
            if future.done():
                self.node.destroy_client(client)
                return future.result()
            assert time.monotonic() < end, f'no answer of {name}'

    def status(self, task: str) -> tuple[bytes, str, dict[str, str]]:
        """Return the newest level, message and values of a node's diagnostics."""
        found = [status for name, status in self._statuses.items() if name.endswith(f': {task}')]
        return found[0] if found else (b'', '', {})

    def until_status(self, task: str, condition: Callable[[str, dict[str, str]], Any]) -> None:
        """Spin until the diagnostics say something that they have not said before."""
        self._statuses.clear()

        def met() -> bool:
            _, message, values = self.status(task)
            return bool(values) and bool(condition(message, values))

        self.until(met, f'status of {task}')

    def close(self) -> None:
        """Stop everything."""
        for node in self._nodes:
            node.stop()
            node.close()
            node.destroy_node()
        for process in self._processes:
            process.kill()
            process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        self.context.destroy()
        # Nodes are in reference cycles, and what they hold keeps the DDS participant. Within the
        # range LOCALHOST only 32 find each other on a machine: a suite that leaves them to the
        # garbage collector runs out.
        self._nodes.clear()
        gc.collect()


def open_sockets() -> int:
    """Return how many this process has; a DDS participant has about five."""
    links = [os.path.realpath(link) for link in Path('/proc/self/fd').iterdir()]
    return sum('socket:' in link for link in links)


@pytest.fixture(scope='session')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for the half-cheetah, untrained."""
    return tiny_bundle(tmp_path_factory.mktemp('bundle') / 'grbal')


@pytest.fixture
def make_bundle() -> Callable[..., Path]:
    """How to write a bundle that is different."""
    return tiny_bundle


@pytest.fixture
def bench(tmp_path: Path, bundle: Path) -> Iterator[Bench]:
    """A place to try nodes out."""
    log = tmp_path / 'log'
    log.mkdir()
    if open_sockets() > 10:
        gc.collect()
    assert open_sockets() < 60, 'a dozen participants of earlier tests are still there'
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    bench = Bench(log, bundle)
    yield bench
    bench.close()
    sys.setswitchinterval(usual_s)


@pytest.fixture
def robot(bench: Bench) -> Robot:
    """A robot whose sensors the test has in its hands."""
    return Robot(bench.node)


@pytest.fixture
def slow_spec() -> RobotSpec:
    """The half-cheetah at 10 Hz, for tests in which no period may be missed.

    A window of transitions has no gaps, and at 100 Hz a slow machine never fills one while it
    does everything else of a test as well.
    """
    data = SPEC.model_dump(mode='json') | {'period_s': 0.1}
    for topic in data['topics'].values():
        topic['timeout_s'] = 0.5
    data['action']['timeout_s'] = data['safety']['deadline_s'] = 0.5
    return RobotSpec.model_validate(data)


@pytest.fixture
def slow_robot(bench: Bench, slow_spec: RobotSpec, tmp_path: Path) -> tuple[Robot, dict[str, str]]:
    """The sensors of the robot at 10 Hz, and what a controller of it is started with."""
    path = tmp_path / 'slow.yaml'
    path.write_text(yaml.safe_dump(slow_spec.model_dump(mode='json')))
    bundle = tiny_bundle(tmp_path / 'slow', spec=slow_spec)
    return Robot(bench.node, slow_spec), {'robot': str(path), 'bundle': str(bundle)}
