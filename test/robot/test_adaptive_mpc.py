# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One tick of Algorithm 10: adapt to the window, plan with what came out."""

import dataclasses

import pytest
import torch

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, GradientAdapter, NoAdaptation
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.adaptation.recurrent import RecurrentAdapter
from mbmrl_ros.models import dynamics as dynamics_module
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.packed import PackedMLP
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig, MPPIState
from mbmrl_ros.planners.random_shooting import RandomShooting, RandomShootingConfig
from mbmrl_ros.robot.adaptive_mpc import AdaptiveModel, AdaptiveMPC
from mbmrl_ros.robot.budget import with_candidates
from mbmrl_ros.types import Adapter, Problem, Root, Transitions

STATE, ACTION, PAST, BATCH = 3, 2, 6, 4
DYNAMICS = MLPDynamics(STATE, ACTION, (0, 1, 2), (16,), Normalizer.identity(STATE))
PARAMS = DYNAMICS.init(torch.Generator().manual_seed(0))
SIZES = uniform_step_sizes(PARAMS, 0.1)
PLANNER = MPPI(MPPIConfig(candidates=32, horizon=5), ACTION)
EVERY = torch.ones(BATCH, dtype=torch.bool)


def reward(state, action, next_state):
    return -next_state.square().sum(-1)


def grbal() -> GradientAdapter:
    return GradientAdapter(DYNAMICS.loss, PARAMS, SIZES)


def make(adapter: Adapter, batch: int = BATCH, reward_fn=reward, seed: int = 0) -> AdaptiveMPC:
    generator = torch.Generator().manual_seed(seed)
    return AdaptiveMPC(
        AdaptiveModel(DYNAMICS, adapter, PAST), PLANNER, reward_fn, generator, batch
    )


def window(seed: int = 0) -> Transitions:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(BATCH, PAST, STATE, generator=generator)
    actions = torch.rand(BATCH, PAST, ACTION, generator=generator) * 2 - 1
    return Transitions(states, actions, states + torch.randn(states.shape, generator=generator))


def start() -> torch.Tensor:
    return torch.randn(BATCH, STATE, generator=torch.Generator().manual_seed(9))


def test_a_tick_adapts_to_the_window_and_plans_with_the_result():
    decision = make(grbal()).act(window(), EVERY, start())
    _, adapted = grbal().adapt(None, window(), EVERY)
    for name, value in adapted.params.items():
        assert torch.equal(decision.adapted.params[name], value)
    _, plan = PLANNER.plan(
        torch.Generator().manual_seed(0),
        PLANNER.initial(BATCH),
        Problem(DYNAMICS.planning_step(adapted.params), reward),
        Root(None, start()),
    )
    assert torch.equal(decision.plan.actions, plan.actions)
    assert torch.equal(decision.action, plan.actions[:, 0])
    assert decision.valid.all()
    assert min(decision.adapt_s, decision.plan_s) > 0
    plain = make(NoAdaptation(DYNAMICS.loss, PARAMS)).act(window(), EVERY, start())
    assert not torch.equal(decision.action, plain.action), 'adaptation matters'


