"""A loop whose process is killed, and the one that takes it up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from monitoring.monitored_loops import Loop
from seemrl.report.runs import read_run

_FOREVER = """
from monitoring.monitored_loops import Loop
loop = Loop(corner=0.5)
monitor = loop.monitor(every=1, directory="log")
loop.train(10**9, monitor.update)
"""


def test_a_killed_process_leaves_a_log_that_is_read_and_continued(tmp_path):
    tests, source = Path(__file__).parents[1], Path(__file__).parents[2] / "src"
    environment = os.environ | {"PYTHONPATH": f"{source}:{tests}"}
    process = subprocess.Popen([sys.executable, "-c", _FOREVER], cwd=tmp_path, env=environment)
    log = tmp_path / "log" / "readings.jsonl"
    until = time.monotonic() + 300
    try:
        while not (log.exists() and log.read_bytes().count(b"\n") > 10):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    rows = read_run(tmp_path / "log").readings
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1)) and len(rows) > 10
    loop = Loop(corner=0.5)
    monitor = loop.monitor(every=1, directory=tmp_path / "log")
    assert len(monitor.history) == len(rows)
    loop.train(5, monitor.update)  # its checkpoint is older than the log: it begins anew at step 1
    assert [row["step"] for row in read_run(tmp_path / "log").readings] == [1, 2, 3, 4, 5]
