"""Each kind that fails about servers, as a stranger sees it: before, meanwhile, and afterwards.

    stranger ──► asks a Tedee bridge, and shakes hands with SwitchBot's cloud
             ◄── is told by the bridge: a listener and a proof of the stranger's own

In simulated time the gateway's own cells are there as well, and the ledger looks after them; in
real time it is plain aiohttp, real sockets and real TLS.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import orjson
import pytest
from aiohttp import web

from fleet_sim import virtual
from fleet_sim.faults import FAULTS, Family, Fault, make
from fleet_sim.fleet import Population
from fleet_sim.hub import HubUnit
from fleet_sim.scenario import Scenario
from fleet_sim.unit import Unit
from fleet_sim.virtual import VirtualRun, simulated
from fleet_sim.wire import WireFleet, wall_ms
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Message, Webhook
from vendors.tedee.bridge_link import api_key
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.http import HostLimits, HttpHost
from vendors.wire.webhook import request_from

#: What a listener asks to be shown, so that it knows who calls.
PROOF: Final = "Bearer of-the-stranger"
FLEET: Final = {"tedee": 2, "switchbot": 2}
#: How often cells ask, so that a simulated hour is soon over.
ASKED: Final = {
    "tedee": {"poll_interval_s": 5},
    "switchbot": {"poll_min_ms": 60_000},
    "nuki_bridge": {"poll_interval_s": 60},
    "opengarage": {"poll_ms": 60_000},
}
TURNS: Final = 4
SETTLED_S: Final = 45.0
ELSEWHERE: Final = "http://192.0.2.9/elsewhere"


class Street(Protocol):
    """What a stranger needs of the world."""

    units: Sequence[Unit]
    hubs: Sequence[HubUnit]
    urls: Mapping[str, str]

    def now_ms(self) -> float: ...

    async def get(self, url: str, headers: Mapping[str, str], body: bytes = b"") -> HttpReply:
        """Raises ConnectionError with what went wrong."""

    async def listen(self, heard: Callable[[HttpRequest], None]) -> str:
        """The URL of a listener."""


class InMemory:
    """A `Street` in simulated time."""

    def __init__(self, run: VirtualRun) -> None:
        self.units, self.hubs = run.units, run.hubs
        self.now_ms = run.now_ms
        self.urls = run._at.hubs  # noqa: SLF001 -- what a gateway is told
        self._net = run._net  # noqa: SLF001 -- the wire between both

    async def get(self, url: str, headers: Mapping[str, str], body: bytes = b"") -> HttpReply:
        try:
            return await self._net.http_send("POST" if body else "GET", url, headers, body)
        except (NotSentError, NoReplyError) as error:
            raise ConnectionError(str(error)) from error

    async def listen(self, heard: Callable[[HttpRequest], None]) -> str:
        async def take(request: HttpRequest) -> HttpReply:
            heard(request)
            return HttpReply(204)

        (host, port), _ = await self._net.webhook_listen(("192.0.2.77", 0), take)
        return f"http://{host}:{port}"


class OnSockets:
    """A `Street` in real time: a client and a server that know nothing of ours."""

    def __init__(self, fleet: WireFleet, ca_file: str) -> None:
        assert fleet.server is not None
        self.units, self.hubs, self.urls = fleet.units, fleet.hubs, fleet.server.urls
        self.now_ms = fleet.now_ms
        context = ssl.create_default_context(cafile=ca_file)
        # Each request shakes hands anew.
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        self._client = aiohttp.ClientSession(connector=connector)
        self._runner: web.ServerRunner | None = None

    async def get(self, url: str, headers: Mapping[str, str], body: bytes = b"") -> HttpReply:
        method = "POST" if body else "GET"
        try:
            async with self._client.request(
                method, url, headers=headers, data=body or None, allow_redirects=False
            ) as response:
                said = await response.read()
                return HttpReply(response.status, said, tuple(response.headers.items()))
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error

    async def listen(self, heard: Callable[[HttpRequest], None]) -> str:
        async def take(request: web.BaseRequest) -> web.StreamResponse:
            heard(await request_from(request, 65_536))
            return web.Response(status=204)

        self._runner = web.ServerRunner(web.Server(take, access_log=None))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port, *_ = self._runner.addresses[0]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        await self._client.close()
        if self._runner is not None:
            await self._runner.cleanup()


class Call(NamedTuple):
    """A webhook as it arrived; when it was, by its own words, in Unix ms."""

    told_ms: int
    at_ms: float
    body: bytes
    proof: str


class Turns:
    """Some webhooks that left the bridge, and what of them has arrived so far."""

    def __init__(self, told: Sequence[Webhook], calls: Sequence[Call]) -> None:
        self.told = len(told)
        self._bodies, self._all = {webhook.body for webhook in told}, calls

    @property
    def calls(self) -> list[Call]:
        return [call for call in self._all if call.body in self._bodies]

    @property
    def times(self) -> set[int]:
        """How often each came; all of them are different."""
        return set(Counter(call.body for call in self.calls).values())

    @property
    def lateness_ms(self) -> list[float]:
        return [call.at_ms - call.told_ms for call in self.calls]

    @property
    def in_order(self) -> bool:
        told_ms = [call.told_ms for call in self.calls]
        return told_ms == sorted(told_ms)


class Stranger:
    """Whoever is no gateway of ours."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self.locks = [unit for unit in street.units if unit.vendor == "tedee"]
        (self.bridge,) = [hub for hub in street.hubs if hub.vendor == "tedee"]
        (self._cloud,) = [hub for hub in street.hubs if hub.vendor == "switchbot"]
        self._told: list[Webhook] = []
        self._calls: list[Call] = []
        self._stamp_ms = 0

    async def come(self) -> None:
        """Ask the bridge to be told."""
        url = await self._street.listen(self._heard)
        wanted = {"url": url, "method": "POST", "headers": [{"Authorization": PROOF}]}
        added = await self._ask("/callback", orjson.dumps(wanted))
        assert added.status == 200, added
        deliver = self.bridge.deliver

        def delivered(message: Message, *rest: Any, **more: Any) -> None:
            if isinstance(message, Webhook) and message.url == url:
                self._told.append(message)
            deliver(message, *rest, **more)

        self.bridge.deliver = delivered  # type: ignore[method-assign]

    def _heard(self, request: HttpRequest) -> None:
        at = datetime.fromisoformat(orjson.loads(request.body)["timestamp"])
        told_ms, proof = round(at.timestamp() * 1000), request.headers.get("authorization", "")
        self._calls.append(Call(told_ms, self._street.now_ms(), request.body, proof))

    async def _ask(self, path: str, body: bytes = b"") -> HttpReply:
        # Whoever shares its clock's millisecond with a gateway would be taken for a replay.
        self._stamp_ms = max(int(self._street.now_ms()), self._stamp_ms + 1)
        headers = {"api_token": api_key(self.bridge.hub.token, self._stamp_ms)}  # type: ignore[attr-defined]
        headers |= {"Content-Length": str(len(body))} if body else {}
        url = self._street.urls[self.bridge.hub.name]
        return await self._street.get(f"{url}/v1.0{path}", headers, body)

    async def answer(self) -> HttpReply:
        return await self._ask("/lock")

    async def handshake(self) -> str:
        """What is wrong with the cloud's certificate; empty if nothing is."""
        try:
            await self._street.get(f"{self._street.urls[self._cloud.hub.name]}/v1.1/devices", {})
        except ConnectionError as error:
            return str(error)
        return ""

    async def turns(self) -> Turns:
        """Some turns of each lock by hand."""
        before = len(self._told)
        for _ in range(TURNS):
            for lock in self.locks:
                lock.act("turn_by_hand")
            await asyncio.sleep(0.03)  # they are to be told at different times
        await until(lambda: len(self._told) >= before + TURNS * len(self.locks), "turns are told")
        return Turns(self._told[before:], self._calls)


