"""Tables over runs that were followed: alarms before onset, errors at twice the step, who will pass, coverage."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

import numpy as np

from benchmarks.forecast.curve_runs import DEPTHS, END, HONEST, LARGE, LOOKS, MARKS, Followed, Point
from benchmarks.forecast.tables import Rows, Table, area

FALSE_ALARMS = 0.02
TARGET_ERROR = 0.3


def tables(runs: Sequence[Followed]) -> list[Table]:
    """All tables, in the order of the documentation."""
    return [
        alarm_table(runs),
        error_table(runs),
        error_by_place(runs),
        passing_table(runs),
        coverage_table(runs),
        alarm_by_algorithm(runs),
    ]


def alarm_table(runs: Sequence[Followed]) -> Table:
    """Alarms before the onsets, and false ones."""
    rows: Rows = []
    for name, alarm in (("no reward bound given", _alone), (f"reward bound {HONEST:g} given", _bounded)):
        rows.append([name, *_alarm_cells(runs, alarm)])
    lower = _fold_for(runs, "honest")
    rows.append([f"no bound; fold for 2% false below {HONEST:g}", *_cells([(run, lower) for run in runs])])
    for name, key in (("seed", _seed), ("data set", _dataset), ("algorithm", _algo)):
        rows.append([f"no bound; fold chosen without the {name}", *_held_out_alarms(runs, key)])
    return Table(
        "Alarms",
        [
            "",
            f"before |Q| > {LARGE:g}",
            "the same, TD3, SAC, TD3+BC",
            f"before |Q| > {HONEST:g} (runs that later pass {LARGE:g})",
            f"false: runs never past {LARGE:g}",
            f"false: runs never past {HONEST:g}",
        ],
        rows,
    )


def _alarm_cells(runs: Sequence[Followed], alarm: Callable[[Followed], float]) -> list[str]:
    passing = [run for run in runs if run.onsets["large"] is not None]
    core = [run for run in passing if run.core]
    quiet = [run for run in runs if run.onsets["large"] is None]
    honest = [run for run in runs if run.onsets["honest"] is None]
    return [
        _share(alarm(run) < (run.onsets["large"] or 0) for run in passing),
        _share(alarm(run) < (run.onsets["large"] or 0) for run in core),
        _share(alarm(run) < (run.onsets["honest"] or 0) for run in passing),
        _share(alarm(run) < np.inf for run in quiet),
        _share(alarm(run) < np.inf for run in honest),
    ]


def _held_out_alarms(runs: Sequence[Followed], key: Callable[[Followed], object]) -> list[str]:
    """The same with the fold set on the other groups, so that 2% of their quiet runs alarm."""
    folds = {
        group: _fold_for([run for run in runs if str(key(run)) != group], "large")
        for group in {str(key(run)) for run in runs}
    }
    return _cells([(run, folds[str(key(run))]) for run in runs])


def _fold_for(runs: Sequence[Followed], onset: str) -> float:
    """The fold that 2% of the runs without this onset reach."""
    quiet = sorted((run.folds["ever"] for run in runs if run.onsets[onset] is None), reverse=True)
    return quiet[int(FALSE_ALARMS * len(quiet))]


def _cells(called: Sequence[tuple[Followed, float]]) -> list[str]:
    passing = [(run, fold) for run, fold in called if run.onsets["large"] is not None]
    return [
        _share(run.folds["large"] > fold for run, fold in passing),
        _share(run.folds["large"] > fold for run, fold in passing if run.core),
        _share(run.folds["honest"] > fold for run, fold in passing),
        _share(run.folds["ever"] > fold for run, fold in called if run.onsets["large"] is None),
        _share(run.folds["ever"] > fold for run, fold in called if run.onsets["honest"] is None),
    ]


def error_table(runs: Sequence[Followed]) -> Table:
    """Errors of log10|Q| at twice the step, after each onset."""
    core = [run for run in runs if run.core]
    names = {"honest": f"|Q| first past {HONEST:g}", "large": f"|Q| first past {LARGE:g}", "alarm": "the first alarm"}
    rows: Rows = []
    for mark in MARKS:
        points = [(run, point) for run in core for point in run.points if point.grid == mark]
        only = [point for _, point in points]
        held_out = [_depth_held_out(core, mark, key) for key in (_seed, _dataset)]
        rows.append(
            [
                f"after {names[mark]}",
                f"{len({(run.algo, run.dataset, run.seed) for run, _ in points})} / {len(points)}",
                _error(only),
                *held_out,
                f"{median(abs(point.grown) for point in only):.2f}",
                f"{np.mean([point.held for point in only]):.0%}",
            ]
        )
        if mark == "alarm":
            on = [point for point in only if point.alarmed]
            shift = f"{median(abs(point.grown) for point in on):.2f}"
            held = f"{np.mean([point.held for point in on]):.0%}"
            rows.append(["while the alarm is on", f"- / {len(on)}", _error(on), "-", "-", shift, held])
    return Table(
        "log10|Q| at twice the step: TD3, SAC, TD3+BC",
        [
            "forecasts made",
            "runs / forecasts",
            "median error (target 0.3)",
            "depth chosen on other seeds",
            "depth chosen on other data sets",
            "median growth (error of “stays as it is”)",
            "90% band holds",
        ],
        rows,
    )


def error_by_place(runs: Sequence[Followed]) -> Table:
    """The same errors after the large value, where they come from."""
    rows: Rows = []
    for algo, dataset in sorted({(run.algo, run.dataset) for run in runs if run.core}):
        mine = [run for run in runs if (run.algo, run.dataset) == (algo, dataset)]
        points = [point for run in mine for point in run.points if point.grid == "large"]
        if points:
            grown = f"{median(abs(point.grown) for point in points):.2f}"
            rows.append([f"{algo}, {dataset}", f"{len(points)}", _error(points), grown])
    return Table(
        f"The errors after |Q| first past {LARGE:g}, by algorithm and data set",
        ["", "forecasts", "median error", "median growth"],
        rows,
    )


def _depth_held_out(runs: Sequence[Followed], mark: str, key: Callable[[Followed], object]) -> str:
    """Median error where the depth, the law's only number, is the best one on the other groups."""
    errors: list[float] = []
    for group in sorted({str(key(run)) for run in runs}):
        here = [point for run in runs if str(key(run)) == group for point in run.points if point.grid == mark]
        others = [point for run in runs if str(key(run)) != group for point in run.points if point.grid == mark]
        depth = min(DEPTHS, key=lambda depth: median(_miss(point, depth) for point in others))
        errors += [_miss(point, depth) for point in here]
    return f"{median(errors):.2f}"