def test_without_a_window_it_plans_with_the_parameters_as_trained():
    attempted = torch.tensor([True, False, True, False])
    adaptive = make(grbal()).act(window(), attempted, start())
    plain = make(NoAdaptation(DYNAMICS.loss, PARAMS)).act(window(), attempted, start())
    # One product for all rows in place of one for each: float32 rounding.
    torch.testing.assert_close(adaptive.action[1], plain.action[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(adaptive.action[3], plain.action[3], rtol=0, atol=1e-5)
    assert not torch.equal(adaptive.action[0], plain.action[0])


def test_rows_do_not_influence_each_other_over_several_ticks():
    for adapter in (grbal(), DynamicEvaluation(DYNAMICS.loss, PARAMS, SIZES)):
        calm, disturbed = make(adapter), make(adapter)
        for tick in range(3):
            before = calm.act(window(tick), EVERY, start())
            past, state = window(tick), start()
            past.next_states[1], state[1] = torch.nan, torch.nan
            after = disturbed.act(past, EVERY, state)
            assert torch.equal(after.action[[0, 2, 3]], before.action[[0, 2, 3]])
            assert after.valid.tolist() == [True, False, True, True]
            assert after.adapted.refused.tolist() == [False, True, False, False]
            assert not after.action[1].any()


def test_a_reset_forgets_warm_start_and_adapters_memory():
    adapter = DynamicEvaluation(DYNAMICS.loss, PARAMS, SIZES)
    # Without random numbers in between, so that only memory can tell the two episodes apart.
    planner = dataclasses.replace(PLANNER, config=MPPIConfig(candidates=2, horizon=5, noise=1e-9))

    def one() -> AdaptiveMPC:
        generator = torch.Generator().manual_seed(0)
        return AdaptiveMPC(
            AdaptiveModel(DYNAMICS, adapter, PAST), planner, reward, generator, BATCH
        )

    mpc, fresh = one(), one()
    for tick in range(3):
        old = mpc.act(window(tick), EVERY, start())
    mpc.reset()
    new, expected = (each.act(window(5), EVERY, start()) for each in (mpc, fresh))
    for name, value in expected.adapted.params.items():
        assert torch.equal(new.adapted.params[name], value)
    torch.testing.assert_close(new.action, expected.action, rtol=0, atol=1e-7)
    assert not torch.equal(new.adapted.params['weight0'], old.adapted.params['weight0'])


def test_the_warm_start_and_the_memory_are_carried_from_tick_to_tick():
    adapter = DynamicEvaluation(DYNAMICS.loss, PARAMS, SIZES)
    mpc = make(adapter)
    generator = torch.Generator().manual_seed(0)
    memory, planner_state = adapter.initial(BATCH), PLANNER.initial(BATCH)
    for tick in range(3):
        decision = mpc.act(window(tick), EVERY, start())
        memory, adapted = adapter.adapt(memory, window(tick), EVERY)
        planner_state, plan = PLANNER.plan(
            generator,
            planner_state,
            Problem(DYNAMICS.planning_step(adapted.params), reward),
            Root(None, start()),
        )
        assert torch.equal(decision.action, plan.actions[:, 0])


def test_an_error_in_the_planner_leaves_the_memory_as_it_was():
    adapter = DynamicEvaluation(DYNAMICS.loss, PARAMS, SIZES)
    broken = [False]

    def fragile(state, action, next_state):
        if broken[0]:
            raise FloatingPointError('a reward that fails')
        return reward(state, action, next_state)

    mpc, calm = make(adapter, reward_fn=fragile), make(adapter)
    for each in (mpc, calm):
        each.act(window(0), EVERY, start())
    broken[0] = True
    try:
        mpc.act(window(1), EVERY, start())
    except FloatingPointError:
        broken[0] = False
    assert not broken[0], 'the error is not swallowed here; the controller answers it'
    after, expected = (each.act(window(2), EVERY, start()) for each in (mpc, calm))
    for name, value in expected.adapted.params.items():
        assert torch.equal(after.adapted.params[name], value)


def test_an_exchanged_planner_keeps_the_warm_start_if_it_fits():
    mpc, fresh = make(grbal()), make(grbal())
    mpc.act(window(), EVERY, start())
    warm = mpc._planner_state.mean
    hotter = MPPI(MPPIConfig(candidates=32, horizon=5, temperature=1.0), ACTION)
    mpc.use_planner(hotter)
    assert torch.equal(mpc._planner_state.mean, warm)
    mpc.use_planner(with_candidates(hotter, 8))
    assert torch.equal(mpc._planner_state.mean, warm)
    assert mpc.act(window(), EVERY, start()).plan.candidates.shape == (BATCH, 8, 5, ACTION)
    mpc._planner_state = MPPIState(warm)
    mpc.use_planner(MPPI(MPPIConfig(candidates=32, horizon=7), ACTION))
    longer = mpc._planner_state.mean
    assert torch.equal(longer[:, :5], warm)
    assert torch.equal(longer[:, 5:], warm[:, -1:].expand(-1, 2, -1)), 'the last action is held'
    mpc.use_planner(MPPI(MPPIConfig(candidates=32, horizon=3), ACTION))
    assert torch.equal(mpc._planner_state.mean, warm[:, :3])
    assert mpc.act(window(), EVERY, start()).valid.all()
    mpc.use_planner(RandomShooting(RandomShootingConfig(candidates=32, horizon=5), ACTION))
    assert mpc._planner_state is None
    mpc.use_planner(PLANNER)
    assert torch.equal(mpc._planner_state.mean, fresh._planner_state.mean)
    assert mpc.act(window(), EVERY, start()).valid.all()


def test_an_exchanged_reward_counts_from_the_next_plan_on_and_keeps_the_warm_start():
    mpc, other = make(grbal()), make(grbal(), reward_fn=lambda s, a, n: 3 * reward(s, a, n))
    for each in (mpc, other):
        each.act(window(), EVERY, start())
    warm = mpc._planner_state.mean
    mpc.use_reward(lambda s, a, n: 3 * reward(s, a, n))
    assert torch.equal(mpc._planner_state.mean, warm)
    # Three times the reward has the same best actions, by returns in standard deviations.
    assert torch.allclose(warm, other._planner_state.mean, atol=1e-5)
    plan, expected = (each.act(window(), EVERY, start()).plan for each in (mpc, other))
    assert torch.allclose(plan.returns, expected.returns, rtol=1e-3)
    assert torch.allclose(plan.actions, expected.actions, atol=1e-3)


def test_an_exchanged_model_is_planned_in_with_its_own_statistics_and_keeps_the_warm_start():
    wide = dataclasses.replace(
        DYNAMICS,
        normalizer=Normalizer(*(value + 1 for value in vars(DYNAMICS.normalizer).values())),
    )
    params = wide.init(torch.Generator().manual_seed(9))
    adapter = GradientAdapter(wide.loss, params, SIZES)
    model = AdaptiveModel(wide, adapter, PAST)
    mpc, state = make(grbal()), torch.ones(BATCH, STATE)
    mpc.act(window(), EVERY, state)
    stream, warm, memory = mpc._generator.get_state(), mpc._planner_state, mpc._memory
    mpc.use_model(model)
    assert mpc._planner_state is warm and mpc._memory is memory
    found = mpc.act(window(), EVERY, state)
    # The same, by one that has known no other model, and no fault.
    fresh = AdaptiveMPC(model, PLANNER, reward, torch.Generator(), BATCH)
    fresh._generator.set_state(stream)
    fresh._planner_state = warm
    wanted = fresh.act(window(), EVERY, state)
    assert torch.equal(found.action, wanted.action)
    assert torch.equal(found.plan.returns, wanted.plan.returns)


def test_another_model_goes_on_from_the_plan_of_the_first():
    mpc, other = make(grbal()), make(NoAdaptation(DYNAMICS.loss, PARAMS))
    mpc.act(window(), EVERY, start())
    other.inherit_warm_start(mpc)
    assert torch.equal(other._planner_state.mean, mpc._planner_state.mean)


def test_a_plan_begins_where_the_robot_will_be_and_without_delay_where_it_is():
    mpc, late = make(grbal()), make(grbal())
    action = torch.full((BATCH, ACTION), 0.5)
    _, ahead = DYNAMICS.step(
        grbal().adapt(None, window(), EVERY)[1].params, None, start()[:, None], action[:, None]
    )
    delayed = late.act(window(), EVERY, start(), [(action, 1.0)])
    there = mpc.act(window(), EVERY, ahead[:, 0])
    assert torch.equal(delayed.start, ahead[:, 0])
    assert torch.equal(delayed.action, there.action)
    at_once = make(grbal()).act(window(), EVERY, start(), [])
    assert torch.equal(at_once.start, start())


@pytest.mark.parametrize(('adapter', 'passes'), [('none', 1), ('grbal', 2)])
def test_a_tick_evaluates_the_network_once_per_step_of_the_horizon_for_all_candidates(
    adapter, passes, monkeypatch
):
    adapters = {
        'none': NoAdaptation(DYNAMICS.loss, PARAMS),
        'grbal': GradientAdapter(DYNAMICS.loss, PARAMS, SIZES),
    }
    imagined, windows = [], []
    step, forward = PackedMLP.__call__, dynamics_module.mlp

    def count_step(self, carry, state, action):
        imagined.append(state.shape)
        return step(self, carry, state, action)

    def count_window(params, inputs, records=None):
        windows.append(inputs.shape)
        return forward(params, inputs, records)

    monkeypatch.setattr(PackedMLP, '__call__', count_step)
    monkeypatch.setattr(dynamics_module, 'mlp', count_window)
    mpc = make(adapters[adapter])
    mpc.act(window(0), EVERY, start())
    config = PLANNER.config
    assert imagined == [(BATCH, config.candidates, DYNAMICS.state_size)] * config.horizon
    # The loss before, and for GrBAL the loss after; the gradient is the first one's backward pass.
    assert len(windows) == passes
    mpc.act(window(1), EVERY, start())
    assert len(imagined) == 2 * config.horizon


def recurrent(span: str, cell: str = 'lstm') -> tuple[AdaptiveMPC, RecurrentAdapter]:
    dynamics = RecurrentDynamics(
        STATE, ACTION, (0, 1, 2), (8, 6), Normalizer.identity(STATE), cell=cell
    )
    params = dynamics.init(torch.Generator().manual_seed(0))
    adapter = RecurrentAdapter(dynamics, params, span, PAST)
    generator = torch.Generator().manual_seed(0)
    model = AdaptiveModel(dynamics, adapter, PAST)
    return AdaptiveMPC(model, PLANNER, reward, generator, BATCH), adapter


def episode(steps: int) -> Transitions:
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(BATCH, steps + 1, STATE, generator=generator)
    actions = torch.rand(BATCH, steps, ACTION, generator=generator) * 2 - 1
    return Transitions(states[:, :-1], actions, states[:, 1:])


def windows(happened: Transitions) -> list[Transitions]:
    last = happened.actions.shape[1]
    return [
        Transitions(*(tensor[:, end - PAST : end] for tensor in happened))
        for end in range(PAST, last + 1)
    ]


@pytest.mark.parametrize('span', ['window', 'episode'])
@pytest.mark.parametrize('cell', ['lstm', 'gru'])
def test_plans_begin_with_what_is_remembered_and_leave_it_as_it_is(span, cell):
    mpc, adapter = recurrent(span, cell)
    memory, generator = adapter.initial(BATCH), torch.Generator().manual_seed(0)
    planner_state, pending = PLANNER.initial(BATCH), [(torch.full((BATCH, ACTION), 0.5), 1.0)]
    for past in windows(episode(PAST + 4)):
        state = past.next_states[:, -1]
        decision = mpc.act(past, EVERY, state, pending)
        # What only remembers, and neither plans nor looks ahead, remembers the same.
        memory, adapted = adapter.adapt(memory, past, EVERY)
        assert torch.equal(decision.adapted.carry, adapted.carry)
        carry, ahead = mpc._model.dynamics.step(
            adapter.params, adapted.carry, state[:, None], pending[0][0][:, None]
        )
        assert torch.equal(decision.carry, carry) and torch.equal(decision.start, ahead[:, 0])
        planner_state, plan = PLANNER.plan(
            generator,
            planner_state,
            Problem(mpc._model.dynamics.planning_step(adapter.params), reward),
            Root(carry, ahead[:, 0]),
        )
        # A mean of actions at a limit may be beyond it by its rounding.
        assert torch.equal(decision.action, plan.actions[:, 0].clamp(-1.0, 1.0))


@pytest.mark.parametrize('span', ['window', 'episode'])
def test_what_is_remembered_matters_to_the_plan_of_its_own_robot_only(span):
    (mpc, _), (other, _) = recurrent(span), recurrent(span)
    first, second = windows(episode(PAST))[0], windows(episode(PAST))[0]
    second.states[1] += 1.0
    one, two = mpc.act(first, EVERY, start()), other.act(second, EVERY, start())
    assert torch.equal(one.action[[0, 2, 3]], two.action[[0, 2, 3]])
    assert not torch.equal(one.plan.returns[1], two.plan.returns[1])


@pytest.mark.parametrize('span', ['window', 'episode'])
@pytest.mark.parametrize('cell', ['lstm', 'gru'])
def test_a_newer_model_remembers_the_last_transitions_by_its_own_weights(span, cell):
    (mpc, old), (fresh, _) = recurrent(span, cell), recurrent(span, cell)
    params = {name: 2 * value for name, value in old.params.items()}
    newer = dataclasses.replace(old, params=params)
    *before, last, after = windows(episode(PAST + 4))
    for past in before:
        mpc.act(past, EVERY, start())
    for each in (mpc, fresh):
        each.use_model(AdaptiveModel(newer.dynamics, newer, PAST))
    carries = []
    for past in (last, after):
        # `fresh` has met neither the older weights nor what they had seen.
        carry, known = (each.act(past, EVERY, start()).adapted.carry for each in (mpc, fresh))
        assert torch.equal(carry, known)
        carries.append(carry)
    empty = newer.dynamics.empty(BATCH)
    assert torch.equal(carries[0], newer.dynamics.follow(params, empty, last)[0])
    # From there on an episode is gone on with, and no window.
    newest = Transitions(*(tensor[:, -1:] for tensor in after))
    begun = (carries[0], newest) if span == 'episode' else (empty, after)
    assert torch.equal(carries[1], newer.dynamics.follow(params, *begun)[0])


def test_steps_from_older_parameters_lead_nowhere_from_newer_ones():
    mpc = make(DynamicEvaluation(DYNAMICS.loss, PARAMS, SIZES))
    mpc.act(window(), EVERY, start())
    newer = {name: value + 0.1 for name, value in PARAMS.items()}
    adapter = DynamicEvaluation(DYNAMICS.loss, newer, SIZES)
    mpc.use_model(AdaptiveModel(DYNAMICS, adapter, PAST))
    wanted = adapter.initial(BATCH)
    assert all(torch.equal(value, wanted[name]) for name, value in mpc._memory.items())


@pytest.mark.parametrize('span', ['window', 'episode'])
def test_a_reset_forgets_the_episode(span):
    (mpc, _), (fresh, _) = recurrent(span), recurrent(span)
    *before, last = windows(episode(PAST + 3))
    for past in before:
        mpc.act(past, EVERY, start())
    mpc.reset()
    assert torch.equal(
        mpc.act(last, EVERY, start()).adapted.carry, fresh.act(last, EVERY, start()).adapted.carry
    )


def test_an_error_in_the_planner_costs_an_episode_nothing_that_its_window_holds():
    (mpc, _), (whole, _) = recurrent('episode'), recurrent('episode')
    first, second, third = windows(episode(PAST + 2))
    mpc.act(first, EVERY, start())
    kept, mpc._plan = mpc._plan, None
    with pytest.raises(TypeError):
        mpc.act(second, EVERY, start())
    mpc._plan = kept
    for earlier in (first, second):
        whole.act(earlier, EVERY, start())
    after, expected = (each.act(third, EVERY, start()) for each in (mpc, whole))
    torch.testing.assert_close(after.adapted.carry, expected.adapted.carry)


def test_imagining_ends_when_time_is_up_and_that_is_said():
    calm, hurried = make(grbal()), make(grbal())
    whole = calm.act(window(), EVERY, start())
    cut = hurried.act(window(), EVERY, start(), until_s=0.0)
    assert (whole.truncated, cut.truncated) == (False, True)
    assert cut.valid.all() and not torch.equal(whole.plan.returns, cut.plan.returns)
    # The same candidates; the next tick has its time again.
    assert torch.equal(whole.plan.candidates, cut.plan.candidates)
    assert not hurried.act(window(1), EVERY, start()).truncated