def people(units: Sequence[Unit]) -> None:
    """Somebody at every device but those that the stranger looks at."""
    for unit in units:
        if unit.vendor != "tedee":
            unit.act(unit.habits.pick())


async def until(true: Callable[[], bool], what: str, within_s: float = 10.0) -> None:
    deadline_s = asyncio.get_running_loop().time() + within_s
    while not true():
        assert asyncio.get_running_loop().time() < deadline_s, what
        await asyncio.sleep(0.02)


# --- the kinds --------------------------------------------------------------------------------


class Case(NamedTuple):
    """`look` at what is `usual`, and `seen` while the fault lasts."""

    look: Callable[[Stranger], Awaitable[Any]]
    usual: Callable[[Any], bool]
    seen: Callable[[Any], bool]
    settings: Mapping[str, Any] = {}


def answers(seen: Callable[[HttpReply], bool], **settings: Any) -> Case:
    return Case(Stranger.answer, served, seen, settings)


def served(reply: HttpReply) -> bool:
    return reply.status == 200 and len(reply.body) < 2_000 and len(orjson.loads(reply.body)) == 2


def handshakes(*words: str) -> Case:
    """One of these is what a client says of it; where there is no TLS, that nobody is there."""
    said = (*words, "nobody listens there")
    return Case(
        Stranger.handshake, lambda error: error == "", lambda error: any(w in error for w in said)
    )


