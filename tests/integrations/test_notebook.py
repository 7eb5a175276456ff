"""The notebook from its first cell to its last, in a kernel of its own; what it shows is what it tells."""

# pyright: reportMissingImports=false

import json
from pathlib import Path

import pytest

pytest.importorskip("d3rlpy")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")
pytest.importorskip("nbclient")

import nbformat
from nbclient import NotebookClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NOTEBOOK = Path(__file__).parents[2] / "examples" / "diverging_d3rlpy.ipynb"
FACTS = """
import json
print(json.dumps({
    "verdict": outlook.verdict,
    "alarm": outlook.step,
    "share_at_alarm": readings[-1].q_mean / BOUND,
    "passed": passed,
    "first": remedies[0].name,
    "rates": [remedies[0].rate_before, remedies[0].rate_after],
    "cured": watch_cured.monitor.verdict,
    "cured_share": max(reading.q_mean for reading in watch_cured.monitor.history) / BOUND,
}))
"""


@pytest.fixture
def book():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_a_diverging_run_is_called_before_the_bound_and_the_first_advice_cures_it(book, tmp_path):
    book.cells.append(nbformat.v4.new_code_cell(FACTS))
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, timeout=900, kernel_name="python3", resources=place).execute()
    found = json.loads(book.cells[-1].outputs[0].text)
    assert found["verdict"] == "diverging"
    assert found["share_at_alarm"] < 0.5
    assert found["alarm"] < found["passed"]
    assert found["first"] == "LayerNorm in the critic"
    assert found["rates"][1] < 0.2 * found["rates"][0]
    assert found["cured"] == "stable"
    assert found["cured_share"] < 0.5
    logs = {log.name for log in (tmp_path / "runs").iterdir() if (log / "readings.jsonl").exists()}
    assert logs == {"free", "layer-norm", "free-on"}


def test_the_outputs_beside_the_cells_come_from_one_run_and_name_no_machine(book):
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    said = "".join(output.get("text", "") for output in outputs)
    assert "stopped: diverging at step" in said
    assert str(Path.home()) not in said and "/tmp" not in said
