"""SAC of Stable-Baselines3 with the instrument in a callback: readings, a forecast, and how far the replay has drifted.

python examples/stable_baselines3_sac.py --steps 3000
python examples/stable_baselines3_sac.py --steps 3000 --layer-norm

The data change while the critic learns, which the theory does not cover: the drift is how many standard deviations the
replay's mean has moved from the rows that are read (the largest over observation, action and reward).
"""

# pyright: reportMissingImports=false

import argparse
from collections.abc import Mapping

from stable_baselines3 import SAC

from seemrl.integrations.stable_baselines3 import MonitorCallback
from seemrl.integrations.stable_baselines3_policies import LayerNormSACPolicy


class Printed:
    """A logger of readings: any object with this method."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One line a reading."""
        shown = ("q_mean", "normalized", "rate", "replay_drift")
        print(f"update {step}", *(f"{name} {numbers[f'critic/{name}']:+.3g}" for name in shown), sep="  ", flush=True)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--layer-norm", action="store_true", help="LayerNorm in the critic")
    parser.add_argument("--read-every", type=int, default=500, help="updates between readings")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    watch = MonitorCallback(rows=options.rows, every=options.read_every, time_share=None, loggers=[Printed()])
    policy = LayerNormSACPolicy if options.layer_norm else "MlpPolicy"
    model = SAC(policy, "Pendulum-v1", seed=options.seed, policy_kwargs={"net_arch": [64, 64]})
    model.learn(options.steps, callback=watch)
    outlook = None if watch.monitor is None else watch.monitor.forecast()
    if outlook is None:
        print(f"no reading: the first comes once the replay holds ten times {options.rows} steps")
    else:
        print(outlook.verdict, *outlook.reasons, sep="\n  ")


if __name__ == "__main__":
    main()
