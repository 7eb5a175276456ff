"""TD3+BC of d3rlpy with the instrument in its callback: readings, a forecast, and advice once the critic diverges.

python examples/d3rlpy_td3_bc.py --steps 2000                                                  # healthy
python examples/d3rlpy_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 5e-5                      # diverges
python examples/d3rlpy_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 5e-5 --layer-norm         # and does not
"""

# pyright: reportMissingImports=false

import argparse
from typing import Any

import d3rlpy

import seemrl
from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations import d3rlpy as integration
from seemrl.integrations.d3rlpy_encoders import LayerNormEncoderFactory
from seemrl.integrations.parts import own_randomness


class Watch:
    """A d3rlpy callback: reads every so many updates, forecasts, and asks for advice at the first alarm."""

    def __init__(self, dataset: Any, reward_bound: float, every: int, rows: int, depth: int | None) -> None:
        self.dataset, self.reward_bound, self.every, self.rows, self.depth = dataset, reward_bound, every, rows, depth
        self.history: list[seemrl.Reading] = []
        self.alarm: int | None = None

    def __call__(self, algo: Any, epoch: int, step: int) -> None:
        """After every update."""
        if step % self.every:
            return
        parts, batch = integration.parts(algo), integration.batch(algo, self.dataset, self.rows)
        reading = parts.measure(batch, step=step)
        self.history.append(reading)
        outlook = seemrl.forecast(self.history, reward_bound=self.reward_bound, depth=self.depth)
        print(
            f"step {step}  |Q| {reading.q_mean:.3g}  normalized {reading.normalized:+.4f}  {outlook.verdict}",
            flush=True,
        )
        if outlook.verdict == "diverging" and self.alarm is None:
            self.alarm = step
            print(f"  diverging at step {step}, |Q| {reading.q_mean:.3g} of {self.reward_bound:.3g}")
            with own_randomness():
                remedies = seemrl.advise(parts.critic, batch, parts.policy, **parts.options())
            print(*(f"  {remedy.standing}: {remedy.in_short}" for remedy in remedies), sep="\n")


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--alpha", type=float, default=2.5, help="weight of Q beside behaviour cloning")
    parser.add_argument("--tau", type=float, default=0.005, help="rate of target averaging; 1: none")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--layer-norm", action="store_true", help="LayerNorm in the critic")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--read-every", type=int, default=100)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    d3rlpy.seed(options.seed)
    data = load_embedded_hopper()
    dataset = d3rlpy.dataset.MDPDataset(
        data.observations, data.actions, data.rewards, data.terminals.astype("f4"), data.timeouts.astype("f4")
    )
    units = [options.hidden, options.hidden]
    plain = d3rlpy.models.VectorEncoderFactory(hidden_units=units)
    config = d3rlpy.algos.TD3PlusBCConfig(
        alpha=options.alpha,
        tau=options.tau,
        actor_learning_rate=options.learning_rate,
        critic_learning_rate=options.learning_rate,
        actor_encoder_factory=plain,
        critic_encoder_factory=LayerNormEncoderFactory(hidden_units=units) if options.layer_norm else plain,
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(),
    )
    depth = None if options.layer_norm else 3  # weight layers of a critic without normalisers
    watch = Watch(dataset, data.reward_bound(config.gamma), options.read_every, options.rows, depth)
    config.create(device=False).fit(
        dataset,
        n_steps=options.steps,
        n_steps_per_epoch=options.steps,
        callback=watch,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    last = watch.history[-1]
    print(f"alarm: {watch.alarm}  final |Q| {last.q_mean:.3g}  reward bound {watch.reward_bound:.3g}")


if __name__ == "__main__":
    main()
