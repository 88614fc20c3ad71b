"""What the supervisor stands on: one owner of a state folder, and what a process weighs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devices.errors import ConfigError
from gateway.state_dir import owned
from gateway.supervisor import private_memory_mb

HOLD = """\
import sys
from pathlib import Path
from gateway.state_dir import owned

with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_made_held_and_let_go(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"

    said = f"is in use by process {os.getpid()}"
    with owned(folder), pytest.raises(ConfigError, match=said), owned(folder):
        pass
    with owned(folder):
        assert (folder / "gateway.lock").read_text() == f"{os.getpid()}\n"


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"in use by process {holder.pid};"), owned(tmp_path):
            pass

        holder.send_signal(signal.SIGKILL)
        holder.wait(10)

        with owned(tmp_path):
            pass


def test_a_folder_below_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError) as caught, owned(tmp_path / "file" / "state"):
        pass

    (problem,) = caught.value.problems
    assert problem.startswith(f"state_dir: {tmp_path}/file/state: Not a directory; choose a folder")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc to ask")
def test_what_a_process_alone_holds_in_memory_is_weighed() -> None:
    # In a process of its own: this one may have room left over from earlier tests.
    grow = """\
import os, sys
print("before", flush=True)
sys.stdin.readline()
ballast = os.urandom(32 * 1_048_576)
print("after", flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", grow], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        before_mb = private_memory_mb(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "after\n"
        after_mb = private_memory_mb(process.pid)
        process.stdin.write("\n")

    assert before_mb is not None
    assert after_mb is not None
    assert 32 - 8 < after_mb - before_mb < 32 + 16


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(10)

    assert private_memory_mb(process.pid) is None
