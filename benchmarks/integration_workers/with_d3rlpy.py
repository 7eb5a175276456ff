"""TD3PlusBC of d3rlpy on the embedded Hopper transitions, watched; leaves the monitor's log. Needs d3rlpy."""

# pyright: reportMissingImports=false

import argparse

import d3rlpy

import seemrl
from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations.d3rlpy import MonitorCallback
from seemrl.integrations.d3rlpy_encoders import LayerNormEncoderFactory


def dataset() -> d3rlpy.dataset.MDPDataset:
    data = load_embedded_hopper()
    return d3rlpy.dataset.MDPDataset(
        data.observations,
        data.actions,
        data.rewards,
        data.terminals.astype("float32"),
        (data.timeouts & ~data.terminals).astype("float32"),
    )


def learner(options: argparse.Namespace) -> d3rlpy.algos.TD3PlusBC:
    units = [options.hidden, options.hidden]
    plain = d3rlpy.models.VectorEncoderFactory(hidden_units=units)
    return d3rlpy.algos.TD3PlusBCConfig(
        alpha=options.alpha,
        tau=options.tau,
        actor_learning_rate=options.learning_rate,
        critic_learning_rate=options.learning_rate,
        actor_encoder_factory=plain,
        critic_encoder_factory=LayerNormEncoderFactory(hidden_units=units) if options.layer_norm else plain,
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(),
    ).create(device="cpu:0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--alpha", type=float, default=2.5)
    parser.add_argument("--tau", type=float, default=0.005)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--layer-norm", action="store_true")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--read-every", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--log", required=True)
    options = parser.parse_args()
    d3rlpy.seed(options.seed)
    advised = False

    def alarmed(outlook: seemrl.Forecast) -> None:
        nonlocal advised
        if outlook.verdict == "diverging" and not advised:
            advised = True
            assert watch.monitor is not None
            watch.monitor.advise()  # into the log

    watch = MonitorCallback(
        dataset(),
        rows=options.rows,
        every=options.read_every,
        time_share=None,
        reward_bound=load_embedded_hopper().reward_bound(0.99),
        directory=options.log,
        loggers=(),
        on_verdict=alarmed,
    )
    learner(options).fit(
        dataset(),
        n_steps=options.steps,
        n_steps_per_epoch=options.steps,
        callback=watch,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )


if __name__ == "__main__":
    main()
