"""`/faults` on a run's server: what is broken by hand, and what is to be.

POST   /faults             {"vendor", "fault", "share", "site", "for_s", "settings", "lease_s"}
GET    /faults             {"faults": [...]}
DELETE /faults[/ID]        heals all, or one
PUT    /faults/ID/lease    {"for_s"}: heals then, unless it is said again

Errors are {"error": "what, where, and what to do"}.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from devices.errors import ConfigError, FleetError
from fleet_sim.live.desk import Desk, ShutError, Wish
from fleet_sim.live.faults import ClashError, NoSuchFaultError
from fleet_sim.live.guard import Guard

# The run looks every 50 ms; a machine that is busy looks less often.
_ANSWER_S: Final = 10.0
_STATUS: Final[Mapping[type[FleetError], int]] = {
    ConfigError: 400,
    NoSuchFaultError: 404,
    ClashError: 409,
    ShutError: 409,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes:
    """The handlers.

    Args:
        desk: takes the wishes.
        guard: who may have any; may be exchanged.
        headers: of every answer.
    """

    def __init__(self, desk: Desk, guard: Guard, headers: Mapping[str, str]) -> None:
        self._desk = desk
        self.guard = guard
        self._headers = headers

    def add(self, router: web.UrlDispatcher) -> None:
        """Answer on these paths."""
        for method, path, handler in (
            ("GET", "/faults", self._list),
            ("POST", "/faults", self._begin),
            ("DELETE", "/faults", self._heal_all),
            ("DELETE", "/faults/{id}", self._heal),
            ("PUT", "/faults/{id}/lease", self._lease),
        ):
            router.add_route(method, path, self._guarded(handler))

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            refused = self.guard.refusal(request.method, request.headers)
            if refused is not None:
                response: web.StreamResponse = _error(*refused)
            else:
                try:
                    response = await handler(request)
                except FleetError as error:
                    response = _error(_STATUS.get(type(error), 500), str(error))
                except TimeoutError:
                    response = _error(503, f"the run did not answer in {_ANSWER_S:g} s; try again")
            response.headers.update(self._headers)
            return response

        return guarded

    async def _ask(self, wish: Wish) -> Any:  # noqa: ANN401 -- whatever the wish returns
        async with asyncio.timeout(_ANSWER_S):
            return await asyncio.wrap_future(self._desk.ask(wish))

    async def _list(self, request: web.Request) -> web.Response:
        del request
        told = await self._ask(lambda faults, now_s: [one.told(now_s) for one in faults.active])
        return web.json_response({"faults": told})

    async def _begin(self, request: web.Request) -> web.Response:
        wish = await _body(request)
        told = await self._ask(lambda faults, now_s: faults.begin(wish, now_s).told(now_s))
        where = {"Location": f"/faults/{told['id']}"}
        return web.json_response(told, status=201, headers=where)

    async def _heal(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        await self._ask(lambda faults, now_s: faults.heal(number, now_s))
        return web.Response(status=204)

    async def _heal_all(self, request: web.Request) -> web.Response:
        del request
        await self._ask(lambda faults, now_s: faults.heal_all(now_s))
        return web.Response(status=204)

    async def _lease(self, request: web.Request) -> web.Response:
        number, said = request.match_info["id"], await _body(request)
        if set(said) != {"for_s"}:
            raise ConfigError((f"a lease is {sorted(said)}; write for_s, and nothing else",))
        await self._ask(lambda faults, now_s: faults.lease(number, said["for_s"], now_s))
        return web.Response(status=204)


async def _body(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent.

    Raises:
        ConfigError: it is something else.
    """
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise ConfigError((f"the body is no JSON: {error}; send an object",)) from None
    if not isinstance(body, dict):
        raise ConfigError((f"the body is {type(body).__name__}; send a JSON object",))
    return body


def _error(status: int, said: str) -> web.Response:
    more = {"WWW-Authenticate": "Bearer"} if status == web.HTTPUnauthorized.status_code else None
    sentence = "; ".join(said.splitlines())
    return web.json_response({"error": sentence}, status=status, headers=more)
