"""`seemrl watch` in a real terminal: waits for a run, follows it, and leaves everything as it was at Ctrl-C."""

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from monitored_logs import logged

CTRL_C = b"\x03"
HIDE_CURSOR, SHOW_CURSOR, CLEARED_LINE = "\x1b[?25l", "\x1b[?25h", "\r\x1b[1A\x1b[2K"
LIMIT = 60  # seconds until something has to be seen


class Terminal:
    """A command whose controlling terminal is this one."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.seen, self._decoder = "", codecs.getincrementaldecoder("utf-8")()  # a read may end within a character
        self.process = subprocess.Popen(
            [sys.executable, "-m", "seemrl", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=self._take,
        )

    @staticmethod
    def _take() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and this inherits that

    def wait_for(self, text: str) -> None:
        self._read_until(lambda: text in self.seen, text)

    def end_with(self, keys: bytes) -> int:
        os.write(self._master, keys)
        self._read_until(lambda: self.process.poll() is not None, "the end")
        while self._read(0.2):
            pass
        return self.process.returncode

    def settings(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def _read_until(self, holds, what: str) -> None:
        last = time.monotonic() + LIMIT
        while not holds():
            assert time.monotonic() < last, f"{what} was never seen in {self.seen[-2000:]!r}"
            self._read(0.1)

    def _read(self, seconds: float) -> bool:
        """Take in what is written within so many seconds, if anything; a spinner never stops writing."""
        written = bool(select.select([self._master], [], [], seconds)[0])
        if written:
            self.seen += self._decoder.decode(os.read(self._master, 65536))
        return written


@pytest.fixture
def watch():
    made: list[Terminal] = []

    def begin(*arguments: str) -> Terminal:
        made.append(Terminal("watch", *arguments))
        return made[-1]

    yield begin
    for terminal in made:
        terminal.close()


def left_clean(terminal: Terminal) -> bool:
    """The cursor is back, the prompt begins on an empty line, the keyboard is as it was, nothing was complained of."""
    return (
        terminal.seen.rindex(SHOW_CURSOR) > terminal.seen.rindex(HIDE_CURSOR)
        and terminal.seen.replace(SHOW_CURSOR, "").endswith(("\r\n", CLEARED_LINE))
        and terminal.settings() == terminal.before
        and "Traceback" not in terminal.seen
    )


def test_it_waits_for_a_run_follows_it_and_ends_clean_at_ctrl_c(tmp_path, watch):
    run = tmp_path / "run"
    terminal = watch(str(run), "--wait")
    terminal.wait_for("waiting for the run to begin")
    logged(run, readings=2)
    terminal.wait_for("at step 20")
    logged(run, readings=4)
    terminal.wait_for("at step 40")
    assert terminal.process.poll() is None
    assert terminal.end_with(CTRL_C) == 0
    assert left_clean(terminal)
    last = terminal.seen[terminal.seen.rindex("verdict") :]
    assert "at step 40" in last  # the last view stays on the screen


def test_ctrl_c_ends_the_wait_for_a_run_that_never_begins(tmp_path, watch):
    terminal = watch(str(tmp_path / "never"), "--wait")
    terminal.wait_for("waiting for the run to begin")
    assert terminal.end_with(CTRL_C) == 0
    assert left_clean(terminal)


def test_a_run_that_breaks_while_it_is_watched_is_one_line_and_leaves_the_terminal_clean(tmp_path, watch):
    run = tmp_path / "run"
    logged(run, readings=2)
    terminal = watch(str(run))
    terminal.wait_for("at step 20")
    with (run / "readings.jsonl").open("a") as file:
        file.write("no JSON\n{}\n")
    assert terminal.end_with(b"") == 2
    assert "line 3 is not a JSON object; remove that line" in " ".join(terminal.seen.split())
    assert left_clean(terminal)
