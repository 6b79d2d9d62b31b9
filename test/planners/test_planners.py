# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every planner, and what is particular to MPPI, CEM and random shooting."""

import itertools
import math

import pytest
import torch

from mbmrl_ros.config import parse
from mbmrl_ros.planners.cem import CEM, CEMConfig, CEMState, elite_candidates
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig, MPPIState, path_integral_weights
from mbmrl_ros.planners.random_shooting import RandomShooting, RandomShootingConfig
from mbmrl_ros.types import Problem, Root

BATCH, HORIZON, ACTION, STATE = 3, 4, 2, 2
PLANNERS = [
    MPPI(MPPIConfig(candidates=64, horizon=HORIZON), ACTION),
    CEM(CEMConfig(candidates=64, horizon=HORIZON, iterations=3, elites=8), ACTION),
    RandomShooting(RandomShootingConfig(candidates=64, horizon=HORIZON), ACTION),
]
EVERY = pytest.mark.parametrize('planner', PLANNERS, ids=lambda planner: type(planner).__name__)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drift(carry, state, action):
    return carry, 0.9 * state + action


def quadratic(state, action, next_state):
    return -next_state.square().sum(-1) - 0.1 * action.square().sum(-1)


def start() -> torch.Tensor:
    return torch.randn(BATCH, STATE, generator=generator(1))


def plan(planner, state, step_fn=drift, reward_fn=quadratic, memory=None, seed=0):
    memory = planner.initial(len(state)) if memory is None else memory
    return planner.plan(generator(seed), memory, Problem(step_fn, reward_fn), Root(None, state))


@EVERY
def test_shapes_and_bounds_of_a_plan(planner):
    _, result = plan(planner, start())
    assert result.actions.shape == (BATCH, HORIZON, ACTION)
    assert result.candidates.shape == (BATCH, 64, HORIZON, ACTION)
    assert result.returns.shape == (BATCH, 64)
    assert result.actions.abs().max() <= 1
    assert result.candidates.abs().max() <= 1
    assert torch.equal(result.expected_return, result.returns.max(1).values)
    assert result.valid.all()
    assert not result.nonfinite.any()


@EVERY
def test_when_time_is_up_at_once_a_plan_is_made_of_one_step(planner):
    memory, calls = planner.initial(BATCH), []

    def counted(carry, state, action):
        calls.append(1)
        return drift(carry, state, action)

    state = start()
    _, result = planner.plan(
        generator(),
        memory,
        Problem(counted, quadratic),
        Root(None, state),
        out_of_time=lambda: True,
    )
    assert len(calls) == 1
    assert result.valid.all() and result.actions.shape == (BATCH, HORIZON, ACTION)
    first = result.candidates[:, :, 0]
    following = 0.9 * state[:, None] + first
    torch.testing.assert_close(result.returns, quadratic(None, first, following))


@EVERY
def test_equal_generators_give_equal_plans_and_global_seeds_do_not_matter(planner):
    _, first = plan(planner, start())
    with torch.random.fork_rng():
        torch.manual_seed(99)
        _, again = plan(planner, start())
    _, other = plan(planner, start(), seed=1)
    assert torch.equal(first.actions, again.actions)
    assert not torch.equal(first.actions, other.actions)


@EVERY
def test_inputs_are_left_alone(planner):
    state, memory = start(), planner.initial(BATCH)
    kept = None if memory is None else memory.mean.clone()
    plan(planner, state, memory=memory)
    assert torch.equal(state, start())
    assert kept is None or torch.equal(memory.mean, kept)


@EVERY
def test_rows_do_not_influence_each_other(planner):
    memory, first = plan(planner, start())
    _, before = plan(planner, start(), memory=memory, seed=1)
    for disturbed in (torch.nan, 1e9, -3.0):
        state = start()
        state[1] = disturbed
        memory, changed_first = plan(planner, state)
        _, after = plan(planner, state, memory=memory, seed=1)
        for old, new in ((first, changed_first), (before, after)):
            assert torch.equal(new.actions[[0, 2]], old.actions[[0, 2]])
            assert torch.equal(new.returns[[0, 2]], old.returns[[0, 2]])
        assert not torch.equal(changed_first.actions[1], first.actions[1])


