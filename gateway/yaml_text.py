"""YAML as people write it: one document, no key twice, and errors that name the place."""

from typing import Any

import yaml

from devices.errors import ConfigError


def yaml_of(data: bytes, origin: str) -> object:
    """The document in a file's bytes.

    Raises:
        ConfigError: it is no UTF-8 or no YAML; `origin` stands before what is wrong.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as failure:
        raise ConfigError(
            (f"{origin}: byte {failure.start} is not UTF-8; save the file as UTF-8",)
        ) from failure
    try:
        return yaml.load(text, _Loader)  # noqa: S506 -- a SafeLoader that refuses repeats
    except yaml.YAMLError as failure:
        raise ConfigError((_syntax(origin, text, failure),)) from failure


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 -- PyYAML's signature
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands here twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _syntax(origin: str, text: str, failure: yaml.YAMLError) -> str:
    mark = getattr(failure, "problem_mark", None)
    problem = getattr(failure, "problem", None) or str(failure).splitlines()[0]
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    if isinstance(failure, yaml.reader.ReaderError):
        line = text.count("\n", 0, failure.position) + 1
        place = f"line {line}: "
        problem = f"the character {failure.character!r} may not stand in YAML"
    hint = "indent with spaces, not tabs" if "'\\t'" in str(problem) else "correct the YAML there"
    return f"{origin}: {place}{problem}; {hint}"
