# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded functions: the handling of memory with a stand-in for the graph, the rest on a GPU."""

import contextlib
import dataclasses
from typing import NamedTuple

import pytest
import torch

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, GradientAdapter, NoAdaptation
from mbmrl_ros.adaptation.ensemble import EnsembleAdapter
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.adaptation.recurrent import RecurrentAdapter
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.mean import MeanDynamics, by_robot
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.planners.cem import CEM, CEMConfig
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.robot import cuda_graph
from mbmrl_ros.robot.adaptive_mpc import AdaptiveModel, AdaptiveMPC
from mbmrl_ros.robot.cuda_graph import CudaGraph, map_tensors, tensors
from mbmrl_ros.types import Transitions

STATE, ACTION, PAST = 4, 2, 6


class Pair(NamedTuple):
    first: torch.Tensor
    second: None


@dataclasses.dataclass(frozen=True)
class Record:
    value: torch.Tensor
    name: str


class StandIn:
    """Records by remembering the function, and replays into the memory of the recording."""

    recordings = 0

    def register_generator_state(self, generator):
        self.generator = generator

    def replay(self):
        fresh = self.owner._function(*self.owner._arguments)
        for static, value in zip(tensors(self.owner._results), tensors(fresh)):
            static.copy_(value)


@pytest.fixture
def stand_in(monkeypatch):
    """Let CudaGraph run on the CPU."""
    StandIn.recordings = 0

    @contextlib.contextmanager
    def recording(graph):
        StandIn.recordings += 1
        yield

    class Stream:
        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, 'Stream', Stream)
    monkeypatch.setattr(torch.cuda, 'current_stream', Stream)
    monkeypatch.setattr(torch.cuda, 'stream', lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, 'CUDAGraph', StandIn)
    monkeypatch.setattr(torch.cuda, 'graph', recording)
    original = CudaGraph._record

    def record(self, arguments):
        state = self._generator.get_state()
        original(self, arguments)
        self._graph.owner = self
        # Recording draws nothing.
        self._generator.set_state(state)

    monkeypatch.setattr(cuda_graph.CudaGraph, '_record', record)


def test_trees_keep_their_shape():
    tree = ({'a': torch.zeros(2)}, Pair(torch.ones(1), None), Record(torch.ones(3), 'x'), None)
    doubled = map_tensors(lambda tensor: 2 * tensor, tree)
    assert isinstance(doubled[1], Pair)
    assert isinstance(doubled[2], Record)
    assert doubled[2].name == 'x'
    assert doubled[3] is None
    assert [float(tensor.sum()) for tensor in tensors(doubled)] == [0.0, 2.0, 6.0]


def test_a_replay_takes_new_values_and_new_random_numbers_and_gives_results_away(stand_in):
    generator = torch.Generator().manual_seed(0)

    def function(value):
        return value + torch.rand(3, generator=generator)

    recorded = CudaGraph(function, generator)
    results = [recorded(torch.full((3,), float(i))) for i in range(3)]
    fresh = torch.Generator().manual_seed(0)
    for i, result in enumerate(results):
        torch.testing.assert_close(result, i + torch.rand(3, generator=fresh))
    assert StandIn.recordings == 1


def test_another_shape_is_recorded_anew(stand_in):
    recorded = CudaGraph(lambda value: value.sum(), torch.Generator())
    assert [float(recorded(torch.ones(n))) for n in (2, 2, 5, 5)] == [2, 2, 5, 5]
    assert StandIn.recordings == 2


ADAPTERS = pytest.mark.parametrize(
    'adapter',
    [
        'none',
        'grbal',
        'grbal_judged',
        'grbal_inputs',
        'dynamic_evaluation',
        'rebal_window',
        'rebal_episode',
        'ensemble',
    ],
)


