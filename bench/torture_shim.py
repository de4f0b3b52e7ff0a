"""Processes whose file operations `torture_shim.c` watches: compiled, preloaded, forked, ended."""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("torture_shim.c")
BUILT = "GAPLESS_TORTURE_SHIM"


def missing() -> str | None:
    """Say why the shim cannot be used here; None when it can."""
    if sys.platform != "linux":
        return f"the shim knows Linux's calls alone, and this is {sys.platform}"
    if shutil.which("gcc") is None and shutil.which("cc") is None:
        return "there is no C compiler (gcc or cc) to build the shim with"
    return None


def build(folder: Path) -> Path:
    """Compile the shim into `folder`."""
    library = folder / "torture_shim.so"
    compiler = shutil.which("gcc") or shutil.which("cc") or "cc"
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(library), str(SOURCE), "-ldl", "-lpthread"], check=True)
    return library


def launch(arguments: list[str], folder: Path, timeout: float | None = None) -> str:
    """Run a script of this folder under the shim; give what it printed."""
    library = build(folder)
    env = {**os.environ, "LD_PRELOAD": str(library), BUILT: str(library)}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def arm(root: Path, journal: Path | None, kill_at: int = 0, torn: int = -1) -> None:
    """Watch what this process does under `root` from here on (see `torture_shim.c`)."""
    log = None if journal is None else os.fsencode(journal)
    library().torture_arm(os.fsencode(root), log, ctypes.c_long(kill_at), ctypes.c_long(torn))


def mark(number: int) -> None:
    """Write into the journal how much has been acknowledged."""
    library().torture_mark(ctypes.c_uint64(number))


def calls() -> int:
    """Count the watched calls of this process."""
    return int(library().torture_calls())


def library() -> Any:
    """Give the shim that this process runs under."""
    return ctypes.CDLL(os.environ[BUILT])


class Forked:
    """A function that runs in a forked process; its result, or how it died, is to be asked for."""

    def __init__(self, function: Callable[[int], Any]) -> None:
        """Call `function` in the child with a descriptor that `said` reads here."""
        self._said, says = os.pipe()
        self._result, gives = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                try:
                    told = (True, function(says))
                except BaseException:
                    told = (False, traceback.format_exc())
                with os.fdopen(gives, "wb") as pipe:
                    pickle.dump(told, pipe)
                code = 0
            finally:
                os._exit(code)
        os.close(says)
        os.close(gives)

    def kill(self) -> None:
        """End it by SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> tuple[int | None, Any, bytes]:
        """Give the signal it died of, its result or traceback, and what it said.

        Raises
        ------
        RuntimeError
            With the traceback, for a function that raised.
        """
        with os.fdopen(self._result, "rb") as pipe:
            data = pipe.read()
        with os.fdopen(self._said, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status), None, said
        good, result = pickle.loads(data)  # of our own child
        if not good:
            raise RuntimeError(result)
        return None, result, said


def forked(function: Callable[[], Any]) -> Any:
    """Give the result of a function that runs in a forked process.

    Raises
    ------
    RuntimeError
        When it raised, or died.
    """
    died, result, _ = Forked(lambda _: function()).wait()
    if died is not None:
        raise RuntimeError(f"died of signal {died}")
    return result


def fresh_folder(parent: Path) -> Path:
    """Make an empty folder in `parent`."""
    path = parent / "torture"
    if path.exists():
        shutil.rmtree(path)
    path.mkdir()
    return path
