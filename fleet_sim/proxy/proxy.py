"""One proxy: where it listens, whom it leads to, its toxics, and its links."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fleet_sim import chance
from fleet_sim.broker.port_owner import port_owner
from fleet_sim.proxy import orders
from fleet_sim.proxy.flow import Wanted
from fleet_sim.proxy.link import STREAMS, Link
from fleet_sim.proxy.orders import Fields, OrderError, Placed, Refusal

_BACKLOG: Final = 1024
# As long as asyncio's own servers wait when no files are left.
_ACCEPT_AGAIN_S: Final = 1.0

#: Tells whoever wants to know: the event's name, and more.
Tell = Callable[..., None]


class Proxy:
    """Listens while it is enabled.

    Attributes:
        toxics: by name, in the order in which they were added.
    """

    def __init__(self, fields: Fields, seed: int, tell: Tell) -> None:
        self.fields = replace(fields, enabled=False)
        self._asked = fields.listen
        self.toxics: dict[str, Placed] = {}
        # Of links that are over.
        self._carried = Counter({(one, way): 0 for one in STREAMS for way in ("received", "sent")})
        self._seed = seed
        self._tell = tell
        self._listening: socket.socket | None = None
        self._links: set[Link] = set()
        self._links_made = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def as_json(self) -> dict[str, Any]:
        """As Toxiproxy shows it; `protocol` is ours."""
        return {
            "name": self.fields.name,
            "listen": self.fields.listen,
            "upstream": self.fields.upstream,
            "enabled": self.fields.enabled,
            "protocol": str(self.fields.protocol),
            "toxics": self.toxics_as_json(),
        }

    def toxics_as_json(self) -> list[dict[str, Any]]:
        """All of them, upstream first, as Toxiproxy does."""
        return [
            each.as_json()
            for stream in STREAMS
            for each in self.toxics.values()
            if each.stream == stream
        ]

    # --- up and down --------------------------------------------------------------------------

    def is_at(self, fields: Fields) -> bool:
        """Whether it has these addresses: as it was asked for them, or as they turned out."""
        listen = fields.listen in (self._asked, self.fields.listen)
        return listen and fields.upstream == self.fields.upstream

    async def start(self) -> None:
        """Listen, if it does not yet.

        Raises:
            OrderError: the address cannot be had.
        """
        if self._listening is not None:
            return
        host, port = orders.address(self.fields.listen)
        loop = asyncio.get_running_loop()
        try:
            # One address, so that port 0 is one port: of a name's, IPv4 first, as Go does.
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, *_, at = min(found, key=lambda each: each[0] != socket.AF_INET)
            listening = socket.create_server(at[:2], family=family, backlog=_BACKLOG)
        except OSError as error:
            raise OrderError(Refusal.COULD_NOT, why(error, host, port)) from error
        listening.settimeout(0)
        self._listening = listening
        bound = orders.shown(*listening.getsockname()[:2])
        self.fields = replace(self.fields, listen=bound, enabled=True)
        self.say("proxy_up", listen=bound, upstream=self.fields.upstream)
        loop.add_reader(listening, self._accept)

    async def stop(self, why: str = "its proxy went down") -> None:
        """Listen no longer, and end every link; its toxics stay."""
        if self._listening is None:
            return
        listening, self._listening = self._listening, None
        self.fields = replace(self.fields, enabled=False)
        asyncio.get_running_loop().remove_reader(listening)
        listening.close()
        for link in tuple(self._links):
            link.close(why)
        await asyncio.sleep(0)  # sockets of ours are closed in the loop's next turn
        self.say("proxy_down")

    async def end(self) -> None:
        """Stop, and wait until nothing of it is left."""
        await self.stop("the proxy's program ended")
        for name in tuple(self._ends):
            self._forget_end(name)
        for task in tuple(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for link in tuple(self._links):
            link.client.abort()
            link.server.abort()
        await asyncio.sleep(0)

    async def change(self, wanted: Fields) -> None:
        """Be this from now on; another address restarts it and drops its links.

        Raises:
            OrderError: the address cannot be had.
        """
        if not self.is_at(wanted):
            await self.stop()
            self._asked = wanted.listen
            self.fields = replace(self.fields, listen=wanted.listen, upstream=wanted.upstream)
        self.fields = replace(self.fields, protocol=wanted.protocol)
        if wanted.enabled:
            await self.start()
        else:
            await self.stop()

    # --- toxics -------------------------------------------------------------------------------

    def put(self, placed: Placed) -> None:
        """Add a toxic, or change the one of this name; at work at once, in open links too."""
        self.say(
            "toxic_changed" if placed.name in self.toxics else "toxic_added", **placed.as_json()
        )
        self.toxics[placed.name] = placed
        self._forget_end(placed.name)
        if placed.for_s is not None:
            self._ends[placed.name] = asyncio.get_running_loop().call_later(
                placed.for_s, self.take_away, (placed.name,), "its time was over"
            )
        self._arrange()

    def take_away(self, names: Sequence[str], why: str) -> None:
        """Remove toxics; what they held back goes on."""
        for name in names:
            del self.toxics[name]
            self._forget_end(name)
            self.say("toxic_removed", name=name, why=why)
        self._arrange()

    def _forget_end(self, name: str) -> None:
        if (timer := self._ends.pop(name, None)) is not None:
            timer.cancel()

    def _arrange(self) -> None:
        for link in sorted(self._links, key=lambda link: link.number):
            link.arrange()

    # --- links --------------------------------------------------------------------------------

    def wanted(self, number: int) -> Mapping[str, Sequence[Wanted]]:
        """The toxics that strike a link: the same for the same seed, name and number."""
        return {stream: tuple(self._struck(number, stream)) for stream in STREAMS}

    def _struck(self, number: int, stream: str) -> Iterator[Wanted]:
        for each in self.toxics.values():
            name = f"{self.fields.name}/{each.name}/{number}"
            # A higher toxicity strikes more links, and all that a lower one did.
            if (
                each.stream == stream
                and chance.stream(self._seed, f"struck/{name}").random() < each.toxicity
            ):
                yield Wanted(each.name, each.toxic, chance.stream(self._seed, f"harm/{name}"))

    def said(self, number: int, event: str, **more: object) -> None:
        """Something happened to a link."""
        self.say(event, link=number, **more)

    def gone(self, link: Link) -> None:
        """A link is over."""
        if link in self._links:
            self._links.remove(link)
            self._carried.update(link.carried)

    @property
    def carried(self) -> Mapping[tuple[str, str], int]:
        """Bytes by (stream, "received" or "sent"), of links that are open, too."""
        total = self._carried.copy()
        for link in self._links:
            total.update(link.carried)
        return total

    def say(self, event: str, **more: object) -> None:
        """Tell of this proxy."""
        self._tell(event, proxy=self.fields.name, **more)

    def _accept(self) -> None:
        """Somebody knocks. All in one turn of the loop, so nobody is between in and out."""
        assert self._listening is not None
        try:
            client, _ = self._listening.accept()
        except BlockingIOError:  # whoever it was has gone
            return
        except OSError as error:  # no files are left: who waits, waits
            self.say("accept_failed", why=str(error))
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listening)
            loop.call_later(_ACCEPT_AGAIN_S, self._accept_again, self._listening)
            return
        self._links_made += 1
        link = Link(self, self._links_made, self.fields.protocol)
        self._links.add(link)
        self.said(link.number, "link_opened")
        task = asyncio.create_task(link.connect(client, *orders.address(self.fields.upstream)))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _accept_again(self, listening: socket.socket) -> None:
        if listening is self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept)


def why(error: OSError, host: str, port: int) -> str:
    """What went wrong with an address, and what to do about it."""
    at, remedy = orders.shown(host, port), "give another port, or 0 for any that is free"
    if error.errno == errno.EADDRINUSE:
        owner = port_owner(port)
        return f"{at} is taken{f' by {owner}' if owner else ''}: stop that, or {remedy}"
    if error.errno == errno.EACCES:
        return f"{at}: a port below 1024 needs root; {remedy}"
    return f"{at}: {error.strerror or error}; give an address of this machine"
