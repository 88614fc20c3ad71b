"""One host over real sockets on loopback: what leaves how often, and what its failures mean."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme
from aiohttp import web

from fleet_sim.clock import SimLoop
from vendors.http import HttpReply
from vendors.wire.breaker import BreakerState
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.http import HostLimits, HttpHost, Token, retry_after_ms

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
#: One attempt, so that a failure is the first one's.
ONCE = HostLimits(timeout_ms=2_000, attempts_max=1)


class Served:
    """A host, and the requests that reached it."""

    def __init__(self, host: HttpHost, asked: list[web.BaseRequest]) -> None:
        self.host = host
        self.asked = asked

    async def get(self, path: str = "/", *, idempotent: bool = True, **more: Any) -> HttpReply:
        return await self.host.request("GET", path, idempotent=idempotent, **more)


@asynccontextmanager
async def serving(
    answer: Answer, limits: HostLimits = ONCE, context: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[Served]:
    asked: list[web.BaseRequest] = []

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        return await answer(request)

    runner = web.ServerRunner(web.Server(serve, access_log=None), shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme = "http" if context is None else "https"
    url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    host = HttpHost(url, limits, rng=Random(1), **more)
    try:
        yield Served(host, asked)
    finally:
        await host.close()
        await runner.cleanup()


@asynccontextmanager
async def raw(
    said: bytes, limits: HostLimits = ONCE
) -> AsyncIterator[tuple[HttpHost, list[bytes]]]:
    """A host that says these bytes to each request, and hangs up."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host = HttpHost(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", limits, rng=Random(1))
    try:
        yield host, asked
    finally:
        await host.close()
        server.close()


def always(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return answer


def in_turn(*statuses: int) -> Answer:
    left = list(statuses)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0])

    return answer


async def never(_: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


# --- one request, one reply -------------------------------------------------------------------


async def test_a_reply_is_given_whatever_its_status() -> None:
    async with serving(always(404, b"nothing", x_why="gone")) as it:
        reply = await it.host.request(
            "POST",
            "/a/b",
            idempotent=False,
            query=(("k", "a b&c"),),
            headers={"x-token": "t"},
            body=b"{}",
        )
        asked = it.asked[0]

    assert (reply.status, reply.body, reply.header("X-Why")) == (404, b"nothing", "gone")
    assert (asked.method, asked.path, asked.query["k"]) == ("POST", "/a/b", "a b&c")
    assert asked.headers["X-Token"] == "t"


async def test_a_redirect_is_not_followed() -> None:
    async with serving(always(307, Location="http://192.0.2.1/elsewhere")) as it:
        reply = await it.get(idempotent=False)

    assert (reply.status, len(it.asked)) == (307, 1)


async def test_a_cookie_is_not_kept() -> None:
    async with serving(always(200, Set_Cookie="session=1")) as it:
        await it.get()
        await it.get()

    assert "Cookie" not in it.asked[1].headers


# --- what left, and what did not --------------------------------------------------------------


async def test_where_nobody_listens_nothing_left() -> None:
    async with serving(always()) as it:
        pass
    gone = HttpHost(it.host.base_url, ONCE, rng=Random(1))

    with pytest.raises(NotSentError):
        await gone.request("GET", "/", idempotent=False)
    await gone.close()


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:70000", "http://"])
async def test_a_url_that_is_none_is_not_sent_and_not_shown(url: str) -> None:
    host = HttpHost(url, ONCE, rng=Random(1))

    with pytest.raises(NotSentError) as refused:
        await host.request("GET", "/", idempotent=False, query=(("dkey", "hush"),))
    await host.close()

    assert "hush" not in f"{refused.value}{refused.value.__cause__}"


async def test_a_reply_that_does_not_come_in_time_may_have_been_for_something_that_left() -> None:
    began_s = time.monotonic()
    async with serving(never, HostLimits(timeout_ms=100, attempts_max=1)) as it:
        with pytest.raises(NoReplyError, match="in time"):
            await it.get(idempotent=False)

    assert len(it.asked) == 1
    assert time.monotonic() - began_s < 2


async def test_a_deadline_is_for_all_attempts_together() -> None:
    limits = HostLimits(timeout_ms=100, attempts_max=50, failures_max=1_000)
    began_s = time.monotonic()
    async with serving(never, limits) as it:
        with pytest.raises(NoReplyError):
            await it.get(within_ms=500)

    assert time.monotonic() - began_s < 2
    assert 1 <= len(it.asked) < 6


@pytest.mark.parametrize("within_ms", [0, -1])
async def test_without_time_nothing_leaves(within_ms: int) -> None:
    async with serving(always()) as it:
        with pytest.raises(NotSentError):
            await it.get(idempotent=False, within_ms=within_ms)

        assert it.asked == []
        assert it.host.breaker is BreakerState.CLOSED


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 nonsense\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000,
    ],
)
async def test_a_connection_that_breaks_had_a_request_on_it_and_only_one(said: bytes) -> None:
    """Left to itself, aiohttp would send a GET a second time: the button would be pressed twice."""
    async with raw(said) as (host, asked):
        with pytest.raises(NoReplyError) as failed:
            await host.request("GET", "/cc", idempotent=False, query=(("dkey", "hush"),))

    assert len(asked) == 1
    assert "hush" not in str(failed.value)