@EVERY
def test_a_plan_is_better_than_doing_nothing_and_than_the_average_candidate(planner):
    state = 4 * start()
    memory = None
    for seed in range(5):
        memory, result = plan(planner, state, memory=memory, seed=seed)
    states, returns = state, torch.zeros(BATCH)
    idle, nothing = state, torch.zeros(BATCH)
    for time in range(HORIZON):
        action = result.actions[:, time]
        following = drift(None, states, action)[1]
        returns, states = returns + quadratic(states, action, following), following
        still = drift(None, idle, torch.zeros(BATCH, ACTION))[1]
        nothing, idle = nothing + quadratic(idle, torch.zeros(BATCH, ACTION), still), still
    assert (returns > nothing).all()
    assert (returns > result.returns.mean(1)).all()


def fails_where(condition, value):
    """Return a model whose states become `value` where a first action meets a condition."""

    def step(carry, state, action):
        return carry, torch.where(condition(action[..., :1]), value, 0.9 * state + action)

    return step


@EVERY
@pytest.mark.parametrize('value', [torch.nan, torch.inf, 1e30])
def test_rollouts_that_are_not_finite_are_counted_and_have_no_weight(planner, value):
    # Rewards call for large actions and the model fails beyond 0.3; (1e30)^2 is infinite.
    step = fails_where(lambda action: action > 0.3, value)

    def reward(state, action, next_state):
        return action.sum(-1) + 0 * next_state.square().sum(-1)

    _, result = plan(planner, start(), step, reward)
    failed = (result.candidates[..., 0] > 0.3).any(-1)
    assert torch.equal(result.nonfinite, failed.sum(1))
    assert (result.returns[failed] == -torch.inf).all()
    assert result.returns[~failed].isfinite().all()
    assert result.nonfinite.min() > 0
    assert result.valid.all()
    # All planners return convex combinations of candidates, in which those that failed have no
    # share, so none goes beyond what did not fail.
    assert result.actions[..., 0].max() <= 0.3


@EVERY
def test_where_all_rollouts_fail_there_is_no_plan_and_the_next_tick_recovers(planner):
    state = start()
    state[1] = torch.nan
    memory, result = plan(planner, state)
    assert result.valid.tolist() == [True, False, True]
    assert result.nonfinite.tolist() == [0, 64, 0]
    assert not result.actions[1].any()
    memory, result = plan(planner, start(), memory=memory, seed=1)
    assert result.valid.all()
    assert result.actions.isfinite().all()


@pytest.mark.parametrize(
    ('planner', 'share'),
    [
        (PLANNERS[0], 1.0),
        # One refit from a mean of zero, of which it keeps a tenth.
        (CEM(CEMConfig(candidates=64, horizon=HORIZON, iterations=1, elites=8), ACTION), 0.9),
        (PLANNERS[2], 1.0),
    ],
)
def test_a_single_finite_rollout_is_the_plan(planner, share):
    def reward(state, action, next_state):
        first = torch.arange(action.shape[1]) == 5
        return torch.where(first[:, None], action.sum(-1), torch.nan)

    _, result = plan(planner, start(), drift, reward)
    assert (result.nonfinite == 63).all()
    assert result.valid.all()
    torch.testing.assert_close(result.actions, share * result.candidates[:, 5])


def returns(scale: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    return scale * torch.randn(BATCH, 50, generator=generator(2)) + offset


def test_path_integral_weights_by_worked_numbers():
    # From the median 1, the better half deviates by 0 and 2: by 2 / sqrt(2). With half of that the
    # exponents are sqrt(2) (r - 3).
    weights = path_integral_weights(torch.tensor([[0.0, 1.0, 3.0]]), 0.5)
    expected = torch.tensor([[math.exp(-3 * math.sqrt(2)), math.exp(-2 * math.sqrt(2)), 1.0]])
    torch.testing.assert_close(weights, expected / expected.sum())


def test_the_deviation_of_normal_returns_is_their_own():
    some = torch.randn(1, 20_000, generator=generator(2))
    # Good to 1 %: that of 10,000 draws is to 0.7 %.
    expected = ((some - some.max()) / 0.5).exp()
    found = path_integral_weights(some, 0.5)
    torch.testing.assert_close(found.max(), expected.max() / expected.sum(), rtol=0.1, atol=0)


@pytest.mark.parametrize('worst', [-1e3, -1e6, -torch.inf])
def test_a_few_very_bad_candidates_do_not_move_the_temperature(worst):
    some = returns().sort(1, descending=True).values
    spoiled = some.clone()
    spoiled[:, -10:] = worst
    weights, expected = (path_integral_weights(r, 0.1)[:, :40] for r in (spoiled, some))
    # Without them the median moves where they do not count at all.
    tolerance = 0.15 if worst == -torch.inf else 1e-6
    torch.testing.assert_close(weights, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize('scale', [1e-9, 1e-3, 7.0, 1e6])
@pytest.mark.parametrize('offset', [0.0, -100.0])
def test_the_temperature_is_invariant_to_the_rewards_scale_and_offset(scale, offset):
    weights = path_integral_weights(returns(), 0.1)
    # An offset of 100 deviations costs float32 two of its seven digits, and a temperature of 0.1
    # multiplies what is left by ten: 1e-7 * 100 * 10.
    torch.testing.assert_close(
        path_integral_weights(returns(scale, offset * scale), 0.1), weights, rtol=0, atol=2e-4
    )


def test_a_planners_actions_are_invariant_to_the_rewards_scale_and_offset():
    planner = PLANNERS[0]
    _, before = plan(planner, start())
    _, after = plan(planner, start(), reward_fn=lambda s, a, n: 1000 * quadratic(s, a, n) - 300.0)
    torch.testing.assert_close(after.actions, before.actions, rtol=0, atol=1e-3)


def test_weights_are_a_distribution_over_finite_returns():
    some = returns()
    some[0, :20] = -torch.inf
    some[1] = -torch.inf
    some[2, 1:] = -torch.inf
    weights = path_integral_weights(some, 0.1)
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 0.0, 1.0]))
    assert not weights[0, :20].any()
    assert weights[2, 0] == 1.0
    torch.testing.assert_close(weights[0, 20:], path_integral_weights(some[:1, 20:], 0.1)[0])


