"""Settings that must be in place before `seemrl`, and with it JAX, is first imported."""

import os
from pathlib import Path

import jaxtyping

# Every shape and type that the package states is checked while the tests run.
jaxtyping.install_import_hook("seemrl", "typechecks.check")

# One thread for each product, as in training, and compiled programs kept for the next run, the small ones too.
_COMPILED = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "seemrl" / "compiled-by-tests"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_COMPILED))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
