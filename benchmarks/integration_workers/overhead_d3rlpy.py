"""TD3PlusBC of d3rlpy as published, timed with its callback and without."""

# pyright: reportMissingImports=false

import argparse

import d3rlpy

from benchmarks.integration_workers.clock import report, watched
from benchmarks.integration_workers.with_d3rlpy import dataset, learner
from seemrl.integrations.d3rlpy import MonitorCallback

d3rlpy.seed(0)
transitions = dataset()
algorithm = learner(
    argparse.Namespace(alpha=2.5, tau=0.005, learning_rate=3e-4, hidden=256, layer_norm=False)  # its defaults
)
watch = MonitorCallback(transitions, every=1) if watched() else None


def train(updates: int) -> None:
    algorithm.fit(
        transitions,
        n_steps=updates,
        n_steps_per_epoch=updates,
        callback=watch,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
        save_interval=10**9,
    )


report(train, lambda: None if watch is None else watch.monitor)