async def test_an_idempotent_question_is_asked_again_over_a_new_connection() -> None:
    async with raw(b"", HostLimits(timeout_ms=500, attempts_max=3)) as (host, asked):
        with pytest.raises(NoReplyError):
            await host.request("GET", "/jc", idempotent=True)

    assert len(asked) == 3


async def test_a_reply_beyond_all_measure_is_none() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(80):
                await response.write(b"x" * 65_536)
        return response

    async with serving(endless) as it:
        with pytest.raises(NoReplyError, match="more than"):
            await it.get(idempotent=False)


async def test_a_reply_of_many_pieces_is_whole() -> None:
    async def pieces(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(100):
            await response.write(b"%02d" % number * 1_000)
        return response

    async with serving(pieces) as it:
        body = (await it.get()).body

    assert (len(body), body[-2:]) == (200_000, b"99")


async def test_whoever_is_cancelled_frees_the_slot_and_blames_nobody(eventually) -> None:
    async with serving(never, HostLimits(concurrency_max=1, failures_max=1)) as it:
        for number in (1, 2):
            asking = asyncio.create_task(it.get())
            await eventually(lambda number=number: len(it.asked) == number)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        assert it.host.breaker is BreakerState.CLOSED


# --- again ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "asked"), [(429, 3), (502, 3), (503, 3), (504, 3), (500, 1)])
async def test_what_may_pass_is_asked_again_and_a_broken_host_is_not(status, asked) -> None:
    async with serving(always(status), HostLimits(attempts_max=3)) as it:
        assert (await it.get()).status == status

    assert len(it.asked) == asked


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_is_not_idempotent_leaves_once(status: int) -> None:
    async with serving(in_turn(status, 200), HostLimits(attempts_max=3)) as it:
        assert (await it.get(idempotent=False)).status == status

    assert len(it.asked) == 1


async def test_the_second_attempt_may_succeed_with_a_token_of_its_own() -> None:
    tokens = iter("abcd")
    async with serving(in_turn(503, 200), HostLimits(attempts_max=3)) as it:
        reply = await it.get(
            headers=lambda: {"x-token": next(tokens)}, query=lambda: (("q", next(tokens)),)
        )

    assert reply.status == 200
    assert [request.headers["X-Token"] for request in it.asked] == ["a", "c"]
    assert it.asked[0].query["q"] == "b"


async def test_a_host_is_not_asked_before_it_wants_to_be() -> None:
    async with serving(always(429, Retry_After="30"), HostLimits(attempts_max=5)) as it:
        assert (await it.get(within_ms=3_000)).status == 429  # not worth waiting for
        with pytest.raises(NotSentError, match="asked us to wait"):
            await it.get(idempotent=False)

    assert len(it.asked) == 1


async def test_a_short_wait_that_the_host_asks_for_is_kept() -> None:
    async with serving(in_turn(200), HostLimits(attempts_max=2)) as it:
        it.host._hold("1")  # noqa: SLF001 -- as a 429 before this would have it
        began_s = time.monotonic()
        reply = await it.get(within_ms=4_000)

    assert reply.status == 200
    assert time.monotonic() - began_s > 0.9


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wait_ms"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120_000),
        ("999999999999", 3_600_000),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30_000),
        ("Fri, 02 Jan 2026 03:04:35", 30_000),
        ("Fri, 02 Jan 2020 03:04:35 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
    ],
)
def test_a_wait_is_seconds_or_a_date(header, wait_ms) -> None:
    assert retry_after_ms(header, NOW) == wait_ms


