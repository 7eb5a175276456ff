"""Small d3rlpy learners, fitted for some updates on the embedded transitions."""

# pyright: reportMissingImports=false

from typing import Any

import d3rlpy
import numpy as np

from seemrl.data.embedded import load_embedded_hopper

NAMES = ("DDPG", "TD3", "TD3PlusBC", "SAC", "CQL", "DQN", "DoubleDQN", "DiscreteCQL")
DISCRETE = ("DQN", "DoubleDQN", "DiscreteCQL")
LOG = d3rlpy.logging.NoopAdapterFactory()


def dataset(discrete: bool = False, rows: int = 2000) -> Any:
    data = load_embedded_hopper()
    actions = (data.actions[:rows, :1] > 0).astype(np.int64) + (data.actions[:rows, 1:2] > 0)
    return d3rlpy.dataset.MDPDataset(
        observations=data.observations[:rows],
        actions=actions if discrete else data.actions[:rows],
        rewards=data.rewards[:rows],
        terminals=data.terminals[:rows].astype(np.float32),
        timeouts=data.timeouts[:rows].astype(np.float32),
    )


def config(name: str, **settings: Any) -> Any:
    small = d3rlpy.models.VectorEncoderFactory(hidden_units=[16, 16])
    if name in DISCRETE:
        within_one = d3rlpy.preprocessing.MultiplyRewardScaler(multiplier=0.02)  # where Huber's loss is a square
        settings = {"encoder_factory": small, "n_critics": 2, "reward_scaler": within_one} | settings
        settings = {"target_update_interval": 7} | settings
    else:
        scaler = d3rlpy.preprocessing.MinMaxActionScaler()
        settings = {"actor_encoder_factory": small, "critic_encoder_factory": small, "action_scaler": scaler} | settings
    settings = {
        "batch_size": 32,
        "observation_scaler": d3rlpy.preprocessing.StandardObservationScaler(),
        "reward_scaler": d3rlpy.preprocessing.ConstantShiftRewardScaler(shift=0.5),
    } | settings
    return getattr(d3rlpy.algos, f"{name}Config")(**settings)


def fitted(name: str, steps: int = 20, callback: Any = None, seed: int = 0, **settings: Any) -> tuple[Any, Any]:
    """A learner and its data."""
    d3rlpy.seed(seed)
    data = dataset(name in DISCRETE)
    algo = config(name, **settings).create(device=False)
    fit(algo, data, steps, callback)
    return algo, data


def fit(algo: Any, data: Any, steps: int, callback: Any = None) -> None:
    algo.fit(
        data,
        n_steps=steps,
        n_steps_per_epoch=steps,
        logger_adapter=LOG,
        save_interval=steps,
        show_progress=False,
        callback=callback,
    )
