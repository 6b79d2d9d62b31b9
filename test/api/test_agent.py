# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.api.agent import load
from mbmrl_ros.bundles.dynamics import load_bundle, save_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.gym import make
from mbmrl_ros.planners.kinds import changed, make_planner
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.adaptive_mpc import make_mpc
from mbmrl_ros.robot.history import History
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.collect import mpc_actions
from mbmrl_ros.training.dynamics.fit_model import ModelTraining
from mbmrl_ros.training.dynamics.publish import untrained_bundle

TASK, GRBAL = 'half_cheetah/disabled_joint', 'half_cheetah/disabled_joint/grbal'
SPEC = load_robot('half_cheetah')
SMALL = {'candidates': 16, 'horizon': 4}


@pytest.fixture
def agent():
    return load(GRBAL, **SMALL)


def drive(agent, steps, setting='undisturbed'):
    """Return states [T+1, S] and actions [T, A] of a run from the same start."""
    env = make(TASK, setting=setting)
    states, actions = [env.reset(seed=0)[0]], []
    for _ in range(steps):
        actions.append(agent.act(states[-1]))
        states.append(env.step(actions[-1])[0])
    return np.stack(states), np.stack(actions)


def test_it_acts_as_training_and_evaluation_do(agent):
    steps = agent.window + 5
    states, actions = drive(agent, steps)
    bundle = load_bundle(GRBAL, SPEC)
    mpc = make_mpc(
        bundle, make_adapter(bundle, 'auto'),
        make_planner(changed(bundle.info.planner, '', SMALL), SPEC.action_size),
        build_reward(SPEC, agent.task.reward), torch.Generator().manual_seed(0),
    )  # fmt: skip
    act = mpc_actions(mpc)
    history = History(agent.window, SPEC.period_s, SPEC.state_size, SPEC.action_size)
    for step in range(steps):
        history.observe(step * SPEC.period_s, states[step])
        [action] = act([history], torch.from_numpy(states[step])[None]).numpy()
        assert np.array_equal(action, actions[step])
        history.applied(action)


def test_adapting_to_a_failure_predicts_what_comes_after_it_better(agent):
    rng = np.random.default_rng(0)
    env = make(TASK, setting='held_out')
    states, actions = [env.reset(seed=0)[0]], []
    for _ in range(120):
        actions.append(rng.uniform(-1, 1, SPEC.action_size).astype(np.float32))
        states.append(env.step(actions[-1])[0])
    gains = []
    for step in range(agent.window, 110, 10):
        agent.reset()
        past = slice(step - agent.window, step)
        before = agent.predict(states[step], actions[step : step + 5])
        adaptation = agent.adapt(states[step - agent.window : step + 1], actions[past])
        after = agent.predict(states[step], actions[step : step + 5])
        assert before.shape == (6, SPEC.state_size)
        assert np.array_equal(before[0], states[step]) and np.array_equal(after[0], states[step])
        assert (not np.array_equal(before, after)) == adaptation.accepted
        truth = np.stack(states[step : step + 6])
        gains.append(np.square(before - truth).mean() - np.square(after - truth).mean())
        if adaptation.accepted:
            assert adaptation.loss_after < adaptation.loss_before
    assert np.mean(gains) > 0


def test_a_plan_is_what_the_model_expects_of_it_and_leaves_no_trace(agent):
    state = make(TASK).reset(seed=0)[0]
    planned = agent.plan(state)
    assert planned.actions.shape == (4, 6) and np.abs(planned.actions).max() <= 1
    assert np.allclose(planned.states, agent.predict(state, planned.actions), atol=1e-5)
    reward = build_reward(SPEC, agent.task.reward)
    states, actions = torch.from_numpy(planned.states), torch.from_numpy(planned.actions)
    returned = float(reward(states[:-1], actions, states[1:]).sum())
    # MPPI's plan is a mean, whose return is below that of the best candidate.
    assert returned <= planned.expected_return + 0.5
    again = load(GRBAL, **SMALL)
    again.plan(state)
    assert np.allclose(again.predict(state, planned.actions), planned.states, atol=1e-5)


def test_reset_forgets_and_the_same_seed_acts_the_same():
    first, second = (drive(load(GRBAL, **SMALL), 30)[1] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, drive(load(GRBAL, seed=1, **SMALL), 30)[1])
    agent = load(GRBAL, adaptation='none', **SMALL)
    state = make(TASK).reset(seed=0)[0]
    trained = agent.predict(state, np.zeros((3, 6)))
    drive(agent, 20)
    agent.reset()
    assert np.array_equal(agent.predict(state, np.zeros((3, 6))), trained)


def test_what_was_really_done_counts_and_not_what_was_proposed(agent):
    env = make(TASK)
    state, _ = env.reset(seed=0)
    agent.act(state)
    state = env.step(np.zeros(6, np.float32))[0]
    agent.act(state, applied=np.zeros(6))
    assert np.array_equal(agent._history.last().actions[0, 0], np.zeros(6))


@pytest.mark.parametrize('algorithm', ['mb', 'rebal'])
def test_every_kind_of_bundle_adapts_and_predicts(tmp_path, algorithm):
    config = ALGORITHMS[algorithm].Config(
        past_steps=6, future_steps=6, hidden_sizes=(16,),
        control_planner=MPPIConfig(candidates=8, horizon=3),
    )  # fmt: skip
    training = ModelTraining(LEARNERS[algorithm], SPEC, config, 0)
    save_bundle(tmp_path, untrained_bundle(training, TASK))
    agent = load(tmp_path)
    states, actions = drive(agent, 10)
    assert agent.window == 6
    adaptation = agent.adapt(states[-8:], actions[-7:])
    assert np.isfinite([adaptation.loss_before, adaptation.loss_after]).all()
    assert np.isfinite(agent.predict(states[-1], actions[:2])).all()


def test_what_does_not_fit_is_answered_with_what_does(agent):
    with pytest.raises(ValueError, match=r'wanted \[19\], got \[3\]'):
        agent.act(np.zeros(3))
    with pytest.raises(ValueError, match='adapts to 16 transitions, got 2'):
        agent.adapt(np.zeros((3, 19)), np.zeros((2, 6)))
    with pytest.raises(ValueError, match='2 actions are between 3 states, got 2'):
        agent.adapt(np.zeros((2, 19)), np.zeros((2, 6)))
    with pytest.raises(ValueError, match='no imagined rollout was finite'):
        agent.plan(np.full(19, np.nan))
    with pytest.raises(UserError, match='did you mean'):
        load('half_cheetah/disabled_joint/grba')
    with pytest.raises(UserError, match='unknown key'):
        load(GRBAL, candidate=3)
