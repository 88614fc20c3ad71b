"""What a device says, with one field otherwise than its firmware used to say it; pure.

A document is JSON, wherever it is carried; anything else that is published is one value, and its
topic's last level is the name of it. What has neither (datagrams, encrypted bodies, webhooks in
an address) is left as it is: the very same message comes back.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import orjson

from fleet_sim.faults.fault import Carried
from vendors.http import HttpReply
from vendors.sim import Chance, Publish, Webhook, WsText

#: Behind a name that is another now.
SUFFIX: Final = "_v2"
#: A word that no codec knows.
STRANGE: Final = "hovering"
_NULL: Final = b"null"
# What only has letters is a word; what has digits may be a name, a number, a time or a secret.
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z _]*")

Change = Callable[[str, Any], tuple[str, Any]]


def renamed(message: Carried, field: str, rng: Chance) -> Carried:
    """The same with another name of a field; without a `field`, of one by chance."""
    if isinstance(message, Publish) and _document(message.payload) is None:
        # Not retained: nobody would ever take back what no firmware publishes any more.
        return message._replace(topic=message.topic + SUFFIX, retain=False)
    return _changed(message, field, rng, _is_leaf, _renamed)


def estranged(message: Carried, field: str, rng: Chance) -> Carried:
    """The same with a strange word; without a `field`, for one by chance."""
    if isinstance(message, Publish) and _document(message.payload) is None:
        return message._replace(payload=STRANGE.encode())
    return _changed(message, field, rng, _is_word, _estranged)


def nullified(message: Carried, field: str, rng: Chance) -> Carried:
    """The same with a null; without a `field`, for one value by chance."""
    if isinstance(message, Publish) and _document(message.payload) is None:
        return message._replace(payload=_NULL)
    return _changed(message, field, rng, _is_leaf, _nullified)


def _changed(
    message: Carried, field: str, rng: Chance, suits: Callable[[Any], bool], change: Change
) -> Carried:
    """Change every field of one name, if there is any that suits."""
    document = _document(_body(message))
    if document is None:
        return message
    names = list(dict.fromkeys(name for name, value in _fields(document) if suits(value)))
    if field:
        names = [field] if field in dict(_fields(document)) else []
    if not names:
        return message
    name = rng.choice(names)
    return _with_body(message, orjson.dumps(_walk(document, name, change)))


def _renamed(name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401 -- JSON
    return name + SUFFIX, value


def _estranged(name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401 -- JSON
    del value
    return name, STRANGE


def _nullified(name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401 -- JSON
    del value
    return name, None


def _is_leaf(value: Any) -> bool:  # noqa: ANN401 -- JSON
    return not isinstance(value, dict | list | type(None))


def _is_word(value: Any) -> bool:  # noqa: ANN401 -- JSON
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _body(message: Carried) -> bytes:
    match message:
        case Publish():
            return message.payload
        case Webhook() | HttpReply():
            return message.body
        case WsText():
            return message.text.encode()
        case _:
            return b""


def _with_body(message: Carried, body: bytes) -> Carried:
    match message:
        case Publish():
            return message._replace(payload=body)
        case Webhook() | HttpReply():
            return message._replace(body=body)
        case WsText():
            return message._replace(text=body.decode())
        case _:
            return message


def _document(body: bytes) -> Any:  # noqa: ANN401 -- JSON
    """An object or a list of them; None for what is a value by itself, or no JSON at all."""
    if body[:1] not in (b"{", b"["):
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _fields(document: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- JSON
    """Names and values, the outer ones first."""
    waiting = [document]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _walk(document: Any, name: str, change: Change) -> Any:  # noqa: ANN401 -- JSON
    walk = partial(_walk, name=name, change=change)
    if isinstance(document, dict):
        return dict(
            change(key, value) if key == name else (key, walk(value))
            for key, value in document.items()
        )
    return [walk(each) for each in document] if isinstance(document, list) else document