# --- the breaker ------------------------------------------------------------------------------


async def test_a_host_that_fails_is_left_alone_then_probed_once_and_back() -> None:
    limits = HostLimits(attempts_max=1, failures_max=3, open_ms=300)
    async with serving(in_turn(500, 500, 500, 500, 200), limits) as it:
        for _ in range(3):
            await it.get()
        with pytest.raises(NotSentError, match="left alone"):
            await it.get()
        assert (it.host.breaker, len(it.asked)) == (BreakerState.OPEN, 3)
        await asyncio.sleep(0.35)
        assert it.host.breaker is BreakerState.HALF_OPEN
        probes = await asyncio.gather(*(it.get() for _ in range(5)), return_exceptions=True)
        assert len(it.asked) == 4
        assert sum(isinstance(each, NotSentError) for each in probes) == 4
        await asyncio.sleep(0.65)
        assert (await it.get()).status == 200
        assert it.host.breaker is BreakerState.CLOSED


async def test_a_question_waits_for_the_breaker_within_its_time() -> None:
    limits = HostLimits(attempts_max=4, failures_max=1, open_ms=200)
    async with serving(in_turn(503, 200), limits) as it:
        assert (await it.get(within_ms=5_000)).status == 200

    assert len(it.asked) == 2


async def test_what_left_once_is_not_said_to_have_stayed() -> None:
    """The last attempt met an open breaker; the first one may have had an effect."""
    limits = HostLimits(timeout_ms=50, attempts_max=2, failures_max=1, open_ms=1)
    async with serving(never, limits) as it:
        it.host._breaker.open_ms = 60_000  # noqa: SLF001 -- longer than anybody waits
        with pytest.raises(NoReplyError):
            await it.get(within_ms=3_000)


# --- how much at once -------------------------------------------------------------------------


async def test_no_more_leave_at_once_than_may_and_the_rest_wait_their_turn() -> None:
    now, most = 0, 0

    async def count(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return web.Response()

    async with serving(count, HostLimits(concurrency_max=3)) as it:
        replies = await asyncio.gather(*(it.get() for _ in range(20)))

    assert (most, len(replies)) == (3, 20)


async def test_whoever_waits_in_vain_or_finds_the_queue_full_did_not_leave(eventually) -> None:
    limits = HostLimits(timeout_ms=1_000, attempts_max=1, concurrency_max=1, queued_max=1)
    async with serving(never, limits) as it:
        holding = asyncio.create_task(it.get())
        await eventually(lambda: it.asked)
        waiting = asyncio.create_task(it.get(within_ms=200))
        await asyncio.sleep(0)
        with pytest.raises(NotSentError, match="too many"):
            await it.get()
        with pytest.raises(NotSentError, match="busy"):
            await waiting
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)

    assert len(it.asked) == 1


def test_a_rate_lets_a_burst_through_and_then_one_at_a_time() -> None:
    class Network:
        def __init__(self) -> None:
            self.at_s: list[float] = []

        async def http_send(self, *_: object) -> HttpReply:
            self.at_s.append(asyncio.get_running_loop().time())
            return HttpReply()

    network = Network()

    async def story() -> None:
        limits = HostLimits(rate_per_s=2, burst=3, concurrency_max=20)
        host = HttpHost("http://h", limits, rng=Random(1), network=network)
        await asyncio.gather(
            *(host.request("GET", "/", idempotent=True, within_ms=60_000) for _ in range(7))
        )
        with pytest.raises(NotSentError, match="rate limit"):
            await host.request("GET", "/", idempotent=False, within_ms=400)
        await asyncio.sleep(100)
        for _ in range(3):
            await host.request("GET", "/", idempotent=False, within_ms=1)

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(story())

    assert network.at_s[:7] == [0, 0, 0, 0.5, 1.0, 1.5, 2.0]
    assert len(set(network.at_s[-3:])) == 1


