"""A diffusion model as a policy: noise is turned into an action, given the observation (Wang et al., 2023).

The forward process is the variance-preserving one of Song et al. (2021), with rate beta(t) = 0.1 + 9.9 t: an action x
in units of its box has become alpha(t) x + sigma(t) noise at time t, with alpha^2 + sigma^2 = 1. Level n of N stands at
time n / N, where the discrete schedule of Diffusion-QL agrees with the continuous one exactly.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from seemrl.networks.box import from_units, to_units
from seemrl.networks.diffusion_options import Sampler
from seemrl.networks.layers import Linear

_BETA_MIN, _BETA_MAX = 0.1, 10.0
_TIME_FEATURES = 16

Denoise = Callable[[Float[Array, "batch action"], int], Float[Array, "batch action"]]
"""From noisy actions and the number of their time, to the actions behind them."""


def signal_scale(times: np.ndarray) -> np.ndarray:
    """alpha(t): what is left of the action at time t, from 1 at t = 0; the noise has sigma(t) = sqrt(1 - alpha^2)."""
    return np.exp(-0.5 * _BETA_MIN * times - 0.25 * (_BETA_MAX - _BETA_MIN) * times**2)


class NoisePredictor(eqx.Module):
    """The noise in a noisy action, from the action, its level and the observation: an MLP with Mish.

    Attributes:
        embedding: two layers over sines and cosines of the level.
        linears: hidden layers and the output layer over (noisy action, embedded level, observation).
    """

    embedding: tuple[Linear, Linear]
    linears: tuple[Linear, ...]

    def __init__(
        self, observation_size: int, action_size: int, hidden_sizes: Sequence[int], *, key: PRNGKeyArray
    ) -> None:
        first, second, *rest = jax.random.split(key, len(hidden_sizes) + 3)
        self.embedding = (
            Linear(_TIME_FEATURES, 2 * _TIME_FEATURES, key=first),
            Linear(2 * _TIME_FEATURES, _TIME_FEATURES, key=second),
        )
        sizes = [action_size + _TIME_FEATURES + observation_size, *hidden_sizes, action_size]
        self.linears = tuple(Linear(a, b, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], rest, strict=True))

    def __call__(
        self,
        noisy: Float[Array, "batch action"],
        levels: Int[Array, " batch"],
        observations: Float[Array, "batch observation"],
    ) -> Float[Array, "batch action"]:
        """Run the network; levels count from 1."""
        wide, narrow = self.embedding
        time = narrow(jax.nn.mish(wide(_waves(levels - 1))))
        hidden = jnp.concatenate([noisy, time, observations], axis=-1)
        for linear in self.linears[:-1]:
            hidden = jax.nn.mish(linear(hidden))
        return self.linears[-1](hidden)


def _waves(positions: Int[Array, " batch"]) -> Float[Array, "batch wave"]:
    """Sines and cosines of a position at wavelengths from 2 pi to 10,000 times that (Vaswani et al., 2017)."""
    half = _TIME_FEATURES // 2
    angles = positions[:, None] * jnp.asarray(10_000.0 ** -(np.arange(half) / (half - 1)), jnp.float32)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class DiffusionPolicy(eqx.Module):
    """observation -> a random action inside the box [low, high], by denoising.

    Attributes:
        levels: noise levels the predictor is trained at.
        sampler: "ancestral" takes every level back at random; "dpm_solver" follows the probability flow, whose only
            randomness is the noise it starts from.
        solver_steps: evaluations of the predictor by the solver, at most ``levels``.
        solver_order: of the solver, 1 or 2.
        low, high: bounds of each action dimension; fixed, not trained.
    """

    network: NoisePredictor
    levels: int = eqx.field(static=True)
    sampler: Sampler = eqx.field(static=True)
    solver_steps: int = eqx.field(static=True)
    solver_order: int = eqx.field(static=True)
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        low: Sequence[float],
        high: Sequence[float],
        hidden_sizes: Sequence[int],
        *,
        levels: int = 5,
        sampler: Sampler = "ancestral",
        solver_steps: int = 3,
        solver_order: int = 2,
        key: PRNGKeyArray,
    ) -> None:
        self.network = NoisePredictor(observation_size, len(low), hidden_sizes, key=key)
        self.levels, self.sampler = levels, sampler
        self.solver_steps, self.solver_order = solver_steps, solver_order
        self.low, self.high = tuple(map(float, low)), tuple(map(float, high))

    def denoising_loss(
        self,
        observations: Float[Array, "batch observation"],
        actions: Float[Array, "batch action"],
        key: PRNGKeyArray,
    ) -> Float[Array, ""]:
        """Mean squared error of the predicted noise at random levels: behaviour cloning (Diffusion-QL, equation 2)."""
        level_key, noise_key = jax.random.split(key)
        levels = jax.random.randint(level_key, (len(actions),), 1, self.levels + 1)
        noise = jax.random.normal(noise_key, actions.shape)
        alpha = self._scales()[levels][:, None]
        noisy = alpha * to_units(actions, self.low, self.high) + jnp.sqrt(1 - alpha**2) * noise
        return jnp.mean((self.network(noisy, levels, observations) - noise) ** 2)

    def sample(
        self, observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> Float[Array, "batch action"]:
        """An action for each observation; differentiable through the whole way from noise to action."""
        start_key, key = jax.random.split(key)
        noise = jax.random.normal(start_key, (len(observations), len(self.low)))
        if self.sampler == "ancestral":
            keys = jax.random.split(key, self.levels)
            actions = self._ancestral(observations, noise, keys, lambda key: jax.random.normal(key, noise.shape))
        else:
            actions = self._along_flow(observations, noise)
        return from_units(actions, self.low, self.high)

    @property
    def draws(self) -> int:
        """Standard normal numbers that one dimension of an action is made of."""
        return self.levels if self.sampler == "ancestral" else 1

    def noise(self, count: int, key: PRNGKeyArray) -> Float[Array, "count draws action"]:
        """The standard normal numbers that `sample` makes ``count`` actions of by this key."""
        start_key, key = jax.random.split(key)
        keys = (start_key, *jax.random.split(key, self.levels)[: self.draws - 1])
        return jnp.stack([jax.random.normal(each, (count, len(self.low))) for each in keys], axis=1)

    def sample_from(
        self, observations: Float[Array, "batch observation"], noise: Float[Array, "batch draws action"]
    ) -> Float[Array, "batch action"]:
        """`sample` with its noise given; what the last step of "ancestral" draws is multiplied by 0 and left out."""
        start = noise[:, 0]
        if self.sampler == "ancestral":
            later = jnp.concatenate([noise[:, 1:], jnp.zeros_like(noise[:, :1])], axis=1)
            actions = self._ancestral(observations, start, jnp.swapaxes(later, 0, 1), lambda drawn: drawn)
        else:
            actions = self._along_flow(observations, start)
        return from_units(actions, self.low, self.high)

    def several(
        self, observations: Float[Array, "batch observation"], count: int, key: PRNGKeyArray
    ) -> tuple[Float[Array, "rows observation"], Float[Array, "rows action"]]:
        """``count`` actions for each observation, with the observations repeated to fit, side by side."""
        repeated = jnp.repeat(observations, count, axis=0)
        return repeated, self.sample(repeated, key)

    def _ancestral(
        self,
        observations: Float[Array, "batch observation"],
        noise: Float[Array, "batch action"],
        later: Array,
        drawn: Callable[[Array], Array],
    ) -> Float[Array, "batch action"]:
        """One level at a time; ``drawn`` makes the noise of a step from its part of ``later``."""
        levels = jnp.arange(self.levels, 0, -1)
        numbers = [jnp.asarray(part, jnp.float32) for part in posterior(self.levels)]

        def back(noisy: Array, step: tuple[Array, ...]) -> tuple[Array, None]:
            level, of_denoised, of_noisy, deviation, given = step
            mean = of_denoised * self._denoise(noisy, level, observations) + of_noisy * noisy
            return mean + deviation * drawn(given), None

        return jax.lax.scan(back, noise, (levels, *numbers, later))[0]

    def _along_flow(
        self, observations: Float[Array, "batch observation"], noise: Float[Array, "batch action"]
    ) -> Float[Array, "batch action"]:
        chosen = self.solver_levels()
        denoise: Denoise = lambda noisy, number: self._denoise(noisy, jnp.asarray(chosen[number]), observations)  # noqa: E731
        return follow_probability_flow(denoise, noise, chosen / self.levels, self.solver_order)

    def solver_levels(self) -> np.ndarray:
        """The levels that the solver visits, falling, and 0 at the end."""
        return np.round(np.linspace(self.levels, 0, self.solver_steps + 1)).astype(int)

    def _denoise(
        self,
        noisy: Float[Array, "batch action"],
        level: Int[Array, ""],
        observations: Float[Array, "batch observation"],
    ) -> Float[Array, "batch action"]:
        """The action behind a noisy one, within the box."""
        alpha = self._scales()[level]
        noise = self.network(noisy, jnp.full(noisy.shape[0], level), observations)
        return jnp.clip((noisy - jnp.sqrt(1 - alpha**2) * noise) / alpha, -1.0, 1.0)

    def _scales(self) -> Float[Array, " levels"]:
        return jnp.asarray(signal_scale(np.arange(self.levels + 1) / self.levels), jnp.float32)


def posterior(levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of q(x_(n-1) | x_n, denoised x) of Ho et al. (2020), equation 7, from the highest level to the first.

    Returns:
        The factor of the denoised action, that of the noisy one, and the standard deviation, which is 0 at the end.
    """
    scales = signal_scale(np.arange(levels + 1) / levels)
    kept = (scales[1:] / scales[:-1]) ** 2  # alpha_n of the discrete schedule; beta_n = 1 - alpha_n
    left, left_before = 1 - scales[1:] ** 2, 1 - scales[:-1] ** 2
    of_denoised = (1 - kept) * scales[:-1] / left
    of_noisy = left_before * np.sqrt(kept) / left
    deviation = np.sqrt((1 - kept) * left_before / left)
    return of_denoised[::-1], of_noisy[::-1], deviation[::-1]


