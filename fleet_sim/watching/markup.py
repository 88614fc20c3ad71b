"""HTML and SVG from plain strings: whatever is not made by `tag` itself is text, and is escaped.

Names and evidence come from devices, and a device may call itself `<script>`.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

#: Elements that have no end.
_VOID: Final = frozenset({"link", "meta", "br", "hr"})
# Control characters, halves of pairs, and what turns the writing of its neighbours round: some may
# not stand in HTML or XML, and the others let a name look like another one.
_CONTROLS: Final = [*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFFFE, 0xFFFF]
_TURNS: Final = [0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_UNSPEAKABLE: Final = dict.fromkeys(
    [*_CONTROLS, *_TURNS, *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}"
)


class Markup(str):
    """A piece of a page: the only text that is not escaped again."""

    __slots__ = ()


Piece = str | Markup | Iterable["Piece"] | None


def sayable(text: object) -> str:
    """Without what may stand in neither HTML nor XML."""
    return str(text).translate(_UNSPEAKABLE)


def text(piece: Piece) -> Markup:
    """Escaped, unless it is markup; of several, one after the other; nothing of None."""
    if piece is None:
        return Markup()
    if isinstance(piece, Markup):
        return piece
    if isinstance(piece, str):
        return Markup(escape(sayable(piece)))
    return Markup("".join(map(text, piece)))


def tag(name: str, /, *inside: Piece, **attributes: object) -> Markup:
    """One element.

    Args:
        name: ours, never from outside.
        inside: text or elements.
        attributes: `class_` is `class`, `data_x` is `data-x`; None and False are left out.
    """
    said = "".join(
        f" {_attribute(key)}" + ("" if value is True else f'="{escape(sayable(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{text(inside)}</{name}>")


def _attribute(key: str) -> str:
    # SVG says viewBox and preserveAspectRatio; the rest of the world says data-x.
    return key.rstrip("_").replace("_", "-")
