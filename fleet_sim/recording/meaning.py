"""What a key says about the value behind it: a secret, a moment, a model, a count, or nothing."""

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Final

from fleet_sim.recording.vocabulary import PARTS


class Meaning(Enum):
    """How a value is looked at."""

    PLAIN = "nothing is known of it"
    SECRET = "all of it goes, known words and small numbers too"  # noqa: S105 -- says so, is none
    MOMENT = "a time or how long something takes"
    COUNT = "how many or how much"
    MAKE = "what it is and what runs on it"
    PLACE = "where on earth"
    CODE = "a number of a table, or what somebody types at a door"
    VERBATIM = "all of it stays"


def _all(meaning: Meaning, words: str) -> dict[str, Meaning]:
    return dict.fromkeys(words.split(), meaning)


#: Whole keys, in lower case and without what is between their words.
_KEYS: Final[Mapping[str, Meaning]] = {
    **_all(Meaning.SECRET, "key apikey usercode pincode authid"),
    **_all(
        Meaning.COUNT, "sequence firstsequence lastsequence vendorkey index firstindex lastindex"
    ),
    **_all(Meaning.MAKE, "fwid manufacturerid productid producttype fwv swversion hwversion"),
    **_all(Meaning.CODE, "code value newvalue prevvalue currentvalue"),
}
#: One word of a key, the strongest first.
_ANY_WORD: Final[Mapping[str, Meaning]] = {
    **_all(
        Meaning.SECRET,
        "pin pincode passcode passcodes password passwd pwd pass secret token psk dkey nonce cnonce"
        " sign signature authorization card cardnumber cvv otp",
    ),
    **_all(Meaning.PLACE, "lat latitude lon lng longitude gps coordinates coordinate altitude"),
}
#: Words that say that the value names something, whatever else the key says.
_NAMING: Final = frozenset(
    ("id", "ids", "serial", "number", "uuid", "user", "mac", "name", "owner", "account", "address")
)
_LAST: Final[Mapping[str, Meaning]] = {
    **_all(
        Meaning.MOMENT,
        "time times timestamp ts date at ms s sec secs seconds minutes updated uptime duration"
        " expiry expires timeout since until published epoch utc clock tm created seen activity"
        " delay period interval stamp timer unixtime rule",
    ),
    **_all(
        Meaning.MAKE,
        "model mdl manufacturer mf product version ver firmware hardware sw hw fw",
    ),
    **_all(
        Meaning.COUNT,
        "count total num size free bytes length energy power voltage current counter ram fs seq rev"
        " sequence cycles nopenings",
    ),
}


@lru_cache(maxsize=4096)
def of(key: str) -> Meaning:
    """What a key says of its value."""
    words = [word.lower() for word in PARTS.findall(key)]
    found = _KEYS.get("".join(words))
    if found is not None:
        return found
    for word in words:
        if word in _ANY_WORD:
            return _ANY_WORD[word]
    if not _NAMING.isdisjoint(words):
        return Meaning.PLAIN
    return next((_LAST[word] for word in reversed(words) if word in _LAST), Meaning.PLAIN)
