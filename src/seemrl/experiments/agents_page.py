"""Tables and charts of `seemrl reproduce agents`: returns beside those of the behaviour and of cloning it."""

import math
from collections.abc import Sequence

from seemrl.errors import InputError
from seemrl.experiments.agents import CLONING, Compared
from seemrl.experiments.results import Results, Table, hidden_layers, marks, told
from seemrl.report.canvas import Figure, figure
from seemrl.report.palette import NEUTRAL, run_colour, run_symbol
from seemrl.training.scores import Aggregate, aggregate, summed_gain

_CAPTION = (
    "Interquartile mean over seeds of the return, mean of the last ten evaluations, with its 95% interval (none for a "
    "single run). The grey dashes are at the return of the policy that gathered the data."
)


def agents_results(found: Sequence[Compared]) -> Results:
    """Everything there is to show.

    Raises:
        InputError: no evaluated run is whole yet.
    """
    if not found:
        raise InputError("no evaluated run is whole yet: repeat the command with more --minutes")
    data = list(dict.fromkeys(item.arm.data for item in found))
    return Results(
        title="Does every agent learn?",
        notes=_notes(found),
        tables={name: _table([item for item in found if item.arm.data == name]) for name in data},
        charts={name: (_CAPTION, _chart([item for item in found if item.arm.data == name])) for name in data},
        rows={"arms": [item.arm.to_dict() | {"behaviour_return": item.behaviour} for item in found]},
    )


def _notes(found: Sequence[Compared]) -> list[str]:
    runs = [run for item in found for run in item.arm.runs]
    episodes = ", ".join(sorted({str(run.config["config"]["evaluation_episodes"]) for run in runs}))
    return [
        f"Hidden layers: {hidden_layers(runs)}. {episodes} episodes an evaluation; everything else as published.",
        "'final' is the last evaluation of a run, 'last ten' the mean over its last ten, or over as many as there are; "
        "the two differ. Undiscounted returns; interquartile means over runs, in brackets 95% bootstrap intervals.",
        "Against the behaviour (the mean return of the policy that gathered the data) and against cloning (the runs of "
        "bc on the same data), by the last ten: above or below where the interval, or that of the difference, leaves "
        "out zero; else not apart. A single run has no interval.",
    ]


def _table(found: Sequence[Compared]) -> Table:
    head = ["agent", "updates", "runs", "final", "last ten", "behaviour", "against it", "against cloning", "diverged"]
    return [head, *([*_of_runs(item), _diverged(item)] for item in found)]


def _of_runs(item: Compared) -> list[str]:
    arm, last = item.arm, aggregate(item.arm.last_ten)
    known = item.behaviour is not None and math.isfinite(item.behaviour)
    return [
        arm.agent,
        f"{arm.steps:,}",
        str(len(arm.runs)),
        told(aggregate(arm.final)),
        told(last),
        f"{item.behaviour:.1f}" if known else "unknown",
        _beside(_less(last, item.behaviour)) if known and item.behaviour is not None else "–",
        "–"
        if item.cloning is None or arm.agent == CLONING
        else _beside(summed_gain([(item.cloning.last_ten, arm.last_ten)])),
    ]


def _less(found: Aggregate, number: float) -> Aggregate:
    interval = found.interval
    return Aggregate(found.mean - number, None if interval is None else (interval[0] - number, interval[1] - number))


def _beside(difference: Aggregate) -> str:
    """Above, below, or not to be told apart."""
    if difference.interval is None:
        return f"one run ({difference.mean:+.0f})"
    if difference.interval[0] <= 0 <= difference.interval[1]:
        return f"not apart ({difference.mean:+.0f})"
    return f"{'above' if difference.mean > 0 else 'below'} ({difference.mean:+.0f})"


def _diverged(item: Compared) -> str:
    values = item.arm.values
    if all(math.isnan(value.largest) for value in values):
        return "–"
    return f"{sum(value.diverged_at is not None for value in values)} of {len(values)}"


def _chart(found: Sequence[Compared]) -> Figure:
    traces = [
        marks(
            item.arm.agent,
            [item.arm.agent],
            [aggregate(item.arm.last_ten)],
            {"color": run_colour(number), "size": 9, "symbol": run_symbol(number)},
        )
        for number, item in enumerate(found)
    ]
    behaviour, agents = found[0].behaviour, [item.arm.agent for item in found]
    if behaviour is not None and math.isfinite(behaviour):
        dash = {"symbol": "line-ew", "size": 60, "line": {"color": NEUTRAL, "width": 2}}
        traces.append(marks("behaviour", agents, [Aggregate(behaviour, None)] * len(agents), dash))
    axis = {"type": "category", "automargin": True}
    return figure(traces, {"title": {"text": "return"}}, xaxis=axis, hovermode="closest", showlegend=False)
