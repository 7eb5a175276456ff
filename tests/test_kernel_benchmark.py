"""The comparison of kernels: predicted from what is done, bounded, and gone on with."""

import json
from pathlib import Path

import pytest
from benchmarks.kernel_cells import Cell, Finished, Limits, Result, run_cell
from benchmarks.kernel_costs import predicted, work
from benchmarks.kernel_methods import MethodName
from benchmarks.kernels import KernelsConfig, main

SMALL = Cell("ours-torch", "2x256", 64, "random")


def at(rows: int, method: MethodName = "paper") -> Cell:
    return Cell(method, "2x256", rows, "random")


@pytest.mark.parametrize(
    ("method", "least", "most"),
    [("curvlinops", 4, 4), ("products-float32-full", 16, 16), ("ours-torch", 15, 17), ("paper", 4, 64)],
)
def test_four_times_the_rows_cost_what_the_law_says(method, least, most):
    assert least * 0.999 <= work(at(1024, method)) / work(at(256, method)) <= most * 1.001


def test_large_sizes_of_the_paper_are_all_eigenvalues():
    assert work(at(400_000)) / work(at(200_000)) == pytest.approx(8, rel=0.1)


def test_a_prediction_is_drawn_from_the_largest_cell_below():
    finished = {at(256): Result("measured", [1.0]), at(512): Result("measured", [5.0, 4.0, 9.0])}
    found = predicted(at(1024), finished)
    assert found is not None and not found.at_least
    assert found.seconds == pytest.approx(5.0 * work(at(1024)) / work(at(512)))
    assert predicted(at(128), finished) is None
    assert predicted(at(1024, "curvlinops"), finished) is None


def test_what_was_stopped_gives_a_lower_bound():
    found = predicted(at(512), {at(256): Result("stopped", limit=60.0)})
    assert found is not None and found.at_least and found.seconds > 60


def test_a_cell_ends_with_its_time():
    result = run_cell(SMALL, Limits(seconds=0.2, gigabytes=8.0, repeats=1))
    assert (result.status, result.limit) == ("stopped", 0.2)


def test_a_cell_that_needs_more_memory_than_it_may_have_is_not_run():
    result = run_cell(at(2560), Limits(seconds=60.0, gigabytes=0.5, repeats=1))
    assert result.status == "not run" and "needs 1.48 GB, more than 0.5 GB" in result.note


def test_a_second_call_goes_on_where_the_first_was(tmp_path: Path, capsys):
    config = KernelsConfig(
        rows=(32, 64),
        critics=("2x256",),
        methods=("ours-torch", "paper"),
        repeats=1,
        budget=2.0,
        cell_limit=1.0,
        results=tmp_path / "cells.jsonl",
        markdown=tmp_path / "table.md",
    )
    known = Result("measured", [0.5], 0.6, 10.0, seem=1.0, norm=2.0)
    for cell in (at(32), at(64), at(32, "ours-torch")):
        Finished(config.results).add(cell, known)
    assert config.results is not None and config.markdown is not None
    with config.results.open("a") as file:
        file.write('{"machine": ')  # killed while it wrote
    main(config)
    assert "64 rows, ours-torch" in capsys.readouterr().err
    lines = [json.loads(line) for line in config.results.read_text().splitlines()]
    assert len(lines) == 4 and lines[-1]["result"]["status"] == "measured"
    assert Finished.at(config.results).results[at(32)] == known
    page = config.markdown.read_text()
    assert "| 32 | 0.5 | 0.5 |" in page and "needs" not in page


def test_what_does_not_fit_the_bounds_is_not_run_and_said_to_be(tmp_path: Path, capsys):
    results = tmp_path / "cells.jsonl"
    Finished(results).add(at(32), Result("measured", [100.0]))
    main(KernelsConfig(rows=(2048,), critics=("2x256",), methods=("paper",), results=results))
    assert "not run, predicted" in capsys.readouterr().err
    main(KernelsConfig(rows=(64,), critics=("2x256",), methods=("paper",), results=results, budget=0.1))
    assert "left, predicted" in capsys.readouterr().err


def test_numbers_of_another_machine_are_not_mixed_in(tmp_path: Path):
    results = tmp_path / "cells.jsonl"
    Finished(results).add(at(32), Result("measured", [1.0]))
    results.write_text(results.read_text().replace('"cores": ', '"cores": 9'))
    with pytest.raises(SystemExit, match="line 1 was measured on"):
        Finished.at(results)