def make_mpc(adapter_name: str, planner_name: str, device: torch.device) -> AdaptiveMPC:
    """Return a small controller of two robots on a device."""
    normalizer = Normalizer(*(each.to(device) for each in vars(Normalizer.identity(4)).values()))
    dynamics = MLPDynamics(STATE, ACTION, (1, 2, 3), (16, 16), normalizer)
    params = dynamics.init(torch.Generator().manual_seed(0))
    params = {name: value.to(device) for name, value in params.items()}
    sizes = {k: v.to(device) for k, v in uniform_step_sizes(params, 0.05).items()}
    if adapter_name.startswith('rebal'):
        dynamics = RecurrentDynamics(STATE, ACTION, (1, 2, 3), (16, 8), normalizer)
        params = dynamics.init(torch.Generator().manual_seed(0))
        params = {name: value.to(device) for name, value in params.items()}
    penalty = None
    if adapter_name == 'ensemble':
        members = {k: torch.stack([v, 0.9 * v]) for k, v in params.items()}
        statistics = {k: torch.stack([v, v]) for k, v in vars(normalizer).items()}
        member = dataclasses.replace(dynamics, normalizer=Normalizer(**statistics))
        dynamics = MeanDynamics(member, 0.5)
        params, penalty = by_robot(members, 2), dynamics.penalty
        rows = GradientAdapter(dynamics.of_rows(4).loss, params, sizes, 2)
    adapter = {
        'ensemble': lambda: EnsembleAdapter(2, lambda batch: rows),
        'rebal_window': lambda: RecurrentAdapter(dynamics, params, 'window', PAST),
        'rebal_episode': lambda: RecurrentAdapter(dynamics, params, 'episode', PAST),
        'none': lambda: NoAdaptation(dynamics.loss, params),
        'grbal': lambda: GradientAdapter(dynamics.loss, params, sizes, 2),
        'grbal_judged': lambda: GradientAdapter(dynamics.loss, params, sizes, 2, 0.1, 0.05),
        'grbal_inputs': lambda: GradientAdapter(
            dynamics.loss, params, {'scale': sizes['scale']}, 3
        ),
        'dynamic_evaluation': lambda: DynamicEvaluation(dynamics.loss, params, sizes),
    }[adapter_name]()
    planner = {
        'mppi': MPPI(MPPIConfig(candidates=32, horizon=4), ACTION),
        'cem': CEM(CEMConfig(candidates=32, horizon=4), ACTION),
    }[planner_name]
    generator = torch.Generator(device).manual_seed(1)

    def reward(state, action, next_state):
        return next_state[..., 0] - action.square().sum(-1)

    model = AdaptiveModel(dynamics, adapter, PAST, penalty=penalty)
    return AdaptiveMPC(model, planner, reward, generator, batch=2)


def situation(seed: int) -> tuple[Transitions, torch.Tensor, torch.Tensor]:
    """Return a window, of which the second robot may be without one, and a state."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (STATE, ACTION, STATE)
    window = Transitions(*(torch.randn(2, PAST, size, generator=generator) for size in shapes))
    return window, torch.tensor([True, seed % 2 == 0]), torch.randn(2, STATE, generator=generator)


@pytest.mark.parametrize('planner', ['mppi', 'cem'])
@ADAPTERS
def test_a_recorded_controller_decides_as_a_plain_one(adapter, planner, stand_in):
    plain, recorded = (make_mpc(adapter, planner, torch.device('cpu')) for _ in range(2))
    recorded._adapt = CudaGraph(plain._model.adapter.adapt, recorded._generator)
    recorded._plan = CudaGraph(recorded._imagine_and_choose, recorded._generator)
    for tick in range(4):
        expected, decision = (mpc.act(*situation(tick)) for mpc in (plain, recorded))
        torch.testing.assert_close(decision.action, expected.action, rtol=0, atol=1e-6)
        assert torch.equal(decision.adapted.accepted, expected.adapted.accepted)


@ADAPTERS
def test_a_reset_does_not_record_anew(adapter, stand_in):
    mpc = make_mpc(adapter, 'mppi', torch.device('cpu'))
    mpc._adapt = CudaGraph(mpc._model.adapter.adapt, mpc._generator)
    for _ in range(2):
        for tick in range(3):
            mpc.act(*situation(tick))
        mpc.reset()
    assert StandIn.recordings == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('planner', ['mppi', 'cem'])
@ADAPTERS
def test_on_a_gpu_a_recorded_controller_decides_as_a_plain_one(adapter, planner):
    plain, recorded = (make_mpc(adapter, planner, torch.device('cuda')) for _ in range(2))
    plain._adapt, plain._plan = plain._model.adapter.adapt, plain._imagine_and_choose
    for tick in range(4):
        expected, decision = (mpc.act(*situation(tick)) for mpc in (plain, recorded))
        torch.testing.assert_close(decision.action, expected.action, rtol=0, atol=1e-4)
        assert decision.action.device.type == 'cpu'
