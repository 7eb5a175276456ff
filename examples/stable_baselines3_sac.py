"""SAC of Stable-Baselines3 with readings on its replay, and how far the replay has drifted since the last one.

python examples/stable_baselines3_sac.py --steps 3000
python examples/stable_baselines3_sac.py --steps 3000 --layer-norm

The data change while the critic learns, so readings differ for that reason too: the drift is how many standard
deviations of the earlier replay its mean observation has moved (the largest over the observation's entries).
"""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false

import argparse

import numpy as np
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

import seemrl
from seemrl.integrations import stable_baselines3 as integration
from seemrl.integrations.stable_baselines3_policies import LayerNormSACPolicy


class Watch(BaseCallback):
    """Reads every so many environment steps, once updates have begun."""

    def __init__(self, every: int, rows: int) -> None:
        super().__init__()
        self.every, self.rows = every, rows
        self.history: list[seemrl.Reading] = []
        self.earlier: np.ndarray | None = None

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every or self.num_timesteps <= self.model.learning_starts + 1:
            return True
        parts, batch = integration.parts(self.model), integration.batch(self.model, self.rows)
        reading = parts.measure(batch, step=self.model._n_updates)
        self.history.append(reading)
        drift = 0.0
        if self.earlier is not None:
            moved = np.abs(batch.observations.mean(axis=0) - self.earlier.mean(axis=0))
            drift = float((moved / (self.earlier.std(axis=0) + 1e-6)).max())
        self.earlier = batch.observations
        print(
            f"update {reading.step}  |Q| {reading.q_mean:.3g}  normalized {reading.normalized:+.4f}  "
            f"rate {reading.rate or 0:+.1e}  drift {drift:.2f}",
            flush=True,
        )
        return True


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--layer-norm", action="store_true", help="LayerNorm in the critic")
    parser.add_argument("--read-every", type=int, default=500, help="environment steps between readings")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    policy = LayerNormSACPolicy if options.layer_norm else "MlpPolicy"
    model = SAC(policy, "Pendulum-v1", seed=options.seed, policy_kwargs={"net_arch": [64, 64]})
    model.learn(options.steps, callback=Watch(options.read_every, options.rows))


if __name__ == "__main__":
    main()
