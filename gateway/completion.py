"""Completion scripts for shells, made from an argparse parser; both our programs use it."""

import argparse


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """A script that completes subcommands and their options; to be sourced by the shell."""
    words = {
        name: sorted(
            {flag for action in sub._actions for flag in action.option_strings}  # noqa: SLF001 -- argparse has no other way to its own tables
            | {str(choice) for action in sub._actions for choice in action.choices or ()}  # noqa: SLF001
        )
        for group in parser._actions  # noqa: SLF001
        if isinstance(group, argparse._SubParsersAction)  # noqa: SLF001
        for name, sub in group.choices.items()
    }
    program = parser.prog
    function = "_" + program.replace("-", "_")
    if shell == "fish":
        lines = [f"complete -c {program} -f -n __fish_use_subcommand -a '{' '.join(words)}'"]
        lines += [
            f"complete -c {program} -n '__fish_seen_subcommand_from {name}' -a '{' '.join(flags)}'"
            for name, flags in words.items()
        ]
        return "\n".join(lines)
    cases = "\n".join(
        f'      {name}) words="{" ".join(flags)}" files=yes;;' for name, flags in words.items()
    )
    head = (
        "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
        if shell == "zsh"
        else ""
    )
    return f"""{head}{function}() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words="{" ".join(words)}" files=""
  if [ "$COMP_CWORD" -gt 1 ]; then
    words=""
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  if [ -n "$files" ]; then COMPREPLY+=($(compgen -f -- "$word")); fi
}}
complete -F {function} {program}"""
