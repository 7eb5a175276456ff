"""A process of its own that loads files: what crashes, hangs or eats memory there is a finding, not the tests' end."""

import select
import subprocess
import sys
from pathlib import Path

SECONDS = 20
MEGABYTES = 2048

_LOOP = """
import os, resource, sys
import h5py, numpy, pyarrow, pyarrow.dataset, pyarrow.parquet
from seemrl.data.loading import load
from seemrl.errors import InputError
pages = int(open("/proc/self/statm").read().split()[0]) if os.path.exists("/proc/self/statm") else 0
limit = pages * resource.getpagesize() + MEGABYTES * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for line in sys.stdin:
    try:
        answer = f"rows {len(load(line[:-1]))}"
    except InputError as error:
        answer = f"refused {error}"
    except BaseException as error:
        answer = f"raised {type(error).__name__}: {error}"
    print(answer.replace("\\n", " // "), flush=True)
"""


class Loader:
    """Loads files one by one; started again whenever it does not survive one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def outcome(self, path: Path) -> str:
        """``rows N``, ``refused MESSAGE``, or what should never be: ``raised ...``, ``died ...``, ``hung``."""
        if self._process is None:
            code = _LOOP.replace("MEGABYTES", str(MEGABYTES))
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._end("died before it read")
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        if not ready:
            return self._end("hung")
        answer = process.stdout.readline().rstrip("\n")
        return answer or self._end(f"died {process.wait()}")

    def _end(self, outcome: str) -> str:
        self.close()
        return outcome

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