def flow_steps(times: np.ndarray, order: int) -> list[tuple[float, float, float]]:
    """The steps of `follow_probability_flow`: the factors of the noisy action, of the direction, and the slope in it.

    The direction is the denoised action plus the slope times what it has changed by since the step before.
    """
    alpha = signal_scale(times)
    sigma = np.sqrt(-np.expm1(2 * np.log(alpha)))
    with np.errstate(divide="ignore"):
        log_ratio = np.log(alpha) - np.log(sigma)  # lambda, infinite at time 0
    steps: list[tuple[float, float, float]] = []
    for now in range(len(times) - 1):
        width = log_ratio[now + 1] - log_ratio[now]
        slope = 0.0
        if order == 2 and now > 0 and np.isfinite(width):
            slope = float(width / (2 * (log_ratio[now] - log_ratio[now - 1])))
        steps.append((float(sigma[now + 1] / sigma[now]), float(-alpha[now + 1] * np.expm1(-width)), slope))
    return steps


def follow_probability_flow(
    denoise: Denoise, noise: Float[Array, "batch action"], times: np.ndarray, order: int
) -> Float[Array, "batch action"]:
    """DPM-Solver++ (Lu et al., 2022, algorithm 2 "2M"): from noise to actions along the ordinary differential equation.

    Steps are exact in its linear part and take the denoised actions as constant (order 1, which is DDIM) or linear
    in log(alpha / sigma), by the value of the step before (order 2). The step to time 0 is of order 1.

    Args:
        denoise: called once for each time but the last, with the time's number.
        noise: where to start, at ``times[0]``.
        times: falling, in [0, 1].
        order: 1 or 2.
    """
    before = None
    for now, (of_noisy, of_direction, slope) in enumerate(flow_steps(times, order)):
        denoised = denoise(noise, now)
        direction = denoised if before is None or slope == 0 else denoised + slope * (denoised - before)
        noise = of_noisy * noise + of_direction * direction
        before = denoised
    return noise
