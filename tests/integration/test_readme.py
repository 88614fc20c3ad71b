"""Every command of the README is one that the programs take; the quick ones are run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import fleet_sim.cli
import gateway.cli

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text()
PARSERS: Final = {
    "doorfleet-gateway": gateway.cli.build,
    "doorfleet-sim": fleet_sim.cli.build,
}
#: Commands that end by themselves and need nothing that runs.
QUICK: Final = ("vendors", "check", "faults", "completion")


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def ours() -> list[list[str]]:
    """The command lines of our own programs, without the shell around them."""
    pattern = re.compile(r"\.venv/bin/(doorfleet-\w+ [^)\"]*)")
    return [shlex.split(hit[1]) for line in commands() if (hit := pattern.search(line))]


def test_the_readme_shows_both_programs_and_the_two_commands() -> None:
    assert commands()[:2] == ["make demo", "make test"]
    assert {words[0] for words in ours()} == set(PARSERS)


@pytest.mark.parametrize("words", ours(), ids=" ".join)
def test_every_command_line_is_one_that_the_program_takes(words: list[str]) -> None:
    assert PARSERS[words[0]]().parse_args(words[1:]).act is not None


@pytest.mark.parametrize("target", [line[5:] for line in commands() if line.startswith("make ")])
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("words", [w for w in ours() if w[1] in QUICK], ids=" ".join)
def test_the_quick_ones_do_what_they_say(words: list[str]) -> None:
    program = str(Path(sys.executable).with_name(words[0]))

    done = subprocess.run(
        [program, *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("program", PARSERS)
def test_the_completion_script_is_one_that_bash_takes(program: str) -> None:
    if (bash := shutil.which("bash")) is None:
        pytest.skip("bash is not installed")
    script = subprocess.run(
        [str(Path(sys.executable).with_name(program)), "completion", "bash"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    function = f"_{program.replace('-', '_')}"
    ask = f'COMP_WORDS=({program} ""); COMP_CWORD=1; {function}; echo "${{COMPREPLY[@]}}"'

    done = subprocess.run(
        [bash, "-c", f"{script}\n{ask}"], capture_output=True, text=True, timeout=60, check=True
    )

    assert "completion" in done.stdout.split()


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [link for link in links if not (ROOT / link).exists()] == []
