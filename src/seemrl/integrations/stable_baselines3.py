"""Stable-Baselines3 2.9: critic, policy, discount, optimizer, target of SAC, TD3 and DQN, and a batch of their replay.

These trainers gather their data while they learn. The theory is of fixed transitions and a policy that moves only with
the critic: a reading is exact for the replayed transitions it is taken on, and says nothing of those to come.
"""

from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.integrations.library import BY_HAND, attribute, load, unsupported
from seemrl.integrations.parts import Parts, own_randomness
from seemrl.stabilizing.stabilize import stabilize as stabilize_module

_LIBRARY = "stable-baselines3"
_SUPPORTED = "SAC, TD3 and DQN on observations that are vectors, with the default features extractor,"


def __getattr__(name: str) -> Any:
    """`MonitorCallback` is a class of the library's, made when it is asked for."""
    if name == "MonitorCallback":
        from seemrl.integrations.stable_baselines3_callback import MonitorCallback

        return MonitorCallback
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


class Heads(torch.nn.Module):
    """The Q networks as one critic of several heads, in the precision of its inputs; it owns the model's parameters."""

    def __init__(self, networks: list[torch.nn.Module]) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Observations and actions -> (rows, 1) of each head; observations alone -> (rows, actions) of each."""
        joined = torch.cat(inputs, dim=1)
        return tuple(network(joined) for network in self.networks)


class Trained:
    """Everything that training changes in a model: networks, optimizers and the entropy coefficient."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def state_dict(self) -> dict[str, Any]:
        """State dicts by name, and the tensors beside them."""
        return {"parameters": self._model.get_parameters(), "variables": self._variables()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self._model.set_parameters(state["parameters"])
        for name, value in self._variables().items():
            value.copy_(state["variables"][name])

    def _variables(self) -> dict[str, torch.Tensor]:
        _, names = self._model._get_torch_save_params()
        return {name: getattr(self._model, name).detach() for name in names}


def parts(model: Any) -> Parts:
    """Take a model apart.

    Args:
        model: `stable_baselines3.SAC`, `TD3` or `DQN`.

    Raises:
        InputError: Stable-Baselines3 is absent or of another version, or the model is of another kind.
    """
    library = load(_LIBRARY, "stable_baselines3")
    finders = {library.SAC: _sac, library.TD3: _td3, library.DQN: _dqn}
    if type(model) not in finders:
        raise unsupported(_LIBRARY, type(model).__name__, _SUPPORTED)
    if model.n_steps != 1:
        raise unsupported(_LIBRARY, f"n_steps={model.n_steps}", f"{_SUPPORTED} n_steps=1")
    return finders[type(model)](model)


def batch(model: Any, rows: int = 128, seed: int = 0) -> Batch:
    """Replayed transitions as the model's updates see them, normalised where it trains behind `VecNormalize`.

    Drawn without replacement by a generator of our own, so that training's stays where it is. An episode that was cut
    short is no terminal where the buffer knows of it, as in training.

    Args:
        model: a supported model whose replay buffer holds transitions.
        rows: how many; all, where there are fewer.
        seed: the same seed and buffer, the same rows.

    Raises:
        InputError: the buffer is empty, or its observations are not vectors.
    """
    buffer = attribute(_LIBRARY, model, "replay_buffer")
    if not buffer.size():
        raise InputError("stable-baselines3: the replay buffer is empty; read after the first steps are collected")
    held = np.arange(buffer.size())
    if buffer.full and buffer.optimize_memory_usage:
        held = held[held != buffer.pos]  # its next observation is overwritten
    with own_randomness(seed):  # with several environments the buffer draws one for each row
        chosen = np.random.default_rng(seed).choice(held, min(rows, len(held)), replace=False)
        samples = buffer._get_samples(chosen, env=model.get_vec_normalize_env())
    if not isinstance(samples.observations, torch.Tensor) or samples.observations.ndim != 2:
        raise unsupported(_LIBRARY, "an observation that is not a vector", _SUPPORTED)
    if samples.discounts is not None:
        raise unsupported(_LIBRARY, "a replay buffer of several steps", f"{_SUPPORTED} single steps")
    actions = samples.actions.cpu().numpy()
    return Batch(
        observations=samples.observations.cpu().numpy(),
        actions=actions[:, 0] if actions.dtype.kind == "i" else actions,
        rewards=samples.rewards.cpu().numpy(),
        next_observations=samples.next_observations.cpu().numpy(),
        terminals=samples.dones.cpu().numpy(),
    )


def stabilize(model: Any, norm: Any = "layer", placement: Any = "pre") -> Any:
    """Normalisers into a model's critic and its target, in place; the critic's optimizer takes their parameters.

    A model saved afterwards has more weights than its policy class makes, and `load` refuses them: to save and load,
    begin with a policy of `seemrl.integrations.stable_baselines3_policies` instead.

    Args:
        model: `stable_baselines3.SAC`, `TD3` or `DQN`.
        norm: as in `seemrl.stabilize`.
        placement: as in `seemrl.stabilize`.

    Returns:
        The model.

    Raises:
        InputError: as `parts` and `seemrl.stabilize` do.
    """
    found = parts(model)
    for network in found.critic.networks:
        stabilize_module(network, norm, placement, in_place=True, optimizer=found.optimizer)
    for network in found.target_critic.networks:
        stabilize_module(network, norm, placement, in_place=True)
    return model


def _sac(model: Any) -> Parts:
    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        return model.actor.action_log_prob(_tensor(model, next_observations))[0]

    steps = _gradient_steps(model)
    return Parts(
        **_twins(model),
        policy=policy,
        target_period=round(steps / -(-steps // model.target_update_interval)),
        loss_scale=1.0,
        left_out="the entropy bonus in the target: it moves the fixed point (td_error, flow), not the rate",
    )


def _td3(model: Any) -> Parts:
    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        actions = model.actor_target(_tensor(model, next_observations))
        clip = model.target_noise_clip
        noise = torch.empty_like(actions).normal_(0, model.target_policy_noise).clamp(-clip, clip)
        return (actions + noise).clamp(-1, 1)

    return Parts(**_twins(model), policy=policy, target_period=int(model.policy_delay))


def _dqn(model: Any) -> Parts:
    if model.train_freq.unit.value != "step":
        raise unsupported(_LIBRARY, "DQN with train_freq in episodes", "train_freq in steps, and thus a target period,")
    _check_extractor(model.q_net.features_extractor)
    calls = max(model.target_update_interval // model.n_envs, 1)
    return Parts(
        critic=Heads([model.q_net.q_net]),
        target_critic=Heads([model.q_net_target.q_net]),
        policy="greedy",
        discount=float(model.gamma),
        optimizer=model.policy.optimizer,
        target_rate=float(model.tau),
        target_period=max(1, round(calls * _gradient_steps(model) / model.train_freq.frequency)),
        loss_scale=1.0,
        left_out="the Huber loss beyond TD errors of 1 and clipped gradients: steps are smaller than the rate says",
        trained=Trained(model),
    )


def _twins(model: Any) -> dict[str, Any]:
    _check_extractor(model.critic.features_extractor)
    return {
        "critic": Heads(list(model.critic.q_networks)),
        "target_critic": Heads(list(model.critic_target.q_networks)),
        "discount": float(model.gamma),
        "optimizer": model.critic.optimizer,
        "target_rate": float(model.tau),
        "trained": Trained(model),
    }


def _check_extractor(extractor: Any) -> None:
    if type(extractor).__name__ != "FlattenExtractor":
        raise InputError(
            f"stable-baselines3: features extractor {type(extractor).__name__} is not supported; "
            f"FlattenExtractor is, {BY_HAND}"
        )


def _gradient_steps(model: Any) -> int:
    """In each call of `train`; -1 stands for as many as steps were collected."""
    return model.gradient_steps if model.gradient_steps > 0 else model.train_freq.frequency * model.n_envs


def _tensor(model: Any, observations: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(observations), dtype=torch.float32, device=model.device)
