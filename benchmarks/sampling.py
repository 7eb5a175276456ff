"""How far a reading on K rows lies from one on other rows, and whether its standard errors say so.

python -m benchmarks.sampling --out docs/images/sampling.svg      (about nine minutes on one core)
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median, stdev
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # seconds are those of one thread; set before NumPy loads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from seemrl.training.backend import prepare_jax

prepare_jax()

import numpy as np  # noqa: E402
import tyro  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from seemrl import Batch, Reading, measure  # noqa: E402
from seemrl.agents.agent import COLUMNS  # noqa: E402
from seemrl.agents.config import TD3BCConfig  # noqa: E402
from seemrl.data.embedded import load_embedded_hopper  # noqa: E402
from seemrl.training.config import TrainConfig  # noqa: E402
from seemrl.training.loop import Run  # noqa: E402
from seemrl.training.reading import as_measured  # noqa: E402
from seemrl.training.setup import open_run  # noqa: E402

_FULL_REPEATS = 128  # rows up to which every sample is read; beyond, as many as cost as much, or nearly
_FEWEST = 3
_QUANTILE = 1.64  # of the normal distribution: 90% within
_TD3 = TD3BCConfig(q_weight=1.0, bc_weight=0.0)
_DIVERGING = replace(_TD3, target_rate=1.0, critic_learning_rate=5e-5, actor_learning_rate=5e-5)
_VARIANTS = {
    "TD3, no averaging": _DIVERGING,
    "the same, LayerNorm": replace(_DIVERGING, critic_norm="layer"),
    "TD3, averaging": _TD3,
    "TD3+BC": TD3BCConfig(),
}


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Read the same critics on many independent samples of rows, and compare the spread with the standard errors."""

    rows: tuple[int, ...] = (32, 64, 96, 128, 256, 512)
    """Sizes of a sample, K."""
    repeats: int = 16
    """Samples for each K up to 128; fewer beyond, three at least."""
    checkpoints: tuple[int, ...] = (400, 2000)
    """Updates after which the critics are read."""
    reference_rows: int = 2048
    """Rows of the sample that gives the reference of `normalized`; that of `rate` is the mean at the largest K."""
    seed: int = 0
    """Of training and samples."""
    out: str = ""
    """Where to draw the figure (.svg or .png); needs matplotlib."""
    json: str = ""
    """Where to keep every number."""


@dataclass(frozen=True)
class Number:
    """One of a reading's two numbers over the samples of one size.

    Attributes:
        mean: over the samples.
        spread: standard deviation over the samples.
        reported: median standard error that the readings gave.
        coverage: share of readings whose value +- 1.64 standard errors holds the reference; None for no reference.
        reference: the value on the largest sample.
        noise: standard deviation of readings on one and the same sample with other policy draws; None if not taken.
    """

    mean: float
    spread: float
    reported: float
    coverage: float | None
    reference: float
    noise: float | None

    @property
    def ratio(self) -> float:
        """Reported over seen; 1 if the standard error is honest, NaN where every sample gave the same."""
        return self.reported / self.spread if self.spread else math.nan


@dataclass(frozen=True)
class Row:
    """Samples of one size from one critic.

    Attributes:
        variant: of the training run.
        step: updates done.
        rows: K.
        samples: how many.
        seconds: median processor time of a reading.
        numbers: by name.
    """

    variant: str
    step: int
    rows: int
    samples: int
    seconds: float
    numbers: dict[str, Number]


def main(config: SamplingConfig) -> None:
    rows = [row for variant in _VARIANTS for row in _variant(config, variant)]
    if config.json:
        Path(config.json).write_text(json.dumps([asdict(row) for row in rows], indent=1))
    console = Console(width=140)
    for name in ("normalized", "rate"):
        console.print(_table(rows, name))
    if config.out:
        draw(rows, Path(config.out))


def _variant(config: SamplingConfig, variant: str) -> Iterator[Row]:
    """Train one critic and read it at each checkpoint."""
    with tempfile.TemporaryDirectory() as directory:
        run = open_run(
            TrainConfig(
                out=str(Path(directory) / "run"),
                hyperparameters=_VARIANTS[variant],
                steps=max(config.checkpoints),
                seed=config.seed,
                env="none",
                read_every=min(config.checkpoints),
                checkpoint_every=max(config.checkpoints),
            ),
            print,
            load_embedded_hopper(),
        )
        for progress in run.train():
            if progress.step in config.checkpoints:
                yield from _checkpoint(config, variant, run)


