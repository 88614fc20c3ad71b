"""What fails about sessions on a broker."""

from dataclasses import dataclass
from typing import Final

from fleet_sim.faults.fault import Fault, setting
from fleet_sim.faults.kind import Family, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectStorm(Fault):
    """Links are cut every `cut_every_ms`, at all of the struck devices at once."""

    cut_every_ms: int = setting(1000, "ms", "how often all links are cut")

    @property
    def reconnect(self) -> bool:
        """The last cut."""
        return True


KINDS: Final = {
    "reconnect_storm": Kind(
        Family.MQTT,
        ReconnectStorm,
        "links are cut every cut_every_ms, and all connect anew at once",
        "CONNECTs of all struck devices every cut_every_ms; wills between them",
        "ioBroker.shelly#970: a link that is dropped every 10 s and made anew",
    ),
}
