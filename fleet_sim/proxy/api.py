"""Toxiproxy's HTTP API.

Source: Shopify/toxiproxy 2.12, README, "HTTP API", and what its api.go answers.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fleet_sim.proxy import orders
from fleet_sim.proxy.orders import OrderError, Placed, Refusal
from fleet_sim.proxy.proxies import Proxies
from fleet_sim.proxy.proxy import Proxy

#: Whose API this is: clients look at the first number.
VERSION: Final = "2.12.0"
_BODY_MAX: Final = 1024 * 1024
#: By stream and kind, as Toxiproxy names them in its METRICS.md.
_METRIC: Final = "toxiproxy_proxy_{}_bytes_total"


def application(proxies: Proxies) -> web.Application:
    """The API over these proxies."""
    api = _Api(proxies)
    app = web.Application(middlewares=(_guard(proxies),), client_max_size=_BODY_MAX)
    proxy, toxics = "/proxies/{proxy}", "/proxies/{proxy}/toxics"
    for method, path, handler in (
        ("GET", "/version", api.version),
        ("GET", "/metrics", api.metrics),
        ("POST", "/reset", api.reset),
        ("POST", "/populate", api.populate),
        ("GET", "/proxies", api.list_proxies),
        ("POST", "/proxies", api.add_proxy),
        ("GET", proxy, api.show_proxy),
        ("POST", proxy, api.change_proxy),
        ("PATCH", proxy, api.change_proxy),
        ("DELETE", proxy, api.remove_proxy),
        ("GET", toxics, api.list_toxics),
        ("POST", toxics, api.add_toxic),
        ("GET", toxics + "/{toxic}", api.show_toxic),
        ("POST", toxics + "/{toxic}", api.change_toxic),
        ("PATCH", toxics + "/{toxic}", api.change_toxic),
        ("DELETE", toxics + "/{toxic}", api.remove_toxic),
    ):
        app.router.add_route(method, path, handler)
    return app


def _guard(proxies: Proxies) -> Middleware:
    """One order at a time, none of a page in a browser, and errors in Toxiproxy's form."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("User-Agent", "").startswith("Mozilla/"):
            return web.Response(status=403, text="User agent not allowed\n")
        proxies.alive()
        try:
            async with proxies.turn:
                return await handler(request)
        except OrderError as error:
            return web.json_response(_error(error), status=error.status)

    return guard


class _Api:
    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies

    async def version(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"version": VERSION})

    async def metrics(self, request: web.Request) -> web.Response:
        del request
        lines = []
        for what in ("received", "sent"):
            name = _METRIC.format(what)
            lines.append(f"# TYPE {name} counter")
            for proxy in self._proxies.all.values():
                lines += [
                    f"{name}{{{_labels(proxy, stream)}}} {count}"
                    for (stream, way), count in proxy.carried.items()
                    if way == what
                ]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")

    async def reset(self, request: web.Request) -> web.Response:
        del request
        await self._proxies.reset("all was reset")
        return web.Response(status=204)

    async def populate(self, request: web.Request) -> web.Response:
        done, error = await self._proxies.populate(await _json(request))
        said: dict[str, Any] = _error(error) if error else {}
        said["proxies"] = [proxy.as_json() for proxy in done]
        return web.json_response(said, status=error.status if error else 201)

    async def list_proxies(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(
            {name: proxy.as_json() for name, proxy in self._proxies.all.items()}
        )

    async def add_proxy(self, request: web.Request) -> web.Response:
        proxy = await self._proxies.add(orders.proxy(await _json(request)))
        return web.json_response(proxy.as_json(), status=201)

    async def show_proxy(self, request: web.Request) -> web.Response:
        return web.json_response(self._proxy(request).as_json())

    async def change_proxy(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        await proxy.change(orders.changed(proxy.fields, await _json(request)))
        return web.json_response(proxy.as_json())

    async def remove_proxy(self, request: web.Request) -> web.Response:
        await self._proxies.remove(request.match_info["proxy"])
        return web.Response(status=204)

    async def list_toxics(self, request: web.Request) -> web.Response:
        return web.json_response(self._proxy(request).toxics_as_json())

    async def add_toxic(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        placed = orders.toxic(await _json(request))
        if placed.name in proxy.toxics:
            raise OrderError(Refusal.TOXIC_THERE, f"{placed.name!r}; give it another name")
        proxy.put(placed)
        return web.json_response(placed.as_json())

    async def show_toxic(self, request: web.Request) -> web.Response:
        return web.json_response(self._toxic(request).as_json())

    async def change_toxic(self, request: web.Request) -> web.Response:
        placed = orders.changed_toxic(self._toxic(request), await _json(request))
        self._proxy(request).put(placed)
        return web.json_response(placed.as_json())

    async def remove_toxic(self, request: web.Request) -> web.Response:
        placed = self._toxic(request)
        self._proxy(request).take_away((placed.name,), "it was taken away")
        return web.Response(status=204)

    def _proxy(self, request: web.Request) -> Proxy:
        return self._proxies.named(request.match_info["proxy"])

    def _toxic(self, request: web.Request) -> Placed:
        proxy, name = self._proxy(request), request.match_info["toxic"]
        if name not in proxy.toxics:
            known = ", ".join(proxy.toxics) or "none"
            raise OrderError(Refusal.NO_TOXIC, f"{name!r}; there is {known}")
        return proxy.toxics[name]


async def _json(request: web.Request) -> Any:  # noqa: ANN401 -- JSON
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise OrderError(Refusal.BAD_BODY, str(error)) from error


def _error(error: OrderError) -> dict[str, Any]:
    return {"error": str(error), "status": error.status}


def _labels(proxy: Proxy, stream: str) -> str:
    labels: Mapping[str, str] = {
        "direction": stream,
        "proxy": proxy.fields.name,
        "listener": proxy.fields.listen,
        "upstream": proxy.fields.upstream,
    }
    return ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
