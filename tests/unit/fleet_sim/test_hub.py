"""A hub in a run, without sockets: whose fault strikes what, and what is lost on the way."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from fleet_sim.clock import SimLoop
from fleet_sim.faults import Fault, http, wire
from fleet_sim.fleet import Agenda
from fleet_sim.hub import HubUnit, hubs_of
from fleet_sim.ledger import Ledger
from fleet_sim.memory_web import MemoryWeb
from fleet_sim.unit import Unit
from vendors.http import HttpReply, HttpRequest
from vendors.sim import (
    Arrival,
    Effects,
    HubEffects,
    Publish,
    Truth,
    Webhook,
    WsClose,
    WsOpen,
    WsText,
)
from vendors.wire.errors import NoReplyError, NotSentError


class Door:
    """A door behind a hub; `open` is told to whoever listens."""

    session = serial = None

    def __init__(self, name: str, hub: "Bridge") -> None:
        self.name, self.hub = name, hub

    def wake(self, _now_ms: int) -> Effects:
        return Effects()

    def act(self, habit: str, now_ms: int) -> Effects:
        messages = [Webhook(url, f"{self.name} {habit}".encode()) for url in self.hub.listeners]
        messages += [WsText(peer, f"{self.name} {habit}") for peer in self.hub.peers]  # type: ignore[misc]
        truth = Truth(self.name, "position", habit, now_ms, bool(messages))
        return Effects(messages, [truth])

    connected = disconnected = receive = wake


class Bridge:
    """Answers `/<door>` with its name; `/cut` cuts; `/slow` takes a second; TLS if asked for."""

    session = None
    name = "bridge"
    REFUSALS = {"too_many_requests": b'{"busy":true}'}  # noqa: RUF012 -- nobody changes it

    def __init__(self, *, tls: bool = False) -> None:
        self.tls = tls
        self.listeners: list[str] = []
        self.peers: list[str] = []
        self.heard: list[str] = []
        self.asked = 0

    def connected(self, now_ms: int) -> HubEffects:
        return HubEffects(wake_at_ms=now_ms + 1_000)

    def disconnected(self, _now_ms: int) -> HubEffects:
        return HubEffects()

    def wake(self, _now_ms: int) -> HubEffects:
        self.heard.append("woken")
        return HubEffects()

    def receive(self, message: Arrival, _now_ms: int) -> HubEffects:  # noqa: PLR0911 -- a table
        match message:
            case HttpRequest(path="/cut"):
                return HubEffects()
            case HttpRequest(path="/slow"):
                return HubEffects(HttpReply(200, b"slow", (), 1_000))
            case HttpRequest():
                self.asked += 1
                return HubEffects(HttpReply(200, message.path.encode()), message.path[1:])
            case WsOpen(request=HttpRequest(path="/no")):
                return HubEffects(HttpReply(401))
            case WsOpen():
                self.peers.append(message.peer)
                return HubEffects(messages=[WsText(message.peer, "hello")])
            case WsText():
                self.heard.append(message.text)
                return HubEffects(messages=[WsText(message.peer, message.text.upper())])
            case WsClose():
                self.peers.remove(message.peer)
                self.heard.append("closed")
                return HubEffects()
            case _:
                raise AssertionError(message)


class Host:
    """A `unit.Host` in simulated time, and the web between hubs and whoever asks."""

    seed, pace, in_flight_ms, journal, recalls = 1, 1e-9, 0.0, None, True

    def __init__(self, *, tls: bool = False) -> None:
        self.ledger = Ledger()
        self.agenda = Agenda()
        self.bridge = Bridge(tls=tls)
        self.web = MemoryWeb()
        self.units = [Unit(self, Population(), Door(name, self.bridge)) for name in ("a", "b")]  # type: ignore[arg-type]
        (self.hub,) = hubs_of(self, self.units)
        (self.url,) = self.web.serve([self.hub]).values()
        self.hub.came_up()

    def now_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1_000

    def later(self, wait_ms: float, what: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(wait_ms / 1000, what)

    def datagram(self, *_: object) -> None:
        raise AssertionError

    async def ask(self, path: str) -> HttpReply:
        async with asyncio.timeout(5):
            return await self.web.http_send("GET", self.url + path, {}, b"")

    def strike(self, fault: Fault) -> None:
        for unit in self.units:
            unit.strike(fault)

    def lost(self) -> int:
        return sum(not owed.sure for unit in "ab" for owed in self.told(unit))

    def told(self, door: str) -> list[Any]:
        return self.ledger._of("acme", door).told.get("position", [])  # noqa: SLF001 -- what it holds


class Population:
    vendor = "acme"
    module = type("Module", (), {"HABITS": {"open": 1.0}})


Story = Callable[[Host], Coroutine[Any, Any, None]]


def play(story: Story, *, tls: bool = False) -> None:
    async def main() -> None:
        host = Host(tls=tls)
        await story(host)
        await host.web.close()

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(main())


def test_a_hub_answers_in_its_own_time() -> None:
    async def story(host: Host) -> None:
        assert (await host.ask("/a")).body == b"/a"
        began_ms = host.now_ms()
        assert (await host.ask("/slow")).body == b"slow"
        assert host.now_ms() - began_ms == pytest.approx(1_000, abs=2)

    play(story)


def test_a_hub_that_cuts_is_no_answer_and_one_without_power_was_never_reached() -> None:
    async def story(host: Host) -> None:
        with pytest.raises(NoReplyError):
            await host.ask("/cut")
        host.hub.powered = False
        with pytest.raises(NotSentError):
            await host.ask("/a")

    play(story)


def test_what_is_planned_comes() -> None:
    async def story(host: Host) -> None:
        host.agenda.run(999)
        assert host.bridge.heard == []
        host.agenda.run(1_000)
        assert host.bridge.heard == ["woken"]

    play(story)


@pytest.mark.parametrize("fault", [wire.Hang(), wire.Silence()])
def test_a_device_that_is_silent_leaves_its_hub_to_the_others(fault: Fault) -> None:
    async def story(host: Host) -> None:
        host.units[0].strike(fault)
        assert (await host.ask("/b")).body == b"/b"
        with pytest.raises(TimeoutError):
            await host.ask("/a")
        host.units[1].strike(fault)
        with pytest.raises(TimeoutError):
            await host.ask("/b")

    play(story)


def test_a_hub_that_answers_errors_does_nothing_of_what_it_is_asked() -> None:
    async def story(host: Host) -> None:
        host.strike(http.ServerError(status=503))
        assert (await host.ask("/a")).status == 503
        assert host.bridge.asked == 0
        for unit in host.units:
            unit.heal()
        assert (await host.ask("/a")).status == 200

    play(story)


def test_a_hub_says_what_fails_in_its_own_words_if_it_has_some() -> None:
    async def story(host: Host) -> None:
        host.strike(http.TooManyRequests(retry_after_s=3))
        json = (("Content-Type", "application/json"), ("Retry-After", "3"))
        assert await host.ask("/a") == (429, b'{"busy":true}', json, 0)

    play(story)


def test_a_hub_that_fails_now_and_then_does_so_as_one() -> None:
    async def story(host: Host) -> None:
        host.strike(http.ServerError(probability=0.5))
        statuses = [(await host.ask("/a")).status for _ in range(200)]
        assert 70 < statuses.count(500) < 130
        assert host.bridge.asked == statuses.count(200)

    play(story)


def test_how_often_a_hub_was_asked_is_known_and_when_while_it_was_struck() -> None:
    async def story(host: Host) -> None:
        await host.ask("/a")
        host.strike(http.BadCertificate())
        for wait_s in (1, 2):
            await asyncio.sleep(wait_s)
            with pytest.raises(NotSentError):
                await host.ask("/a")
        host.units[0].heal()
        assert (await host.ask("/b")).status == 200
        assert host.hub.asked == 4
        assert host.hub.asked_ms == pytest.approx([1_000, 3_000], abs=2)

    play(story, tls=True)


@pytest.mark.parametrize(
    ("fault", "arrived_s", "sure"),
    [
        (http.WebhookLost(), [], False),
        (http.WebhookLate(late_ms=400), [0.4], False),
        (http.WebhookDoubled(gap_ms=500), [0, 0.5], True),
        (http.WrongSignature(), [], False),
        (http.HugeBody(), [0], True),
    ],
)
def test_a_webhook_arrives_as_its_fault_has_it_and_the_ledger_knows(
    fault: Fault, arrived_s: list[float], sure: bool
) -> None:
    async def story(host: Host) -> None:
        at_s: list[float] = []

        async def take(request: HttpRequest) -> HttpReply:
            if request.path != "/key":
                return HttpReply(404)
            at_s.append(asyncio.get_running_loop().time())
            return HttpReply(200)

        (_, port), _ = await host.web.webhook_listen(("10.0.0.1", 0), take)
        host.bridge.listeners = [f"http://10.0.0.1:{port}/key"]
        host.units[0].strike(fault)
        host.units[0].act("open")
        await asyncio.sleep(1)
        assert at_s == pytest.approx(arrived_s, abs=0.002)
        assert [owed.sure for owed in host.told("a")] == [sure]

    play(story)


@pytest.mark.parametrize("dated", [True, False])
def test_what_an_old_webhook_tells_may_pass_for_news_only_if_nothing_dates_it(dated: bool) -> None:
    async def take(_: HttpRequest) -> HttpReply:
        return HttpReply(200)

    async def story(host: Host) -> None:
        (_, port), _ = await host.web.webhook_listen(("10.0.0.1", 0), take)
        host.bridge.listeners = [f"http://10.0.0.1:{port}/x"]
        host.hub._dated = dated  # noqa: SLF001 -- as its hub says
        host.units[0].strike(http.WebhookLate(late_ms=1_000))
        host.units[0].act("open")
        host.units[0].heal()
        await asyncio.sleep(0.5)
        host.units[0].act("shut")
        await asyncio.sleep(1)
        told = [("open", False), ("shut", True), ("open", False), ("shut", False)]
        told = told[:2] if dated else told
        assert [(owed.value, owed.sure) for owed in host.told("a")] == told

    play(story)


def test_a_torn_answer_takes_the_place_of_the_good_one() -> None:
    async def story(host: Host) -> None:
        host.strike(wire.Malformed())
        assert len((await host.ask("/a")).body) >= 65

    play(story)


@pytest.mark.parametrize("fault", [http.BadCertificate(), http.CertificateSwapped()])
@pytest.mark.parametrize("tls", [True, False])
def test_a_bad_certificate_keeps_out_whoever_looks_at_it(tls: bool, fault: Fault) -> None:
    async def story(host: Host) -> None:
        host.strike(fault)
        if not tls:
            assert (await host.ask("/a")).status == 200
            return
        with pytest.raises(NotSentError):
            await host.ask("/a")

    play(story, tls=tls)


def test_a_webhook_that_nobody_takes_is_owed_no_more() -> None:
    taken: list[bytes] = []

    async def take(request: HttpRequest) -> HttpReply:
        taken.append(request.body)
        return HttpReply(200 if request.body == b"a open" else 503)

    async def story(host: Host) -> None:
        (_, port), close = await host.web.webhook_listen(("10.0.0.1", 0), take)
        host.bridge.listeners = [f"http://10.0.0.1:{port}/x"]
        host.units[0].act("open")
        host.units[1].act("open")
        await asyncio.sleep(1)
        assert taken == [b"a open", b"b open"]
        assert [[owed.sure for owed in host.told(door)] for door in "ab"] == [[True], [False]]
        close()
        host.units[0].act("close")
        await asyncio.sleep(1)
        assert host.lost() == 2

    play(story)


def test_a_websocket_hears_in_order_and_what_is_cut_is_owed_no_more() -> None:
    async def story(host: Host) -> None:
        with pytest.raises(ConnectionError):
            await host.web.ws_connect(host.url.replace("http", "ws") + "/no", {})
        channel = await host.web.ws_connect(host.url.replace("http", "ws") + "/", {})
        await channel.send("question")
        host.units[0].act("open")
        said = [await channel.receive() for _ in range(3)]
        assert said == ["hello", "QUESTION", "a open"]
        assert host.lost() == 0
        await asyncio.sleep(1)
        host.units[0].act("close")
        host.units[0].cut()
        assert [await channel.receive(), await channel.receive()] == ["a close", None]
        assert host.bridge.heard[-1] == "closed"
        assert host.lost() == 1
        with pytest.raises(ConnectionError):
            await channel.send("anybody?")

    play(story)


def test_a_flood_repeats_the_last_webhook() -> None:
    taken: list[bytes] = []

    async def take(request: HttpRequest) -> HttpReply:
        taken.append(request.body)
        return HttpReply(200)

    async def story(host: Host) -> None:
        (_, port), _ = await host.web.webhook_listen(("10.0.0.1", 0), take)
        host.bridge.listeners = [f"http://10.0.0.1:{port}/x"]
        await asyncio.sleep(1)
        host.units[0].act("open")
        await asyncio.sleep(1)
        host.units[0].strike(wire.Flood(rate_factor=20.0))
        for at_ms in range(2_000, 12_000, 10):
            host.agenda.run(at_ms)
            await asyncio.sleep(0.01)
        assert len(taken) > 20
        assert set(taken) == {b"a open"}

    play(story)


def test_a_flood_does_not_repeat_what_is_otherwise_by_now() -> None:
    taken: list[bytes] = []

    async def take(request: HttpRequest) -> HttpReply:
        taken.append(request.body)
        return HttpReply(200)

    async def story(host: Host) -> None:
        (_, port), _ = await host.web.webhook_listen(("10.0.0.1", 0), take)
        host.bridge.listeners = [f"http://10.0.0.1:{port}/x"]
        await asyncio.sleep(1)
        host.units[0].act("closed")
        host.bridge.listeners = []
        host.units[0].act("open")  # only who asks knows
        await asyncio.sleep(1)
        host.units[0].strike(wire.Flood(rate_factor=20.0))
        for at_ms in range(2_000, 4_000, 10):
            host.agenda.run(at_ms)
            await asyncio.sleep(0.01)
        assert taken == [b"a closed"]
        host.units[0].act("closed")
        for at_ms in range(4_000, 6_000, 10):
            host.agenda.run(at_ms)
            await asyncio.sleep(0.01)
        assert len(taken) > 1

    play(story)


class Broker:
    """A `unit.Link` that keeps what it was given."""

    up = True

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def publish(self, message: Publish) -> None:
        self.taken.append(message.payload)


def test_a_flood_does_not_repeat_what_never_got_out() -> None:
    async def story(host: Host) -> None:
        link = host.hub.link = Broker()  # type: ignore[assignment]
        await asyncio.sleep(1)
        unit = host.units[0]
        unit.fault = wire.Silence()
        unit.apply(Effects([Publish("a/mode", b"unheard", retain=True)]), "wake")
        unit.fault = None
        unit.apply(Effects([Publish("a/door", b"heard", retain=True)]), "wake")
        unit.strike(wire.Flood(rate_factor=20.0))
        for at_ms in range(2_000, 12_000, 10):
            host.agenda.run(at_ms)
        assert len(link.taken) > 1
        assert set(link.taken) == {b"heard"}

    play(story)


def test_a_flood_does_not_repeat_what_the_hub_has_said_anew() -> None:
    async def story(host: Host) -> None:
        link = host.hub.link = Broker()  # type: ignore[assignment]
        await asyncio.sleep(1)
        host.units[0].apply(Effects([Publish("a/mode", b"old", retain=True)]), "wake")
        host.hub.apply(HubEffects(messages=[Publish("a/mode", b"new", retain=True)]))
        host.units[0].strike(wire.Flood(rate_factor=20.0))
        for at_ms in range(2_000, 12_000, 10):
            host.agenda.run(at_ms)
        assert link.taken == [b"old", b"new"]

    play(story)


def test_nobody_uses_a_device_that_is_at_rest_not_even_once_it_is_healed() -> None:
    async def story(host: Host) -> None:
        resting, used = host.units
        for unit in host.units:
            unit.live()
        resting.strike(wire.Silence())
        resting.rest()
        resting.heal()

        host.agenda.run(10**18)

        assert not host.told(resting.device.name)
        assert host.told(used.device.name)

    play(story)


def test_devices_of_two_hubs_are_told_apart() -> None:
    async def story(host: Host) -> None:
        other = Unit(host, Population(), Door("c", Bridge()))  # type: ignore[arg-type]
        first, second = hubs_of(host, [*host.units, other])
        assert isinstance(first, HubUnit)
        assert list(first.units) == ["a", "b"]
        assert list(second.units) == ["c"]

    play(story)


def test_chance_of_a_hub_is_its_own() -> None:
    async def story(host: Host) -> None:
        again = Host()
        assert host.hub.rng.random() == again.hub.rng.random()
        assert host.hub.rng.random() != Random(1).random()

    play(story)
