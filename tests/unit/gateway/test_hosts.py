"""How a vendor's hosts fare, as a status page is told it."""

from collections.abc import Iterable
from typing import Any

from gateway.hosts import SHOWN_MAX, standing
from vendors.api import HostStanding


class Asks:
    """An adapter, as far as anybody looks at its hosts."""

    def __init__(self, *hosts: HostStanding) -> None:
        self._hosts = hosts

    def hosts(self) -> Iterable[HostStanding]:
        return self._hosts


def well(number: int) -> HostStanding:
    return HostStanding(f"h{number}", "closed", 0, number, 0)


def said(*hosts: HostStanding) -> Any:
    return standing(Asks(*hosts))  # type: ignore[arg-type]


def test_an_adapter_without_hosts_says_nothing() -> None:
    assert standing(object()) == {}  # type: ignore[arg-type]
    assert said() == {}


def test_the_worst_come_first_and_the_rest_is_counted() -> None:
    hosts = [well(number) for number in range(SHOWN_MAX + 4)]
    hosts[7] = HostStanding("once", "closed", 1, 9, 2)
    hosts[-1] = HostStanding("down", "open", 3, 9, 5)
    hosts[-2] = HostStanding("tried", "half_open", 2, 9, 4)

    told = said(*hosts)

    assert [host["host"] for host in told["hosts"]][:4] == ["down", "tried", "once", "h0"]
    assert told["hosts"][0] == {
        "host": "down",
        "breaker": "open",
        "opened": 3,
        "asked": 9,
        "refused": 5,
    }
    assert (told["hosts_open"], told["hosts_more"]) == (2, 4)
    assert len(told["hosts"]) == SHOWN_MAX
