"""An environment for each foreign client, kept until what it needs has changed.

By uv where it is installed, which does in seconds what pip does in minutes: one cache for all
environments, and files linked out of it. Else by pip. Where packages come from is pip's
configuration in both cases: uv does not read it, so it is told.
"""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
_INSTALL_S: Final = 420
#: pip's option to uv's variable, and what stands between several values there.
_TOLD: Final = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}


class InteropError(Exception):
    """A client that could not be had, or a fleet that could not be served; says why."""


def size_of(client: str) -> tuple[bool, int]:
    """How much there is to install, roughly, so that the largest begin first: those of npm."""
    wanted = _wanted(client)
    return any(path.suffix == ".json" for path in wanted), sum(p.stat().st_size for p in wanted)


def environment(client: str, kept: Path) -> tuple[Path, dict[str, str]]:
    """The Python that runs this client's check, and what its process is told.

    Args:
        client: its folder's name.
        kept: the folder of all environments.

    Raises:
        InteropError: it cannot be installed.
    """
    folder, own = HERE / client, kept / client
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _wanted(client))).hexdigest()
    python = own / "venv" / "bin" / "python"
    told = {"INTEROP_NODE": str(own / "node")}
    stamp = own / "stamp"
    if stamp.exists() and stamp.read_text() == digest:
        return python, told
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    _make_python(client, own / "venv", folder / "requirements.txt", kept / "uv")
    if (folder / "package.json").exists():
        node = own / "node"
        node.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, node)
        _run(client, "npm", "ci", "--no-audit", "--no-fund", "--silent", "--prefix", str(node))
    stamp.write_text(digest)
    return python, told


def _wanted(client: str) -> list[Path]:
    names = ("requirements.txt", "package.json", "package-lock.json")
    return [path for name in names if (path := HERE / client / name).exists()]


def _make_python(client: str, venv: Path, requirements: Path, uv_cache: Path) -> None:
    uv = _uv()
    needs = ["-r", str(requirements)] if requirements.exists() else []
    if uv is None:
        _run(client, sys.executable, "-m", "venv", str(venv))
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        if needs:
            _run(client, *pip, "install", *needs)
        return
    env = {**os.environ, **uv_settings(_pip_settings()), "UV_CACHE_DIR": str(uv_cache)}
    _run(client, uv, "venv", "--quiet", "--python", sys.executable, str(venv), env=env)
    if needs:
        _run(client, uv, "pip", "install", "--quiet", "--python", str(venv), *needs, env=env)


def uv_settings(pip: Mapping[str, str]) -> dict[str, str]:
    """pip's settings in the words of uv; what pip would take from any index, so does uv."""
    said = {
        variable: between.join(pip[option].split())
        for option, (variable, between) in _TOLD.items()
        if pip.get(option)
    }
    return {"UV_NO_CONFIG": "1", "UV_INDEX_STRATEGY": "unsafe-best-match", **said}


@cache
def _pip_settings() -> Mapping[str, str]:
    """What pip's files and variables say, the strongest last: files, `install`, environment."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    found: list[tuple[int, str, str]] = []
    for line in done.stdout.splitlines():
        name, is_set, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if is_set and section in _SECTIONS:
            found.append((_SECTIONS.index(section), option, ast.literal_eval(value)))
    return {option: value for _, option, value in sorted(found)}


_SECTIONS: Final = ("global", "install", ":env:")


@cache
def _uv() -> str | None:
    """The program, beside the Python that runs us or on the path."""
    beside = str(Path(sys.executable).parent)
    return shutil.which("uv", path=os.pathsep.join((beside, os.environ.get("PATH", ""))))


def _run(client: str, *command: str, env: Mapping[str, str] | None = None) -> None:
    """One step towards an environment."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_INSTALL_S, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InteropError(f"{client}: {command[0]}: {error}") from error
    if done.returncode != 0:
        raise InteropError(f"{client}: {' '.join(command[:4])} … failed:\n{done.stderr[-2000:]}")
