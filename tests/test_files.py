import json
import math
import os
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from seemrl import files
from seemrl.files import append_json_line, read_json_lines, strict, write_atomically, write_json, write_json_lines


class Interrupted(BaseException):
    pass


def names_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


# Atomic replacement


def test_a_writer_that_raises_leaves_the_old_content_and_nothing_else(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})

    def half_written(temporary: Path) -> None:
        temporary.write_text('{"new": ')
        raise Interrupted

    with pytest.raises(Interrupted):
        write_atomically(file, half_written)
    assert json.loads(file.read_text()) == {"old": 1}
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize("broken", ["flush_to_disk", "os.replace"])
def test_a_disk_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, broken):
    file = tmp_path / "a.json"
    write_json(file, {"old": 1})

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files, broken, fail) if broken in vars(files) else monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_json(file, {"new": 2})
    monkeypatch.undo()
    assert json.loads(file.read_text()) == {"old": 1}
    assert names_in(tmp_path) == ["a.json"]


def test_a_writer_that_writes_nothing_is_an_error_and_the_old_content_stays(tmp_path):
    file = tmp_path / "a"
    file.write_text("old")
    with pytest.raises(FileNotFoundError):
        write_atomically(file, lambda temporary: None)
    assert file.read_text() == "old"


def test_the_file_is_whole_or_absent_at_every_moment_of_its_writing(tmp_path):
    file = tmp_path / "a"
    seen: list[bool] = []

    def watched(temporary: Path) -> None:
        assert temporary.parent == tmp_path  # a rename within one directory is atomic, one across disks is not
        temporary.write_text("content")
        seen.append(file.exists())

    write_atomically(file, watched)
    assert seen == [False]
    assert file.read_text() == "content"


def test_content_is_flushed_before_the_rename_and_the_directory_after_it(tmp_path, monkeypatch):
    order: list[str] = []
    flush, rename = files.flush_to_disk, os.replace
    monkeypatch.setattr(files, "flush_to_disk", lambda path: (order.append(f"flush {path.suffix}"), flush(path)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), rename(a, b)))
    write_json(tmp_path / "a.json", 1)
    assert order == ["flush .tmp", "rename", "flush "]


# JSON lines

ROWS = [{"step": 1, "q": 0.1}, {"step": 2, "q": 1e300}, {"step": 3, "q": None}]


def test_rows_appended_one_by_one_or_written_at_once_are_the_same_bytes(tmp_path):
    for row in ROWS:
        append_json_line(tmp_path / "appended", row)
    write_json_lines(tmp_path / "written", ROWS)
    assert (tmp_path / "appended").read_bytes() == (tmp_path / "written").read_bytes()
    assert read_json_lines(tmp_path / "appended") == ROWS


def test_no_file_means_no_rows(tmp_path):
    assert read_json_lines(tmp_path / "missing") == []
    (tmp_path / "empty").touch()
    assert read_json_lines(tmp_path / "empty") == []


def test_wherever_a_kill_cuts_the_last_line_the_rows_before_it_are_read(tmp_path):
    file = tmp_path / "log.jsonl"
    write_json_lines(file, ROWS)
    whole = file.read_bytes()
    for length in range(whole.rindex(b"\n", 0, -1) + 1, len(whole)):
        file.write_bytes(whole[:length])
        assert read_json_lines(file) == ROWS[:-1]


def test_a_last_line_cut_inside_a_character_is_skipped_too(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"a": 1}\n' + '{"a": "é'.encode()[:-1])
    assert read_json_lines(file) == [{"a": 1}]


@pytest.mark.parametrize("broken", ["{oops", "", "[1]", "3", '"text"', "null", '{"a": 1} {"b": 2}', "\x00\x00"])
def test_a_broken_line_before_the_last_is_named_with_its_file(tmp_path, broken):
    file = tmp_path / "log.jsonl"
    file.write_text(f'{{"a": 1}}\n{broken}\n{{"a": 3}}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl: line 2 is not a JSON object"):
        read_json_lines(file)


# Strict JSON


def reject(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@given(st.floats())
def test_every_float_comes_back_through_float_bit_by_bit(value):
    text = json.dumps(strict({"value": value}), allow_nan=False)
    back = float(json.loads(text, parse_constant=reject)["value"])
    assert back == value or (math.isnan(back) and math.isnan(value))
    assert math.copysign(1, back) == math.copysign(1, value) or math.isnan(value)


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_what_json_lacks_becomes_text_however_deep_it_lies(tmp_path, value, text):
    row = {"a": value, "b": [1.0, (value,)], "c": {"d": {"e": value}}}
    expected = {"a": text, "b": [1.0, [text]], "c": {"d": {"e": text}}}
    write_json(tmp_path / "a.json", row)
    append_json_line(tmp_path / "a.jsonl", row)
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=reject) == expected
    assert read_json_lines(tmp_path / "a.jsonl") == [expected]


def test_what_json_has_stays_as_it_is():
    value = {"text": "nan", "true": True, "none": None, "big": 2**70, "max": sys.float_info.max, "empty": [{}, []]}
    assert strict(value) == value
    assert strict({1: 2}) == {"1": 2}


def test_an_object_that_is_not_json_is_refused_and_nothing_is_appended(tmp_path):
    file = tmp_path / "log.jsonl"
    append_json_line(file, ROWS[0])
    with pytest.raises(TypeError):
        append_json_line(file, {"step": object()})
    assert read_json_lines(file) == ROWS[:1]