def test_equal_returns_weigh_the_same():
    weights = path_integral_weights(torch.full((1, 8), 0.1), 0.1)
    torch.testing.assert_close(weights, torch.full((1, 8), 0.125))


def test_temperatures_order_from_the_best_candidate_to_the_mean():
    some = returns()
    cold, warm, hot = (path_integral_weights(some, t) for t in (1e-3, 0.3, 1e4))
    best = some.argmax(1, keepdim=True)
    torch.testing.assert_close(cold.gather(1, best), torch.ones(BATCH, 1))
    torch.testing.assert_close(hot, torch.full_like(hot, 1 / 50), rtol=1e-3, atol=0)
    shares = torch.cat([weights.gather(1, best) for weights in (cold, warm, hot)], 1)
    assert (shares.diff(dim=1) < 0).all()


def test_mppi_averages_its_candidates_with_these_weights():
    planner = PLANNERS[0]
    _, result = plan(planner, start())
    weights = path_integral_weights(result.returns, planner.config.temperature)
    expected = (weights[:, :, None, None] * result.candidates).sum(1)
    torch.testing.assert_close(result.actions, expected)


def test_mppis_first_candidate_is_the_warm_start_itself():
    mean = torch.rand(BATCH, HORIZON, ACTION, generator=generator(5)) - 0.5
    _, result = plan(PLANNERS[0], start(), memory=MPPIState(mean))
    assert torch.equal(result.candidates[:, 0], mean)


@pytest.mark.parametrize('planner', PLANNERS[:2], ids=['MPPI', 'CEM'])
def test_the_warm_start_is_the_plan_shifted_by_one_step(planner):
    memory, result = plan(planner, start())
    expected = torch.cat([result.actions[:, 1:], result.actions[:, -1:]], 1)
    assert torch.equal(memory.mean, expected)
    assert not planner.initial(BATCH).mean.any()


def test_random_shooting_remembers_nothing():
    memory, _ = plan(PLANNERS[2], start())
    assert memory is None


def added(config: MPPIConfig) -> torch.Tensor:
    """Return what is added to a mean of zeros, [K, H]."""
    planner, start = MPPI(config, 1), torch.zeros(1, 1)
    _, result = planner.plan(
        generator(), planner.initial(1), Problem(drift, quadratic), Root(None, start)
    )
    return result.candidates[0, 1:, :, 0]


@pytest.mark.parametrize(('horizon', 'knots'), [(12, 2), (12, 4), (3, 4), (1, 4)])
def test_noise_between_knots_is_interpolated_with_the_deviation_of_the_knots(horizon, knots):
    steps = added(MPPIConfig(candidates=20_000, horizon=horizon, noise=0.2, knots=knots))
    torch.testing.assert_close(steps.std(0), torch.full((horizon,), 0.2), rtol=0.025, atol=0)
    if horizon > knots:
        # Steps 0 and 1 share knots: (1 - d) / sqrt((1 - d)^2 + d^2) with d = (knots - 1) / 11.
        apart = (knots - 1) / (horizon - 1)
        expected = (1 - apart) / math.hypot(1 - apart, apart)
        correlation = float((steps[:, 0] * steps[:, 1]).mean() / 0.04)
        assert correlation == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize('smoothing', [1.0, 0.7, 0.3, 0.05])