def test_headers_and_query_are_made_when_a_request_leaves_not_when_it_queues() -> None:
    class Network:
        def __init__(self) -> None:
            self.said: list[tuple[str, str, float]] = []

        async def http_send(self, _: str, url: str, headers: Any, __: bytes) -> HttpReply:
            now_s = asyncio.get_running_loop().time()
            self.said.append((url, headers["t"], now_s))
            await asyncio.sleep(1)
            return HttpReply()

    network = Network()

    async def story() -> None:
        limits = HostLimits(rate_per_s=2, burst=1, concurrency_max=1)
        host = HttpHost("http://h", limits, rng=Random(1), network=network)

        def now() -> str:
            return f"{asyncio.get_running_loop().time():g}"

        def one() -> Awaitable[HttpReply]:
            query, headers = (lambda: (("at", now()),)), (lambda: {"t": now()})
            return host.request(
                "GET", "/", idempotent=True, query=query, headers=headers, within_ms=60_000
            )

        await asyncio.gather(one(), one(), one())

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(story())

    assert network.said == [(f"http://h/?at={s}", f"{s}", s) for s in (0, 1, 2)]


async def test_it_says_how_its_host_fares() -> None:
    async with serving(always(500)) as it:
        for _ in range(7):
            with contextlib.suppress(NotSentError):
                await it.get(idempotent=False)
        standing = it.host.standing

    host = it.host.base_url.removeprefix("http://")
    assert standing == (host, "open", 1, 5, 2)


async def test_a_reply_in_memory_is_held_to_the_same_limit_as_one_on_a_socket() -> None:
    class Network:
        async def http_send(self, *_: object) -> HttpReply:
            return HttpReply(200, bytes(5_000_000))

    host = HttpHost("http://h", ONCE, rng=Random(1), network=Network())

    with pytest.raises(NoReplyError, match="4194304 bytes"):
        await host.request("GET", "/", idempotent=True)
    assert host.standing.asked == 1


# --- TLS --------------------------------------------------------------------------------------


def certificate(ca: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("trusted", "name", "reply"),
    [(True, "127.0.0.1", 200), (False, "127.0.0.1", None), (True, "elsewhere.example", None)],
)
async def test_a_certificate_must_be_its_authoritys_and_the_hosts_own(
    tmp_path: Path, trusted: bool, name: str, reply: int | None
) -> None:
    ca, other, file = trustme.CA(), trustme.CA(), tmp_path / "ca.pem"
    (ca if trusted else other).cert_pem.write_to_path(str(file))

    async with serving(always(), context=certificate(ca, name), ca_file=file) as it:
        if reply is None:
            with pytest.raises(NotSentError, match=r"(?i)certificate"):
                await it.get(idempotent=False)
        else:
            assert (await it.get()).status == reply

    assert len(it.asked) == (1 if reply else 0)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_authority_that_cannot_be_read_is_said_and_nothing_leaves(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    host = HttpHost("https://127.0.0.1:1", ONCE, rng=Random(1), ca_file=file)

    with pytest.raises(NotSentError, match="ca_file"):
        await host.request("GET", "/", idempotent=True)


# --- a token for everybody --------------------------------------------------------------------


async def test_a_token_is_fetched_once_for_all_and_anew_when_refused() -> None:
    fetched: list[str] = []

    async def fetch() -> str:
        await asyncio.sleep(0.01)
        fetched.append(f"token-{len(fetched)}")
        return fetched[-1]

    token = Token(fetch)
    first = await asyncio.gather(*(token.value() for _ in range(10)))
    again = await asyncio.gather(*(token.value("token-0") for _ in range(10)))

    assert set(first) == {"token-0"}
    assert set(again) == {"token-1"}
    assert len(fetched) == 2


async def test_a_token_that_cannot_be_had_is_asked_for_by_the_next_one() -> None:
    answers = [NoReplyError("silence"), "token"]

    async def fetch() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    token = Token(fetch)
    with pytest.raises(NoReplyError):
        await token.value()

    assert await token.value() == "token"