def webhooks(seen: Callable[[Turns], bool], **settings: Any) -> Case:
    return Case(Stranger.turns, told_once, seen, settings)


def told_once(turns: Turns) -> bool:
    """Each arrives, once, at once, in order, with our proof."""
    calls = turns.calls
    whole = len(calls) == turns.told and turns.times == {1} and turns.in_order
    return whole and max(turns.lateness_ms) < 750 and {call.proof for call in calls} == {PROOF}


CASES: Final[Mapping[str, Case]] = {
    "too_many_requests": answers(
        lambda reply: (reply.status, reply.header("Retry-After")) == (429, "7"), retry_after_s=7
    ),
    "server_error": answers(lambda reply: reply.status == 503, status=503),
    "error_inside_200": answers(
        lambda reply: reply.status == 200 and "error" in orjson.loads(reply.body)
    ),
    "token_expired": answers(
        lambda reply: (
            reply.status == 401
            and "invalid_token" in (reply.header("WWW-Authenticate") or "")
            and b"Invalid token" in reply.body  # in the vendor's own words
        )
    ),
    "redirect": answers(
        lambda reply: (reply.status, reply.header("Location")) == (307, ELSEWHERE),
        status=307,
        location=ELSEWHERE,
    ),
    "huge_body": answers(
        lambda reply: len(reply.body) > 5_000_000 and served(reply._replace(body=reply.body[:999])),
        body_mb=5.0,
    ),
    "bad_certificate": handshakes("self-signed certificate", "local issuer certificate"),
    "certificate_swapped": handshakes("address mismatch", "Hostname mismatch"),
    "webhook_lost": webhooks(lambda turns: not turns.calls),
    "webhook_doubled": webhooks(
        lambda turns: (
            turns.times == {2}
            and len(turns.calls) == 2 * turns.told
            and max(turns.lateness_ms) >= 300
        ),
        gap_ms=300,
    ),
    "webhook_late": webhooks(
        lambda turns: (
            len(turns.calls) == turns.told
            and turns.times == {1}
            and min(turns.lateness_ms) >= 1_000
        ),
        late_ms=1_000,
    ),
    "webhook_reordered": webhooks(
        lambda turns: len(turns.calls) == turns.told and turns.times == {1} and not turns.in_order,
        window_ms=400,
    ),
    "wrong_signature": webhooks(
        lambda turns: (
            len(turns.calls) == turns.told and PROOF not in {call.proof for call in turns.calls}
        )
    ),
}


async def before_meanwhile_and_after(street: Street, case: Case, fault: Fault) -> None:
    """What is seen of it, and that nothing is seen of it any more."""
    stranger = Stranger(street)
    await stranger.come()
    before = await case.look(stranger)
    await until(lambda: case.usual(before), "before")
    asked = [hub.asked for hub in street.hubs]

    for unit in street.units:
        unit.strike(fault)
    struck = await case.look(stranger)
    await stranger.turns()  # that a gateway has something to lose
    people(street.units)
    for unit in street.units:
        unit.heal()
    people(street.units)

    after = await case.look(stranger)
    await until(lambda: case.usual(after), "after")
    await until(lambda: case.seen(struck), "meanwhile")
    assert not case.seen(after)
    if case.look is not Stranger.turns:
        assert [hub.asked for hub in street.hubs] != asked


def test_each_kind_has_its_case() -> None:
    assert CASES.keys() == {name for name, kind in FAULTS.items() if kind.family is Family.HTTP}