@pytest.mark.parametrize('noise', [0.02, 0.2])
def test_mppis_noise_is_the_deviation_of_what_is_added_at_every_step(noise, smoothing):
    steps = added(MPPIConfig(candidates=20_000, horizon=12, noise=noise, smoothing=smoothing))
    # The deviation of n draws is good to sqrt(1 / 2n) = 0.5 %, five times that is 2.5 %.
    torch.testing.assert_close(steps.std(0), torch.full((12,), noise), rtol=0.025, atol=0)
    correlation = (steps[:, 1:] * steps[:, :-1]).mean(0) / noise**2
    torch.testing.assert_close(correlation, torch.full((11,), 1 - smoothing), rtol=0, atol=0.04)


def test_mppis_noise_of_files_without_a_kind_is_drawn_as_it_was():
    config = MPPIConfig(candidates=64, horizon=5, noise=0.7, smoothing=0.5, noise_of='filter')
    white = torch.randn(5, 1, 64, 1, generator=generator())
    white *= 0.7 * 0.5
    for time in range(1, 5):
        white[time] += (1 - 0.5) * white[time - 1]
    expected = white.permute(1, 2, 0, 3)[0, 1:, :, 0].clamp(-1.0, 1.0)
    assert torch.equal(added(config), expected)


def late_after(steps):
    """Return what says that time is up once it was asked so often."""
    asked = itertools.count(1)
    return lambda: next(asked) >= steps


@pytest.mark.parametrize('planner', PLANNERS[:2])
def test_behind_what_was_imagined_a_cut_plan_keeps_the_mean_of_before(planner):
    mean = torch.rand(BATCH, HORIZON, ACTION, generator=generator(5)) - 0.5
    memory, result = planner.plan(
        generator(),
        type(planner.initial(1))(mean),
        Problem(drift, quadratic),
        Root(None, start()),
        late_after(2),
    )
    assert torch.equal(result.actions[:, 2:], mean[:, 2:])
    assert not torch.equal(result.actions[:, :2], mean[:, :2])
    assert torch.equal(memory.mean, torch.cat([result.actions[:, 1:], mean[:, -1:]], 1))


def test_mppis_noise_is_smoothed_as_published():
    # u_t = b (mu + eps) + (1 - b) u_{t-1} about a constant mean is an autoregressive filter:
    # the deviation n_t = b eps_t + (1 - b) n_{t-1} has variance b^2 s^2 (1 - q^(t+1)) / (1 - q)
    # with q = (1 - b)^2, and correlation with its predecessor.
    config = MPPIConfig(candidates=20_000, horizon=6, noise=0.2, smoothing=0.4, noise_of='filter')
    _, result = MPPI(config, 1).plan(
        generator(),
        MPPI(config, 1).initial(1),
        Problem(drift, quadratic),
        Root(None, torch.zeros(1, 1)),
    )
    noise = result.candidates[0, 1:, :, 0]
    variance = torch.tensor(
        [0.4**2 * 0.2**2 * (1 - 0.36 ** (t + 1)) / (1 - 0.36) for t in range(6)]
    )
    # Clipping at 1 is ten deviations away. A variance of n draws is good to sqrt(2/n) = 1 %,
    # five times that is 5 %.
    torch.testing.assert_close(noise.var(0), variance, rtol=0.05, atol=0)
    covariance = (noise[:, 1:] * noise[:, :-1]).mean(0)
    torch.testing.assert_close(covariance, 0.6 * variance[:-1], rtol=0.08, atol=0)
    assert noise.mean(0).abs().max() < 5 * float(variance.max() / 20_000) ** 0.5


def test_smoothing_leaves_a_smooth_mean_where_it_is():
    mean = torch.linspace(-0.5, 0.5, HORIZON)[None, :, None].expand(1, -1, ACTION).contiguous()
    config = MPPIConfig(candidates=5000, horizon=HORIZON, noise=0.1, smoothing=0.3)
    planner = MPPI(config, ACTION)
    _, result = plan(planner, torch.zeros(1, STATE), memory=MPPIState(mean))
    # The deviation of the mean of 5000 draws of 0.1 is 1.4e-3.
    torch.testing.assert_close(result.candidates.mean(1), mean, rtol=0, atol=7e-3)


