"""The comparison as tables: every number on the screen, seconds, memory and agreement as Markdown."""

import math
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.kernel_cells import Cell, Result
from benchmarks.kernel_critics import CriticName, make_critic
from benchmarks.kernel_methods import MethodName

_COLUMNS = (
    *("rows", "method", "median s", "min", "max", "× ours", "first call s", "peak MB"),
    *("SEEM", "rel. diff.", "diff. / ‖A‖", "note"),
)
NAMES: dict[str, str] = {
    "paper": "paper's procedure",
    "vmap-float64": "torch.func, float64",
    "vmap-float32": "torch.func",
    "curvlinops": "curvlinops + ARPACK",
    "ours-torch": "seemrl, torch",
    "ours-jax": "seemrl, JAX",
    "products-float64-full": "bare products, float64",
    "products-float64-half": "bare products, float64, half",
    "products-float32-full": "bare products",
    "products-float32-half": "bare products, half",
}

Results = Mapping[Cell, Result]


def show(results: Results, console: Console) -> None:
    """Every number, a table for each critic."""
    for critic in _critics(results):
        table = Table(*_COLUMNS, title=_title(critic))
        own = [cell for cell in results if cell.critic == critic]
        for rows in sorted({cell.rows for cell in own}):
            cells = [cell for cell in own if cell.rows == rows]
            for cell in cells:
                table.add_row(*_line(cell, results), end_section=cell == cells[-1])
        console.print(table)


def markdown(results: Results, machine: Mapping[str, Any], command: str) -> str:
    """A page: how long, how much memory, how near, for each critic."""
    parts = [
        "# Kernels compared\n",
        "Largest real eigenvalue of the self-excitation matrix, from the critic and its transitions to the number: "
        "median seconds of a call, and the range where there were several; each in a process of its own.\n",
        f"    {command}\n",
        "; ".join(f"{name} {value}" for name, value in machine.items() if value is not None) + ".",
    ]
    for critic in _critics(results):
        own = {cell: result for cell, result in results.items() if cell.critic == critic}
        parts.append(f"\n## {_title(critic)}\n")
        parts += [_grid(own, "Seconds", _seconds), _grid(own, "Peak memory added, MB", _megabytes)]
        parts += [_grid(own, "Distance of SEEM from the reference, relative to ‖A‖", _agreement), _ratios(own)]
    return "\n".join(parts) + "\n"


def _critics(results: Results) -> list[CriticName]:
    return list(dict.fromkeys([cell.critic for cell in results]))


def _title(critic: CriticName) -> str:
    return f"{critic}, {sum(parameter.numel() for parameter in make_critic(critic).parameters()):,} parameters"


def _line(cell: Cell, results: Results) -> list[str]:
    result = results[cell]
    ours = results.get(Cell("ours-torch", cell.critic, cell.rows, cell.targets))
    base = median(ours.seconds) if ours is not None and ours.seconds else math.nan
    times = ["–"] * 4
    if result.seconds:
        times = [f"{value:.3g}" for value in (median(result.seconds), min(result.seconds), max(result.seconds))]
        times.append(_or_dash(median(result.seconds) / base, ".3g"))
    difference = _difference(cell, results)
    relative = abs(difference / result.seem) if difference is not None and result.seem else None
    over_norm = _over_norm(cell, results)
    numbers = [_or_dash(result.seem, ".6g"), _or_dash(relative, ".1e"), _or_dash(over_norm, ".1e")]
    peak = _or_dash(result.peak_megabytes, ".0f")
    note = result.note if result.status == "measured" else f"{result.status}: {result.note}"
    return [str(cell.rows), cell.method, *times, _or_dash(result.first_seconds, ".3g"), peak, *numbers, note]


def _reference(cell: Cell, results: Results) -> Result | None:
    """Dense eigenvalues in the best precision there is, else ours."""
    for method in ("vmap-float64", "vmap-float32", "paper", "ours-torch"):
        found = results.get(Cell(method, cell.critic, cell.rows, cell.targets))
        if found is not None and found.seem is not None:
            return found
    return None


def _difference(cell: Cell, results: Results) -> float | None:
    reference, own = _reference(cell, results), results[cell].seem
    return None if reference is None or reference.seem is None or own is None else own - reference.seem


def _over_norm(cell: Cell, results: Results) -> float | None:
    reference, difference = _reference(cell, results), _difference(cell, results)
    return abs(difference) / reference.norm if difference is not None and reference and reference.norm else None


# ------------------------------------------------------------------------------------------------ as Markdown


def _grid(results: Results, title: str, entry: Any) -> str:
    methods: list[MethodName] = list(dict.fromkeys([cell.method for cell in results]))
    lines = [[title, *(NAMES[method] for method in methods)], ["---"] * (1 + len(methods))]
    for rows in sorted({cell.rows for cell in results}):
        found = {cell.method: entry(cell, results) for cell in results if cell.rows == rows}
        lines.append([f"{rows:,}", *(found.get(method, "–") for method in methods)])
    return _table(lines)


def _table(lines: Iterable[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _seconds(cell: Cell, results: Results) -> str:
    result = results[cell]
    if not result.seconds:
        return f"{result.status}: {result.note}"
    times = f"{median(result.seconds):.3g}"
    if len(result.seconds) > 1:
        times += f" ({min(result.seconds):.3g}–{max(result.seconds):.3g})"
    return times if result.status == "measured" else f"{result.status} in {times}: {result.note}"


def _megabytes(cell: Cell, results: Results) -> str:
    return _or_dash(results[cell].peak_megabytes, ",.0f")


def _agreement(cell: Cell, results: Results) -> str:
    return _or_dash(_over_norm(cell, results), ".0e")


def _ratios(results: Results) -> str:
    """How many times as long as seemrl on torch each of the others takes."""
    ratios = ["**Times as long as seemrl, torch:**"]
    for rows in sorted({cell.rows for cell in results}):
        of_rows = {cell.method: found.seconds for cell, found in results.items() if cell.rows == rows}
        own = {method: median(seconds) for method, seconds in of_rows.items() if seconds}
        ours = own.pop("ours-torch", None)
        if ours and own:
            each = ", ".join(f"{NAMES[method]} {taken / ours:.3g}" for method, taken in own.items())
            ratios.append(f"{rows:,} rows: {each}.")
    return " ".join(ratios) + "\n"


def _or_dash(value: float | None, style: str) -> str:
    return "–" if value is None or not math.isfinite(value) else format(value, style)
