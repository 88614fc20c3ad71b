"""`--http`: a run as others may watch it: `/metrics`, `/status`, and a page for people at `/`.

If it may be broken by hand, it is so at `/faults` (`fleet_sim.live.routes`).

It has a thread and a loop of its own: a simulated run keeps its loop busy, and a real one has
better things to do than to draw. The run hands it complete moments, which nobody changes.
"""

import asyncio
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final, Self

from aiohttp import web

from fleet_sim.live.desk import NEVER, Desk
from fleet_sim.live.guard import Guard, is_loopback
from fleet_sim.live.routes import Routes
from fleet_sim.meter import Moment, Row, status
from fleet_sim.report import SINS
from fleet_sim.stage import StageError
from fleet_sim.watching import page, prometheus

_START_S: Final = 10.0
_NOT_YET: Final = "The run has not begun yet; ask again in a moment.\n"
#: What the page's own policy cannot say: that nobody may keep it, guess what it is, or frame it.
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# A fault is a line; whoever sends more has something else in mind.
_BODY_MAX_BYTES: Final = 64 << 10
_TOLD: Final = ("devices", "deeds", "frames", "events", "late", "redelivered", "p50_ms", "p99_ms")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RunServer:
    """Serves the last moment that it was shown; a `fleet_sim.meter.Watch`.

    Args:
        host: where to listen.
        port: 0 for any that is free.
        desk: takes what people want to break; absent, nothing can be.
        patience_s: what the address may take to be had.
    """

    def __init__(
        self, host: str, port: int, desk: Desk | None = None, patience_s: float = _START_S
    ) -> None:
        self._host, self._port = host, port
        self._desk = desk or Desk(NEVER)
        #: Has to be shown by whoever wants to break something and may be on another machine.
        self.token = secrets.token_urlsafe(24)
        #: Whether others than this machine can reach it.
        self.beyond = True
        self._patience_s = patience_s
        self._moment: Moment | None = None
        # No event of the loop, which may be made after the end was asked for.
        self._over: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._listening: Future[int] = Future()
        self.url = ""

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            StageError: the address cannot be had.
        """
        self._thread.start()
        try:
            port = self._listening.result(self._patience_s)
        except (OSError, UnicodeError) as error:
            self._end()  # it may listen yet, if the time was too short
            said = getattr(error, "strerror", None) or str(error)
            why = said or f"not within {self._patience_s:g} s"
            raise StageError(
                f"--http {self._host}:{self._port}: {why}; give another port,"
                " or 0 for any that is free"
            ) from error
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{port}/"
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no longer."""
        self._end()

    def _end(self) -> None:
        self._over.set_result(None)
        self._thread.join()

    def say(self, text: str) -> None:
        """Words are for people at a terminal."""

    def show(self, moment: Moment) -> None:
        """From now on this is how it stands."""
        self._moment = moment

    # --- its own thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            asyncio.run(self._listen())
        except (OSError, UnicodeError) as error:  # the latter of a host that no name can be
            self._listening.set_exception(error)

    async def _listen(self) -> None:
        app = web.Application(client_max_size=_BODY_MAX_BYTES)
        app.router.add_get("/", self._answering(self._page))
        app.router.add_get("/status", self._answering(self._status))
        app.router.add_get("/metrics", self._answering(self._metrics))
        names = {"localhost", self._host.lower(), socket.gethostname().lower()}
        faults = Routes(self._desk, Guard(names, self.token), _HEADERS)
        faults.add(app.router)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
            self.beyond = not all(is_loopback(address[0]) for address in runner.addresses)
            if not self.beyond:
                faults.guard = Guard(names)
            self._listening.set_result(runner.addresses[0][1])
            await asyncio.wrap_future(self._over)
        finally:
            await runner.cleanup()

    def _answering(self, answer: Callable[[Moment], web.Response]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            del request
            moment = self._moment
            if moment is None:
                wait = {**_HEADERS, "Retry-After": "1", "Refresh": "1"}
                return web.Response(status=503, text=_NOT_YET, headers=wait)
            response = answer(moment)
            response.headers.update(_HEADERS)
            return response

        return handler

    @staticmethod
    def _page(moment: Moment) -> web.Response:
        return web.Response(text=page.html_of(so_far(moment)), content_type="text/html")

    @staticmethod
    def _status(moment: Moment) -> web.Response:
        return web.json_response(status(moment))

    @staticmethod
    def _metrics(moment: Moment) -> web.Response:
        answer = web.Response(body=prometheus.text_of(moment).encode())
        answer.headers["Content-Type"] = prometheus.CONTENT_TYPE
        return answer


def so_far(moment: Moment) -> dict[str, Any]:
    """A moment in the shape of a report."""
    problems = moment.problems
    return {
        "live": True,
        "scenario": moment.scenario,
        "seed": moment.seed,
        "time": "virtual" if moment.virtual else "real",
        "simulated_s": moment.seconds,
        "starts": moment.starts or None,
        "elapsed_s": moment.elapsed_s,
        "wall_s": moment.wall_s,
        "eta_s": moment.eta_s,
        "verdict": "fail" if problems else "pass",
        "problems": problems,
        "vendors": {row.vendor: _figures(row) for row in moment.rows},
        "cells": {row.vendor: {"state": row.cell} for row in moment.rows},
        "acts": list(moment.acts),
        "timeline": moment.timeline,
    }


def _figures(row: Row) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in _TOLD},
        **{sin: row.sins.get(sin, 0) for sin in SINS},
    }
