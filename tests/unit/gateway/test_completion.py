"""Completion scripts, asked by the shells themselves."""

import subprocess
from collections.abc import Callable

import pytest

from gateway.cli import build
from gateway.completion import script

ASK = """
COMP_WORDS=({words}); COMP_CWORD={at}
_doorfleet_gateway
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(need: Callable[[str], str], *words: str, folder: str = "/dev/fd") -> list[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(f"'{word}'" for word in ("doorfleet-gateway", *words))
    text = script(build(), "bash") + ASK.format(words=quoted, at=len(words))
    done = subprocess.run(
        [need("bash"), "--norc", "-c", text], check=True, capture_output=True, text=True, cwd=folder
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_subcommands_options_and_choices(need: Callable[[str], str]) -> None:
    assert completed(need, "se") == ["send"]
    assert {"run", "check", "status", "tail", "dead-letters"} <= set(completed(need, ""))
    assert completed(need, "send", "--exp") == ["--expect"]
    assert completed(need, "dead-letters", "rep") == ["replay"]
    assert completed(need, "completion", "f") == ["fish"]


def test_bash_completes_files_behind_a_subcommand(need: Callable[[str], str]) -> None:
    assert "etc" in completed(need, "check", "et", folder="/")
    assert completed(need, "no-such-command", "x") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_script(shell: str, need: Callable[[str], str]) -> None:
    program = need(shell)

    done = subprocess.run(
        [program, "--no-execute", "-c", script(build(), shell)]
        if shell == "fish"
        else [program, "-n", "-c", script(build(), shell)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_fish_is_told_every_subcommand_and_option() -> None:
    text = script(build(), "fish")

    assert "__fish_use_subcommand" in text
    assert "'__fish_seen_subcommand_from send' -a" in text
    assert "--expect" in text
