"""Tables and charts of `seemrl reproduce x-percent`: interquartile means over seeds, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from seemrl.errors import InputError
from seemrl.experiments.arms import Arm
from seemrl.experiments.grid import COMPARED, NORMS
from seemrl.experiments.results import NORM_COLOURS, Results, Table, hidden_layers, marks, told
from seemrl.experiments.x_percent import paired
from seemrl.report.canvas import Figure, Trace, figure
from seemrl.training.scores import Aggregate, aggregate, summed_gain

_CAPTION = (
    "Interquartile mean over seeds of the {name}, with its 95% interval (none for a single run). Where the blue mark "
    "is above the orange one, LayerNorm helped."
)


def x_percent_results(arms: Sequence[Arm]) -> Results:
    """Everything there is to show.

    Raises:
        InputError: no evaluated run is whole yet.
    """
    if not arms:
        raise InputError("no evaluated run is whole yet: repeat the command with more --minutes")
    agents = list(dict.fromkeys(arm.agent for arm in arms))
    gains = gains_of(arms)
    return Results(
        title="What does LayerNorm bring when data are few?",
        notes=_notes(arms),
        tables={"Gain from LayerNorm, summed over data sets": _gain_table(gains), "Each data set": _arm_table(arms)},
        charts={
            f"{agent}, {name}": (_CAPTION.format(name=name), _chart([arm for arm in arms if arm.agent == agent], key))
            for agent in agents
            for name, key in (("final", "final"), ("mean of the last ten evaluations", "last_ten"))
        },
        rows={"gains": [asdict(gain) for gain in gains], "arms": [arm.to_dict() for arm in arms]},
    )


def _notes(arms: Sequence[Arm]) -> list[str]:
    settings = [run.config["config"] for arm in arms for run in arm.runs]
    episodes = ", ".join(sorted({str(item["evaluation_episodes"]) for item in settings}))
    return [
        f"Hidden layers: {hidden_layers(run for arm in arms for run in arm.runs)}. {episodes} episodes an evaluation.",
        "'final' is the last evaluation of a run, 'last ten' the mean over its last ten, or over as many as there are; "
        "the two differ. Scores are normalised as in D4RL; returns stand where there is no reference. Numbers are "
        "interquartile means over runs, in brackets 95% bootstrap intervals; a single run has none. Each seed draws "
        "its own part of the data.",
        "Diverged: mean |Q| over fixed rows above ten times max|r| / (1 - discount), or not finite, at a reading.",
    ]


@dataclass(frozen=True)
class Gain:
    """What LayerNorm brings one agent at one share of the data, summed over data sets."""

    agent: str
    percent: float
    steps: int
    unit: str
    data: list[str]
    final: Aggregate
    last_ten: Aggregate


def gains_of(arms: Sequence[Arm]) -> list[Gain]:
    """One for each agent and share of which both critics have whole runs."""
    groups: dict[tuple[str, float, int, str], list[tuple[Arm, Arm]]] = {}
    for before, after in paired(arms):
        groups.setdefault((after.agent, after.percent, after.steps, after.unit), []).append((before, after))
    return [
        Gain(
            *key,
            data=[after.data for _, after in pairs],
            final=summed_gain([(before.final, after.final) for before, after in pairs]),
            last_ten=summed_gain([(before.last_ten, after.last_ten) for before, after in pairs]),
        )
        for key, pairs in groups.items()
    ]


def _gain_table(gains: Sequence[Gain]) -> Table:
    head = ["agent", "share", "updates", "data sets", "unit", "final", "last ten"]
    return [
        head,
        *(
            [
                gain.agent,
                f"{gain.percent:g}%",
                f"{gain.steps:,}",
                ", ".join(gain.data),
                gain.unit,
                told(gain.final),
                told(gain.last_ten),
            ]
            for gain in gains
        ),
    ]


def _arm_table(arms: Sequence[Arm]) -> Table:
    head = ["agent", "data", "share", "critic", "updates", "runs", "unit", "final", "last ten", "diverged"]
    return [
        head,
        *(
            [
                arm.agent,
                arm.data,
                f"{arm.percent:g}%",
                NORMS.get(arm.norm, arm.norm),
                f"{arm.steps:,}",
                str(len(arm.runs)),
                arm.unit,
                told(aggregate(arm.final)),
                told(aggregate(arm.last_ten)),
                f"{sum(item.diverged_at is not None for item in arm.values)} of {len(arm.values)}",
            ]
            for arm in arms
        ),
    ]


def _chart(arms: Sequence[Arm], key: str) -> Figure:
    traces = [_marks([arm for arm in arms if arm.norm == norm], norm, key) for norm in COMPARED]
    units = ", ".join(sorted({arm.unit for arm in arms}))
    axis = {"type": "category", "automargin": True}
    return figure(traces, {"title": {"text": units}}, xaxis=axis, hovermode="closest")


def _marks(arms: Sequence[Arm], norm: str, key: str) -> Trace:
    return marks(
        NORMS[norm],
        [f"{arm.data} {arm.percent:g}%" for arm in arms],
        [aggregate(getattr(arm, key)) for arm in arms],
        {"color": NORM_COLOURS[norm], "size": 9, "symbol": "circle" if norm == "layer" else "square"},
    )
