"""TD3+BC of d3rlpy with the instrument in its callback: readings, a forecast, and advice once the critic diverges.

python examples/d3rlpy_td3_bc.py --steps 2000                                                  # healthy
python examples/d3rlpy_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 5e-5                      # diverges
python examples/d3rlpy_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 5e-5 --layer-norm         # and does not
"""

# pyright: reportMissingImports=false

import argparse
from collections.abc import Mapping

import d3rlpy

import seemrl
from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations.d3rlpy import MonitorCallback
from seemrl.integrations.d3rlpy_encoders import LayerNormEncoderFactory


class Printed:
    """A logger of readings: any object with this method."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One line a reading."""
        q_mean, normalized, verdict = (numbers[f"critic/{name}"] for name in ("q_mean", "normalized", "verdict"))
        word = ("stable", "watch", "diverging", "diverged")[int(verdict)]
        print(f"step {step}  |Q| {q_mean:.3g}  normalized {normalized:+.4f}  {word}", flush=True)


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
    bound, alarms = data.reward_bound(config.gamma), []

    def alarmed(outlook: seemrl.Forecast) -> None:
        if outlook.verdict == "diverging" and not alarms and watch.monitor is not None:
            alarms.append(outlook.step)
            print(f"  diverging at step {outlook.step}, |Q| {watch.monitor.history[-1].q_mean:.3g} of {bound:.3g}")
            print(*(f"  {remedy.standing}: {remedy.in_short}" for remedy in watch.monitor.advise()), sep="\n")

    watch = MonitorCallback(
        dataset,
        rows=options.rows,
        every=options.read_every,
        time_share=None,
        reward_bound=bound,
        loggers=[Printed()],
        on_verdict=alarmed,
    )
    config.create(device=False).fit(
        dataset,
        n_steps=options.steps,
        n_steps_per_epoch=options.steps,
        callback=watch,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    assert watch.monitor is not None
    last = watch.monitor.history[-1]
    print(f"alarm: {alarms[0] if alarms else None}  final |Q| {last.q_mean:.3g}  reward bound {bound:.3g}")


if __name__ == "__main__":
    main()