@pytest.mark.parametrize("kind", CASES)
def test_a_stranger_on_sockets_sees_it_and_sees_it_end(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with on_sockets(tmp_path) as street:
            case = CASES[kind]
            await before_meanwhile_and_after(street, case, make(kind, case.settings))

    asyncio.run(main())


@asynccontextmanager
async def on_sockets(folder: Path) -> AsyncIterator[OnSockets]:
    populations = [Population(vendor, count, 3, wall_ms()) for vendor, count in FLEET.items()]
    fleet = WireFleet(populations, seed=3, pace=1e-6, broker=("127.0.0.1", 1))
    at = await fleet.open_hubs(folder)
    street = OnSockets(fleet, at.ca_file)
    try:
        yield street
    finally:
        await street.close()
        await fleet.stop()


@pytest.mark.parametrize("kind", CASES)
def test_a_stranger_in_simulated_time_sees_it_beside_a_gateway_that_loses_nothing(
    kind: str,
) -> None:
    case = CASES[kind]
    scenario = Scenario.model_validate(
        {
            "hours": 0.05,
            "pace": 1e-6,  # nobody but the stranger
            "arrive_s": 1,
            "fleet": {**FLEET, "nuki_bridge": 2, "opengarage": 2, "ratgdo": 1},
            "gateway": ASKED,
        }
    )

    result = play(
        scenario, lambda street: before_meanwhile_and_after(street, case, make(kind, case.settings))
    )

    assert (result["verdict"], result["evidence"]) == ("pass", [])
    assert all(line["events"] for line in result["vendors"].values())


def play(
    scenario: Scenario, story: Callable[[InMemory], Coroutine[Any, Any, None]]
) -> dict[str, Any]:
    """Run it, and the story in it."""

    async def whole(folder: Path) -> dict[str, Any]:
        run = VirtualRun(scenario, 3, folder)
        stories: list[asyncio.Task[None]] = []

        async def told() -> None:
            await asyncio.sleep(SETTLED_S)
            await story(InMemory(run))

        result = await run.run(built=lambda: stories.append(asyncio.create_task(told())))
        assert stories[0].done(), "the scenario was over before the story"
        await stories[0]
        return result

    with simulated() as (folder, runner):
        return runner.run(whole(folder))


# --- what a gateway of ours makes of it -------------------------------------------------------


async def test_a_redirect_is_not_followed_whoever_waits_there(tmp_path: Path) -> None:
    caught: list[HttpRequest] = []
    async with on_sockets(tmp_path) as street:
        trap = await street.listen(caught.append)
        for unit in street.units:
            unit.strike(make("redirect", {"status": 307, "location": f"{trap}/v1.0/lock"}))
        host = HttpHost(street.urls["19420103-000001"], HostLimits(), rng=Random(1))
        reply = await host.request(
            "POST", "/v1.0/lock/33001/unlock", idempotent=False, headers={"api_token": "secret"}
        )
        await host.close()

    assert (reply.status, caught) == (307, [])


def test_a_host_that_fails_is_left_alone_and_people_can_see_it() -> None:
    minutes, server_error = 4, {"at": "1m", "for": "4m", "fault": "server_error"}
    result = virtual.run(
        Scenario.model_validate(
            {
                "hours": 0.15,
                "fleet": {"tedee": 4, "opengarage": 2},
                "gateway": {"tedee": {"poll_interval_s": 5}, "opengarage": {"poll_ms": 1_000}},
                "acts": [{**server_error, "vendor": vendor} for vendor in ("tedee", "opengarage")],
            }
        ),
        seed=3,
    )

    assert (result["verdict"], result["evidence"]) == ("pass", [])
    for vendor, hosts in (("tedee", 1), ("opengarage", 2)):
        shown = result["cells"][vendor]["hosts"]
        assert len(shown) == hosts
        assert {host["breaker"] for host in shown} == {"closed"}  # it is well again
        assert all(3 < host["opened"] < 60 for host in shown), shown
        # Asked every second as usual it would be 60 a minute and host.
        asked_s = result["requests"][vendor]
        assert min(asked_s) >= 60
        assert max(asked_s) <= 300
        assert 4 < len(asked_s) / hosts / minutes < 30