def test_elites_are_the_candidates_with_the_highest_returns():
    candidates = torch.randn(BATCH, 50, HORIZON, ACTION, generator=generator(3))
    some = returns()
    some[1, :45] = -torch.inf
    elites, shares = elite_candidates(candidates, some, 8)
    for row in range(BATCH):
        order = sorted(range(50), key=lambda i, row=row: -float(some[row, i]))[:8]
        finite = [i for i in order if math.isfinite(some[row, i])]
        chosen = elites[row][shares[row] > 0]
        assert torch.equal(chosen, candidates[row, finite])
        torch.testing.assert_close(shares[row].sum(), torch.tensor(1.0))
        assert len(set(shares[row][shares[row] > 0].tolist())) == 1
    assert (shares[1] > 0).sum() == 5


def test_without_a_finite_return_there_are_no_elites():
    candidates = torch.randn(1, 50, HORIZON, ACTION, generator=generator(3))
    _, shares = elite_candidates(candidates, torch.full((1, 50), -torch.inf), 8)
    assert not shares.any()


def test_cem_fits_mean_and_deviation_to_the_elites_of_what_was_simulated():
    config = CEMConfig(candidates=64, horizon=HORIZON, iterations=1, elites=8, alpha=0.25)
    planner = CEM(config, ACTION)
    mean = torch.rand(BATCH, HORIZON, ACTION, generator=generator(5)) - 0.5
    _, result = plan(planner, start(), memory=CEMState(mean))
    for row in range(BATCH):
        best = result.returns[row].argsort(descending=True)[:8]
        expected = 0.25 * mean[row] + 0.75 * result.candidates[row, best].mean(0)
        torch.testing.assert_close(result.actions[row], expected)


def test_cem_still_selects_when_a_time_budget_leaves_few_candidates():
    config = CEMConfig(candidates=8, horizon=HORIZON, iterations=1, elites=50, alpha=0)
    _, result = plan(CEM(config, ACTION), start())
    for row in range(BATCH):
        best = result.returns[row].argsort(descending=True)[:4]
        torch.testing.assert_close(result.actions[row], result.candidates[row, best].mean(0))


def test_cem_narrows_about_the_optimum_and_no_further_than_its_floor():
    # One step, reward -(a - 0.4)^2: the optimum is 0.4 in every dimension.
    config = CEMConfig(candidates=400, horizon=1, iterations=12, elites=40, min_std=0.01)
    _, result = CEM(config, ACTION).plan(
        generator(),
        CEM(config, ACTION).initial(1),
        Problem(drift, lambda s, a, n: -(a - 0.4).square().sum(-1)),
        Root(None, torch.zeros(1, STATE)),
    )
    # The mean of 40 elites out of a deviation of 0.01 is good to 0.01 / sqrt(40) = 0.0016.
    torch.testing.assert_close(result.actions, torch.full((1, 1, ACTION), 0.4), rtol=0, atol=0.008)
    deviation = result.candidates.std(1)
    torch.testing.assert_close(deviation, torch.full_like(deviation, 0.01), rtol=0.2, atol=0)


def test_random_shooting_draws_over_the_whole_box_and_takes_the_best():
    config = RandomShootingConfig(candidates=4000, horizon=2)
    planner = RandomShooting(config, 1)
    _, result = planner.plan(
        generator(), None, Problem(drift, quadratic), Root(None, torch.zeros(1, 1))
    )
    assert torch.equal(result.actions[0], result.candidates[0, result.returns[0].argmax()])
    # U(-1, 1) has variance 1/3; 8000 draws give it to sqrt(0.8/8000) = 1 %.
    assert float(result.candidates.var()) == pytest.approx(1 / 3, rel=0.05)
    assert result.candidates.max() > 0.99
    assert result.candidates.min() < -0.99


@pytest.mark.parametrize(
    ('make', 'changes'),
    [
        (MPPIConfig, {'temperature': 0}),
        (MPPIConfig, {'noise': math.inf}),
        (MPPIConfig, {'smoothing': 0}),
        (MPPIConfig, {'smoothing': 1.1}),
        (MPPIConfig, {'candidates': 1}),
        (CEMConfig, {'alpha': 1}),
        (CEMConfig, {'elites': 1}),
        (RandomShootingConfig, {'horizon': 0}),
    ],
)
def test_settings_out_of_range_are_refused(make, changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        make(**changes)


def test_parameters_of_cem_are_read_by_their_old_names():
    config = parse(CEMConfig, {'inertia': 0.3, 'minimum_noise': 0.01}, 'bundle.json')
    assert (config.alpha, config.min_std) == (0.3, 0.01)
