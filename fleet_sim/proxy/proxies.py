"""All proxies of one program, and the dead man's switch over them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fleet_sim.proxy import orders
from fleet_sim.proxy.orders import Fields, OrderError, Refusal
from fleet_sim.proxy.proxy import Proxy, Tell


class Proxies:
    """Proxies by name; the same seed draws the same chance.

    Args:
        seed: of all chance.
        tell: is told what happens.
        heal_after_s: all toxics go when nobody has given an order for so long; None for never.
    """

    def __init__(self, seed: int, tell: Tell, heal_after_s: float | None = None) -> None:
        self._seed = seed
        self._tell = tell
        self._heal_after_s = heal_after_s
        self._switch: asyncio.TimerHandle | None = None
        self._healing: asyncio.Task[None] | None = None
        self._all: dict[str, Proxy] = {}
        # Orders of several callers are carried out one after the other.
        self.turn = asyncio.Lock()

    @property
    def all(self) -> Mapping[str, Proxy]:
        """By name."""
        return self._all

    def named(self, name: str) -> Proxy:
        """The proxy of this name.

        Raises:
            OrderError: there is none.
        """
        if name not in self._all:
            known = ", ".join(self._all) or "none; POST /proxies makes one"
            raise OrderError(Refusal.NO_PROXY, f"{name!r}; there is {known}")
        return self._all[name]

    async def add(self, fields: Fields) -> Proxy:
        """A new one, which listens if it is enabled.

        Raises:
            OrderError: there is one of this name, or the address cannot be had.
        """
        if fields.name in self._all:
            raise OrderError(Refusal.PROXY_THERE, f"{fields.name!r}; delete it, or change it")
        proxy = Proxy(fields, self._seed, self._tell)
        if fields.enabled:
            await proxy.start()
        self._all[fields.name] = proxy
        return proxy

    async def remove(self, name: str) -> None:
        """End it.

        Raises:
            OrderError: there is none.
        """
        proxy = self.named(name)
        del self._all[name]
        await proxy.end()

    async def populate(self, given: Any) -> tuple[list[Proxy], OrderError | None]:  # noqa: ANN401 -- JSON
        """Have all of a list: those that are there with these addresses are left alone.

        Returns:
            What there is now of the list, and the mistake that ended it.
        """
        done: list[Proxy] = []
        try:
            for fields, toxics in orders.proxies(given):
                done.append(await self._have(fields))
                for each in toxics:
                    done[-1].put(each)
        except OrderError as error:
            return done, error
        return done, None

    async def _have(self, fields: Fields) -> Proxy:
        there = self._all.get(fields.name)
        if there is not None:
            if there.is_at(fields):
                return there
            await self.remove(fields.name)
        return await self.add(fields)

    async def reset(self, why: str) -> None:
        """Every proxy listens, and no toxic is left.

        Raises:
            OrderError: an address cannot be had.
        """
        proxies = tuple(self._all.values())
        for proxy in proxies:
            proxy.take_away(tuple(proxy.toxics), why)
        for proxy in proxies:
            await proxy.start()

    async def end(self) -> None:
        """Nothing of them is left."""
        if self._switch is not None:
            self._switch.cancel()
        for proxy in tuple(self._all.values()):
            await proxy.end()
        self._all.clear()

    def alive(self) -> None:
        """Somebody gave an order: the dead man's switch begins anew."""
        if self._heal_after_s is None:
            return
        if self._switch is not None:
            self._switch.cancel()
        self._switch = asyncio.get_running_loop().call_later(self._heal_after_s, self._heal)

    def _heal(self) -> None:
        self._healing = asyncio.create_task(self._reset_in_turn())

    async def _reset_in_turn(self) -> None:
        async with self.turn:
            try:
                await self.reset(f"nobody gave an order for {self._heal_after_s:g} s")
            except OrderError as error:
                self._tell("heal_failed", why=str(error))
