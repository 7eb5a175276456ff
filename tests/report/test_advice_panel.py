"""What the page says of a run's remedies, and what it makes of files that are not what training writes."""

import json

import pytest
from runs_on_disk import HOSTILE, diverging_run, healthy_run

from seemrl import InputError, Remedy, Sign
from seemrl.files import write_json
from seemrl.instrument.forecast.advice import Advice
from seemrl.report.advice import advice_panel
from seemrl.report.html import write_report
from seemrl.report.runs import read_run

REMEDIES = (
    Remedy("LayerNorm", "do & be", 1e-3, None, 2e-6, None, 0.2, -1e-5, "measured", "it ends", "ends it"),
    Remedy(HOSTILE, HOSTILE, 1e-3, None, None, None, 0.2, None, HOSTILE, HOSTILE, "not measured"),
)
SIGN = Sign("an outlier", "max|r|", 5e4, 7, HOSTILE, "why", "mend it")


def advised(run, **changes):
    write_json(run / "advice.json", Advice(1500, REMEDIES, (SIGN,)).to_dict() | changes)
    return run


def test_the_page_shows_remedies_and_signs_escaped(tmp_path):
    run = advised(diverging_run(tmp_path / "run"))
    page = write_report([read_run(run)], tmp_path / "page.html").read_text()
    assert "What would end it" in page and "at step 1,500" in page
    assert "0.2 → −1.0 × 10⁻⁵" in page and "do &amp; be" in page and "not measured" in page
    assert HOSTILE not in page and page.count("&lt;/script&gt;&lt;img") >= 5


def test_only_runs_with_advice_have_a_part(tmp_path):
    with_advice, without = advised(diverging_run(tmp_path / "a")), healthy_run(tmp_path / "b")
    assert advice_panel([read_run(without)]) == ""
    assert advice_panel([read_run(without), read_run(with_advice)]).count("<h3>") == 1


def test_numbers_that_json_lacks_come_back(tmp_path):
    remedy = REMEDIES[0].to_dict() | {"normalized_before": "nan", "normalized_after": "inf"}
    run = advised(diverging_run(tmp_path / "run"), remedies=[remedy])
    assert "not finite → not finite" in advice_panel([read_run(run)])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"step": 1, "remedies": [1], "signs": []}',
        '{"step": 1, "remedies": [{"name": "x"}], "signs": []}',
        json.dumps({"step": 1, "remedies": [REMEDIES[0].to_dict() | {"rate_after": "fast"}], "signs": []}),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, content):
    run = diverging_run(tmp_path / "run")
    (run / "advice.json").write_text(content)
    with pytest.raises(InputError, match=r"advice\.json: not the advice that .*; restore or remove the file") as caught:
        read_run(run)
    assert "\n" not in str(caught.value)
