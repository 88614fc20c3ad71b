"""Which topics of a broker are a vendor's devices', and which of those are what hosts say.

A vendor of somebody else's, or topics that were configured away from these, are named by --topic.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from devices.errors import ConfigError
from fleet_sim.broker.topics import matches
from gateway.app import ROOT
from vendors import registry

#: Everything that our gateway says and is told.
NORTHBOUND: Final = (f"{ROOT}/#",)


class Heard(NamedTuple):
    """Filters of all that there is, and of what hosts publish among it."""

    all: tuple[str, ...]
    host: tuple[str, ...] = ()


#: As the vendors' firmware has them out of the box.
VENDORS: Final[Mapping[str, Heard]] = {
    "meross": Heard(("/appliance/#", "/app/#"), ("/appliance/+/subscribe",)),
    "nuki": Heard(
        ("nuki/#",), ("nuki/+/lockAction", "nuki/+/lock", "nuki/+/unlock", "nuki/+/unlatch")
    ),
    # Its notifications go to its name alone, a topic that anybody may have: --topic names it.
    "opengarage": Heard(("+/OUT/+", "+/IN/+"), ("+/IN/+",)),
    "ratgdo": Heard(("home/garage/#",), ("home/garage/+/command/#",)),
    "shelly": Heard(
        ("+/online", "+/status/+", "+/events/rpc", "+/rpc", "+/rpc/#", "+/command/#"),
        ("+/command/#",),
    ),
    "zigbee2mqtt": Heard(
        ("zigbee2mqtt/#",),
        ("zigbee2mqtt/+/set", "zigbee2mqtt/+/get", "zigbee2mqtt/bridge/request/#"),
    ),
    "zwave_js": Heard(("zwave/#",), ("zwave/+/+/+/+/set", "zwave/_CLIENTS/+/api/+/set")),
}
_COMMANDS: Final = (f"{ROOT}/+/+/+/command",)


def of_vendor(name: str) -> Heard:
    """What to listen to.

    Raises:
        ConfigError: nobody speaks it, or not over a broker.
    """
    found = registry.vendor(name)
    if name not in VENDORS:
        why = (
            f"--vendor {name}: it speaks {', '.join(found.transports)}, and only a broker can be"
            " listened to; record what the gateway says of it with --northbound, or name its topics"
            " with --topic"
        )
        raise ConfigError((why,))
    return VENDORS[name]


@lru_cache(maxsize=4096)
def is_host(topic: str) -> bool:
    """Whether a host said it: a command, or a question."""
    return any(
        matches(each, topic)
        for filters in (_COMMANDS, *(heard.host for heard in VENDORS.values()))
        for each in filters
    )


def problem(pattern: str) -> str | None:
    """What is wrong with a topic filter, and the remedy. Source: MQTT 5, section 4.7.1."""
    levels = pattern.split("/")
    if not pattern or "\0" in pattern:
        return "no topic at all; write one like home/#"
    if "#" in pattern and (pattern.count("#") > 1 or levels[-1] != "#"):
        return "# stands for all that follows; write it alone, as the last level"
    if any("+" in level and level != "+" for level in levels):
        return "+ stands for a whole level; write it alone between slashes"
    return None
