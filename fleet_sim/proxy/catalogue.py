"""Every toxic by its name, and the page that tells people of them."""

from collections.abc import Mapping
from typing import Any, Final

from fleet_sim.proxy.http_toxics import HttpAnswer, HttpJson, HttpTruncate
from fleet_sim.proxy.mqtt_toxics import (
    MqttCorrupt,
    MqttDelay,
    MqttDrop,
    MqttDuplicate,
    MqttRefuseSubscribe,
    MqttReorder,
)
from fleet_sim.proxy.toxic import Toxic, settings_of
from fleet_sim.proxy.wire_toxics import (
    Bandwidth,
    HalfOpen,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
)

TOXICS: Final[Mapping[str, type[Toxic]]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
    "half_open": HalfOpen,
    "mqtt_drop": MqttDrop,
    "mqtt_duplicate": MqttDuplicate,
    "mqtt_delay": MqttDelay,
    "mqtt_reorder": MqttReorder,
    "mqtt_corrupt": MqttCorrupt,
    "mqtt_refuse_subscribe": MqttRefuseSubscribe,
    "http_answer": HttpAnswer,
    "http_truncate": HttpTruncate,
    "http_json": HttpJson,
}
NAMES: Final[Mapping[type[Toxic], str]] = {kind: name for name, kind in TOXICS.items()}


def table() -> dict[str, Any]:
    """All of them, for machines."""
    return {
        name: {
            "what": (kind.__doc__ or "").partition("\n")[0],
            "source": kind.source,
            "settings": {
                key: {"default": default, "unit": about.unit, "what": about.line}
                for key, (_, default, about) in settings_of(kind).items()
            },
        }
        for name, kind in TOXICS.items()
    }


def page() -> str:
    """All of them, for people."""
    lines = []
    for name, each in table().items():
        lines += [f"{name}: {each['what']}", f"    source: {each['source']}"]
        lines += [
            f"    {key + '=' + str(one['default']):<24} {one['what']}"
            + (f" ({one['unit']})" if one["unit"] else "")
            for key, one in each["settings"].items()
        ]
    return "\n".join(lines)