def _checkpoint(config: SamplingConfig, variant: str, run: Run) -> Iterator[Row]:
    samples = {count: _samples(config, variant, run, count) for count in sorted(config.rows)}
    reference = {
        "normalized": _read(run, config.reference_rows, config.seed, 0, with_rate=False)[0].normalized,
        "rate": fmean(_value(reading, "rate") for reading, _ in samples[max(samples)]),
    }
    for count, found in samples.items():
        readings = [reading for reading, _ in found]
        again: list[Reading] = []
        if count == min(_FULL_REPEATS, max(samples)):
            again = [_read(run, count, config.seed, noise)[0] for noise in range(1, 1 + max(config.repeats // 2, 2))]
        numbers = {
            name: _number(readings, again, name, reference[name], name == "normalized" or count < max(samples))
            for name in reference
        }
        yield Row(variant, run.step, count, len(found), median(seconds for _, seconds in found), numbers)


def _samples(config: SamplingConfig, variant: str, run: Run, count: int) -> list[tuple[Reading, float]]:
    affordable = int(config.repeats * min(1.0, (_FULL_REPEATS / count) ** 2))
    print(f"{variant}, step {run.step}: {count} rows", file=sys.stderr, flush=True)
    seeds = range(config.seed + 1, config.seed + 1 + max(_FEWEST, affordable))
    return [_read(run, count, seed, seed) for seed in seeds]


def _read(run: Run, count: int, seed: int, noise: int, with_rate: bool = True) -> tuple[Reading, float]:
    """A reading as training takes it, on rows and policy draws of its own; and its processor time."""
    chosen = run.data.batch_rows(count, seed)
    batch = Batch(*(np.asarray(getattr(run.transitions(chosen), name)) for name in COLUMNS))
    critic, target, policy, options = as_measured(run.agent, len(run.data), noise)
    options |= {} if with_rate else {"optimizer": None}
    started = process_time()
    reading = measure(critic, batch, policy, target_critic=target, **options)
    return reading, process_time() - started


def _number(readings: Sequence[Reading], again: Sequence[Reading], name: str, reference: float, hold: bool) -> Number:
    values = [_value(reading, name) for reading in readings]
    errors = [_value(reading, f"{name}_error") for reading in readings]
    held = [abs(value - reference) <= _QUANTILE * error for value, error in zip(values, errors, strict=True)]
    return Number(
        mean=fmean(values),
        spread=stdev(values),
        reported=median(errors),
        coverage=fmean(held) if hold else None,
        reference=reference,
        noise=stdev(_value(reading, name) for reading in again) if again else None,
    )


def _value(reading: Reading, name: str) -> float:
    """A number of the reading; an unknown standard error counts as none."""
    value = getattr(reading, name)
    return 0.0 if value is None else float(value)


def _table(rows: Sequence[Row], name: str) -> Table:
    columns = ("critic", "step", "K", "samples", "mean", "spread", "reported", "ratio", "coverage", "reference")
    table = Table(*columns, "same rows", "seconds", title=name)
    for row in rows:
        number = row.numbers[name]
        table.add_row(
            row.variant,
            str(row.step),
            str(row.rows),
            str(row.samples),
            *(f"{value:.2g}" for value in (number.mean, number.spread, number.reported, number.ratio)),
            "" if number.coverage is None else f"{number.coverage:.0%}",
            f"{number.reference:.2g}",
            "" if number.noise is None else f"{number.noise:.1g}",
            f"{row.seconds:.2f}",
            end_section=row.rows == max(other.rows for other in rows),
        )
    return table


def draw(rows: Sequence[Row], path: Path) -> None:
    """Spread and median standard error against K: a panel a number, a colour a variant, last checkpoint."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "sampling"  # the same picture from the same numbers
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4.6), sharex=True, layout="constrained")
    last = max(row.step for row in rows)
    counts = sorted({row.rows for row in rows})
    for panel, name in zip(panels, ("normalized", "rate"), strict=True):
        chosen = [row for row in rows if row.step == last]
        for position, variant in enumerate(_VARIANTS):
            own = [row for row in chosen if row.variant == variant]
            for field, style in (("spread", "-o"), ("reported", "--s")):
                errors = [getattr(row.numbers[name], field) or math.nan for row in own]  # zero has no logarithm
                label = variant if field == "spread" else None
                sizes = [row.rows for row in own]
                panel.loglog(sizes, errors, style, color=f"C{position}", label=label, markersize=4, linewidth=1.5)
        guide = [3 * max(row.numbers[name].spread for row in chosen) * (count / counts[0]) ** -0.5 for count in counts]
        panel.loglog(counts, guide, ":", color="0.5")
        panel.annotate("K$^{-1/2}$", (counts[-1], guide[-1]), color="0.4", xytext=(4, 0), textcoords="offset points")
        panel.set(title=f"{name} after {last:,} updates", xlabel="rows of the sample, K")
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("standard error")
    panels[0].plot([], [], "-", color="0.3", label="spread over samples")
    panels[0].plot([], [], "--", color="0.3", label="reported standard error")
    figure.legend(handles=panels[0].get_legend_handles_labels()[0], loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(SamplingConfig))