def passing_table(runs: Sequence[Followed]) -> Table:
    """AUROC of telling who passes the large value."""
    names = {
        "forecast": "forecast",
        "size": "|Q| now",
        "slope": "log-slope kept",
        "loss": "critic loss",
        "relative_loss": "√loss / |Q|",
    }
    rows: Rows = []
    for kind, only_waiting in (("all runs", False), ("not past it yet", True)):
        for look in LOOKS:
            group = [run.scores[look] for run in runs if not only_waiting or (run.onsets["large"] or np.inf) > look]
            passed = np.array([score.passed for score in group])
            areas = [area(passed, np.array([getattr(score, name) for score in group])) for name in names]
            counts = f"{passed.sum()} of {len(passed)}"
            rows.append([f"{kind}, at {look:,}", counts, *(f"{value:.2f}" for value in areas)])
    return Table(
        f"Who passes {LARGE:g} by step {END:,}: area under the curve",
        ["", "pass", *names.values()],
        rows,
    )


def coverage_table(runs: Sequence[Followed]) -> Table:
    """How often the band holds what follows at twice the step, over all runs."""
    rows: Rows = []
    groups: list[tuple[str, Callable[[Followed], bool]]] = [
        ("all runs", lambda run: True),
        ("TD3, SAC, TD3+BC", lambda run: run.core),
        (f"runs never past {HONEST:g}", lambda run: run.onsets["honest"] is None),
        (f"runs past {LARGE:g} at some step", lambda run: run.onsets["large"] is not None),
    ]
    for name, wanted in groups:
        points = [point for run in runs if wanted(run) for point in run.points if point.grid == "all"]
        rows.append([name, f"{len(points)}", _error(points), f"{np.mean([point.held for point in points]):.0%}"])
    return Table(
        "Every run, at steps 5,000, 8,000, 12,800, ...: log10|Q| at twice the step",
        ["", "forecasts", "median error", "90% band holds"],
        rows,
    )


def alarm_by_algorithm(runs: Sequence[Followed]) -> Table:
    """Runs that pass the large value, and alarms before it, by algorithm."""
    rows: Rows = []
    for algo in sorted({run.algo for run in runs}):
        mine = [run for run in runs if run.algo == algo]
        passing = [run for run in mine if run.onsets["large"] is not None]
        quiet = [run for run in mine if run.onsets["large"] is None]
        early = sum(_alone(run) < (run.onsets["large"] or 0) for run in passing)
        false = sum(_alone(run) < np.inf for run in quiet)
        rows.append([algo, f"{len(mine)}", f"{len(passing)}", f"{early}", f"{false}"])
    return Table(
        "By algorithm, no bound given",
        ["algorithm", "runs", f"pass {LARGE:g}", "alarm before", "false alarms"],
        rows,
    )


def _alone(run: Followed) -> float:
    alarm = run.onsets["alarm"]
    return np.inf if alarm is None else alarm


def _bounded(run: Followed) -> float:
    return np.inf if run.bounded_alarm is None else run.bounded_alarm


def _seed(run: Followed) -> object:
    return run.seed


def _dataset(run: Followed) -> object:
    return run.dataset


def _algo(run: Followed) -> object:
    return run.algo


def _miss(point: Point, depth: int) -> float:
    return abs(point.forecast[depth] - point.grown)


def _error(points: Sequence[Point]) -> str:
    return f"{median(_miss(point, 3) for point in points):.2f}" if len(points) else "-"


def _share(happened: Iterable[bool]) -> str:
    known = list(happened)
    return f"{sum(known)}/{len(known)} = {sum(known) / max(len(known), 1):.1%}"
