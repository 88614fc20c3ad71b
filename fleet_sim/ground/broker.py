"""Breaks what no device's link is: the sessions of cells, what is retained, the broker itself.

    act ──► BrokerFaults ──► Broker (fleet_sim.broker.core: "A broker one can break")

The device links notice by themselves, and so does the gateway. What nobody could hear meanwhile the
broker counts, message by message, and whoever published it is told (`MemoryClient.publish`).
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from fleet_sim.act import Act
from fleet_sim.broker.core import Broker

#: Whoever watches a run must not be hurt by what it watches.
SPARED: Final = ("witness", "watchman", "late")


class Breakable(Protocol):
    """A broker in this process, in memory or on a port."""

    core: Broker

    def kick(self) -> None:
        """Deliver what a fault left to be delivered."""


def devices_client(vendor: str) -> str:
    """The client id by which a vendor's cell listens to its devices, unless it is told another."""
    return f"doorfleet-{vendor}-devices"


class BrokerFaults:
    """Carries out the acts of the family mqtt that strike no link: a `fleet_sim.ground.Ground`.

    Args:
        broker: what is broken.
        spared: client ids that no fault touches.
    """

    def __init__(self, broker: Breakable, spared: Collection[str] = SPARED) -> None:
        self._broker = broker
        self._core = broker.core
        self._spared = spared
        #: By kind: how it begins and how it ends, each for the clients that it strikes.
        self._how: dict[str, tuple[_Step, _Step]] = {
            "retained_lost": (self._lose_retained, self._recover_retained),
            "session_lost": (self._shut_out, self._let_in),
            "broker_restart": (self._go_down, self._come_up),
            "broker_amnesia": (self._go_down_empty, self._come_up),
            "subscription_refused": (self._refuse, self._allow),
            "slow_consumer": (self._stall, self._core_heal),
        }

    @property
    def kinds(self) -> Collection[str]:
        """What it can carry out."""
        return self._how

    def begin(self, act: Act) -> None:
        """Let it fail."""
        self._do(act, 0)

    def end(self, act: Act) -> None:
        """Let it fail no more."""
        self._do(act, 1)

    def _do(self, act: Act, step: int) -> None:
        if act.vendor is None:
            struck = [one for one in self._core.sessions if one not in self._spared]
        else:
            struck = [devices_client(act.vendor)]
        self._how[act.fault][step](struck, asyncio.get_running_loop().time())
        self._broker.kick()

    # --- what is retained ---------------------------------------------------------------------

    def _lose_retained(self, clients: Sequence[str], now_s: float) -> None:
        del now_s
        for client in clients:
            if (session := self._core.sessions.get(client)) is not None:
                self._core.retained.lose(client, session.subscriptions)

    def _recover_retained(self, clients: Sequence[str], now_s: float) -> None:
        del now_s
        for client in clients:
            self._core.retained.recover(client)

    # --- sessions -----------------------------------------------------------------------------

    def _shut_out(self, clients: Sequence[str], now_s: float) -> None:
        self._core.shut_out.update(clients)
        self._core.forget_sessions(now_s, clients)

    def _let_in(self, clients: Sequence[str], now_s: float) -> None:
        del now_s
        self._core.shut_out.difference_update(clients)

    def _refuse(self, clients: Sequence[str], now_s: float) -> None:
        self._core.unauthorized.update(clients)
        self._core.forget_sessions(now_s, clients)

    def _allow(self, clients: Sequence[str], now_s: float) -> None:
        """As a broker that reads its rights anew: nobody is put out, and nobody is told."""
        del now_s
        self._core.unauthorized.difference_update(clients)

    def _stall(self, clients: Sequence[str], now_s: float) -> None:
        for client in clients:
            self._core.stall(client, now_s)

    def _core_heal(self, clients: Sequence[str], now_s: float) -> None:
        self._core.heal(now_s, clients)

    # --- the broker ---------------------------------------------------------------------------

    def _go_down(self, clients: Sequence[str], now_s: float) -> None:
        self._core.refuse_connections(on=True)
        self._core.hang_up(now_s, clients)

    def _go_down_empty(self, clients: Sequence[str], now_s: float) -> None:
        self._core.refuse_connections(on=True)
        self._core.forget_sessions(now_s, clients)
        self._core.drop_retained()

    def _come_up(self, clients: Sequence[str], now_s: float) -> None:
        del clients, now_s
        self._core.refuse_connections(on=False)


_Step = Callable[[Sequence[str], float], None]
