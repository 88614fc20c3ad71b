"""Words that are a protocol's and nobody's: what may stay in a recording.

They are read out of the source of the codecs themselves, so that a word which a codec knows is
never scrubbed away from under it, and nobody has to keep a list. Beside them stand the few words
below, and what the caller allows.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fleet_sim.recording.pseudonyms import is_hex
from vendors import registry

#: A run of letters and digits: what is kept or replaced as a whole.
RUN: Final = re.compile(r"[^\W_]+")
#: Where a run of camelCase, or of a word and a number, can be cut.
PARTS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_NUMBER: Final = re.compile(r"[0-9]{5}|^[0-9]+$|^0x")
_PHRASE: Final = re.compile(r"[A-Za-z][\w ().-]{1,38}[\w)]")
_NUMBER_MAX: Final = 2
_KEPT_MAX: Final = 40


def _all(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of transports, of units and of machines that no codec of ours happens to name.
_COMMON: Final = _all(
    """
    accept access ack action active actions alarm all alpha and answer api app args attributes auth
    auto availability available battery beta binary bridge build button by bytes channel class
    client close closed closing cloud cmd code command commands component components config
    configuration connect connected connection controller count counter cover current data date
    day days dbm debug default delay description device devices disabled disconnected discovery
    door doors down dst enabled encrypt endpoint error errors event events expire expires false
    finished firmware flags force format free from full fw gateway get group groups hardware health
    history homeassistant hour hours http https hw icon id identifier identifiers idle ids index
    info input interval ip items json jsonrpc keepalive keypad last latency level light link
    linkquality list local lock locked log logger logs low mac manual max message messages meta
    metadata method min mode model models motion mqtt mqtts ms name network new node nodes none
    notify null number off offline ok on online opened opening operation options out output param
    params password path payload percent ping platform polling pong port position power previous
    product protocol publish qos query ratio reason received relay release remote report request
    reset response restart result retain retained retry root rpc rssi running sec seconds secure
    security seen sensor sent sequence serial server service session set settings signal size source
    src start state states stats status stop stopped subscribe supported switch sync system tag
    tamper target temperature text time timeout timer timestamp title token topic total transition
    true type unavailable unique unit unknown unlock unlocked up update updated uptime url user
    users utc uuid value values version volatile voltage wake warning webhook wifi with
    """
)
# Words of ours that are also what people, places and hosts are called: better gone than somebody's.
_NAMES: Final = _all(
    """
    art back berlin bill bob chase dale dawn europe eve example faith frank front grace grant guy
    hope jack joy lance left mark may miles nick norm pat penny ray rich right rob rose skip sue
    test victor ward will
    """
)
# Ours, as the bus has them.
_HOUSE: Final = (
    "devices.access_panel",
    "devices.closure",
    "devices.command",
    "devices.health",
    "devices.kinds",
    "devices.lock",
    "devices.reading",
    "gateway.bus.mqtt",
    "gateway.commands",
    "gateway.events",
    "gateway.request",
    "gateway.roster",
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What may stay: single words in lower case, and texts of several words as they are."""

    words: frozenset[str]
    texts: frozenset[str]

    def knows(self, run: str) -> bool:
        """Whether a run of letters and digits is made of known words and small numbers alone."""
        if len(run) == 1 or run.lower() in self.words:
            return True
        if len(run) > _KEPT_MAX or not run.isascii():
            return False
        parts = PARTS.findall(run)
        return len(parts) > 1 and all(
            len(part) <= _NUMBER_MAX if part.isdigit() else part.lower() in self.words
            for part in parts
        )

    def plus(self, more: frozenset[str]) -> "Vocabulary":
        """The same, and these."""
        words = (run.lower() for text in more for run in RUN.findall(text))
        return Vocabulary(self.words.union(words), self.texts | more)


@cache
def vocabulary() -> Vocabulary:
    """What all codecs that are installed know."""
    said = {text for module in _HOUSE for text in _texts(_tree(module))}
    for name, package in packages().items():
        said.add(name)
        for module in _gateway_side(package):
            said.update(_texts(_tree(module)))
        for tree in _all_of(package):
            said.update(_keys(tree))
    single = {text for text in said if " " not in text}
    words = {run.lower() for text in single for run in RUN.findall(text)}
    parts = {part.lower() for text in single for part in PARTS.findall(text)}
    known = (words | parts | _COMMON) - _NAMES
    _tree.cache_clear()  # the words are all that is wanted of them from now on
    return Vocabulary(
        frozenset(word for word in known if not _is_example(word)),
        frozenset(text for text in said - single if _PHRASE.fullmatch(text)),
    )


def _is_example(word: str) -> bool:
    """A serial in the description of a setting is no word of a protocol."""
    return len(word) < 2 or is_hex(word) or _NUMBER.search(word) is not None  # noqa: PLR2004 -- a letter


def packages() -> dict[str, str]:
    """Each vendor's package, by its name; ours without importing them, for that takes a second."""
    return {
        name: registry.OURS.get(name) or registry.vendor(name).simulator.rpartition(".")[0]
        for name in registry.names()
    }


def source(module: str) -> Path | None:
    """The file of a module, without importing it; None where a name is none."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder).joinpath(*rest)
        for found in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if found.is_file():
                return found
    return None


@cache
def _tree(module: str) -> ast.Module:
    """A module as it is written; an empty one where a name is none."""
    path = source(module)
    return ast.Module([], []) if path is None else ast.parse(path.read_bytes())


def _gateway_side(package: str) -> Iterator[str]:
    """The codec and the adapter of a vendor, and what they need of its folder: no simulator."""
    ours = ".".join(package.split(".")[:2]) + "."
    waiting, seen = [f"{package}.codec", f"{package}.adapter"], set()
    while waiting:
        module = waiting.pop()
        if module in seen or not (tree := _tree(module)).body:
            continue
        seen.add(module)
        yield module
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(ours):
                waiting.append(str(node.module))
                waiting += [f"{node.module}.{name.name}" for name in node.names]


def _all_of(package: str) -> Iterator[ast.Module]:
    init = source(package)
    for path in sorted(init.parent.glob("*.py")) if init is not None else ():
        yield _tree(package if path.name == "__init__.py" else f"{package}.{path.stem}")


def _texts(tree: ast.Module) -> Iterator[str]:
    """What stands in quotes, but for docstrings, and the names of fields."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docs:
                yield text
            case ast.Constant(value=bytes(data)):
                yield data.decode("ascii", "replace")
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                pass


def _keys(tree: ast.Module) -> Iterator[str]:
    """The keys of what is written as a mapping: names of a document's fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value
