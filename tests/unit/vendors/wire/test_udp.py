"""Datagrams and their replies, over real sockets on loopback."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

import pytest

from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.udp import (
    DATAGRAM_MAX_BYTES,
    Address,
    PortTakenError,
    Requester,
    UdpEndpoint,
    port_owner,
)

LOOPBACK: Final = "127.0.0.1"
# Longer than any pause of a busy machine, for what must not time out.
PATIENT_MS: Final = 10_000
# What must time out does so for certain, so it may be short.
HASTY_MS: Final = 30

Eventually = Callable[..., Awaitable[None]]


@dataclass(slots=True)
class Ear:
    """A bound endpoint, and what it heard."""

    endpoint: UdpEndpoint = field(init=False)
    heard: list[tuple[bytes, Address]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.endpoint = UdpEndpoint(lambda data, address: self.heard.append((data, address)))


@contextlib.asynccontextmanager
async def ears(count: int) -> AsyncIterator[list[Ear]]:
    all_of_them = [Ear() for _ in range(count)]
    for ear in all_of_them:
        await ear.endpoint.open(LOOPBACK, 0)
    try:
        yield all_of_them
    finally:
        for ear in all_of_them:
            await ear.endpoint.close()


class Device(asyncio.DatagramProtocol):
    """Answers with what `answer` says: each of these datagrams, to whoever asked."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self.asked: list[bytes] = []
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.asked.append(data)
        for each in self.answer(data):
            self.transport.sendto(each, addr)

    @property
    def address(self) -> Address:
        return self.transport.get_extra_info("sockname")


@contextlib.asynccontextmanager
async def device(answer: Callable[[bytes], list[bytes]]) -> AsyncIterator[Device]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Device(answer), local_addr=(LOOPBACK, 0)
    )
    try:
        yield protocol
    finally:
        transport.close()


def name_in(data: bytes, _address: Address) -> Hashable | None:
    """Requests here read `?name`, replies `!name:text`."""
    return data[1:].partition(b":")[0] if data[:1] == b"!" else None


def wired(**limits: int) -> tuple[UdpEndpoint, Requester]:
    def hear(data: bytes, address: Address) -> None:
        asks.offer(data, address)

    endpoint = UdpEndpoint(hear)
    asks = Requester(endpoint.send, name_in, **limits)
    return endpoint, asks


@contextlib.asynccontextmanager
async def requester(**limits: int) -> AsyncIterator[Requester]:
    endpoint, asks = wired(**limits)
    await endpoint.open(LOOPBACK, 0)
    try:
        yield asks
    finally:
        await endpoint.close()


def ask(
    asks: Requester, name: bytes, where: Address, *, idempotent: bool = True
) -> Awaitable[bytes]:
    return asks.request(b"?" + name, where, device=name, key=name, idempotent=idempotent)


def echo(data: bytes) -> list[bytes]:
    return [b"!" + data[1:] + b":hello"]


def silence(_data: bytes) -> list[bytes]:
    return []


def unused_address() -> Address:
    """Nobody is bound there: the system answers with an ICMP error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()


# --- the endpoint -----------------------------------------------------------------------------


async def test_a_datagram_arrives_whole_with_its_senders_address(eventually: Eventually) -> None:
    async with ears(2) as (one, other):
        assert one.endpoint.send(b"\x17\x94", other.endpoint.address)
        await eventually(lambda: other.heard)

        assert other.heard == [(b"\x17\x94", one.endpoint.address)]


async def test_what_is_too_long_neither_leaves_nor_arrives(eventually: Eventually) -> None:
    async with ears(2) as (one, other):
        there = other.endpoint.address
        long = bytes(DATAGRAM_MAX_BYTES + 1)

        assert not one.endpoint.send(long, there)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(long, there)
            stranger.sendto(bytes(60_000), there)
            stranger.sendto(long[:-1], there)
        await eventually(lambda: other.heard)

        assert [len(data) for data, _ in other.heard] == [DATAGRAM_MAX_BYTES]
        assert one.endpoint.oversized == 1
        assert other.endpoint.oversized == 2


async def test_a_port_that_nobody_has_harms_nothing(eventually: Eventually) -> None:
    async with ears(2) as (one, other):
        for _ in range(20):
            one.endpoint.send(b"anybody?", unused_address())
        one.endpoint.send(b"still here", other.endpoint.address)
        await eventually(lambda: other.heard)

        assert [data for data, _ in other.heard] == [b"still here"]


async def test_what_the_system_refuses_to_send_is_said_and_counted(eventually: Eventually) -> None:
    async with ears(2) as (one, other):
        # This socket was not opened for broadcasts.
        assert not one.endpoint.send(b"to all", ("255.255.255.255", 60_000))
        assert one.endpoint.errors == 1
        assert one.endpoint.send(b"to one", other.endpoint.address)
        await eventually(lambda: other.heard)


async def test_a_broadcast_leaves_where_it_is_allowed() -> None:
    endpoint = UdpEndpoint(lambda *_: None)
    await endpoint.open(LOOPBACK, 0, broadcast=True)

    # Loopback's own broadcast address: it goes nowhere else.
    assert endpoint.send(b"to all", ("127.255.255.255", unused_address()[1]))
    await endpoint.close()


async def test_a_listener_that_fails_is_reported_and_hears_the_next_one(
    eventually: Eventually,
) -> None:
    reported: list[BaseException] = []
    heard: list[bytes] = []

    def fail_once(data: bytes, _address: Address) -> None:
        heard.append(data)
        if len(heard) == 1:
            raise ValueError("a bug")

    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: reported.append(context["exception"])
    )
    endpoint = UdpEndpoint(fail_once)
    await endpoint.open(LOOPBACK, 0)
    endpoint.send(b"1", endpoint.address)
    endpoint.send(b"2", endpoint.address)
    await eventually(lambda: len(heard) == 2)
    await endpoint.close()

    assert [str(each) for each in reported] == ["a bug"]


async def test_a_closed_endpoint_sends_nothing_and_its_port_is_free_again() -> None:
    first, second = UdpEndpoint(lambda *_: None), UdpEndpoint(lambda *_: None)
    await first.open(LOOPBACK, 0)
    host, port = first.address

    await first.close()
    await first.close()
    await second.open(host, port)

    assert not first.send(b"x", second.address)
    assert second.address == (host, port)
    await second.close()


async def test_an_endpoint_that_was_never_opened_closes_and_sends_nothing() -> None:
    endpoint = UdpEndpoint(lambda *_: None)

    assert not endpoint.send(b"x", (LOOPBACK, 1))
    await endpoint.close()


async def test_a_taken_port_is_named_with_its_owner() -> None:
    async with ears(1) as (first,):
        port = first.endpoint.address[1]
        second = UdpEndpoint(lambda *_: None)

        with pytest.raises(PortTakenError, match=f"UDP port {port} on {LOOPBACK} is taken") as told:
            await second.open(LOOPBACK, port)

        assert (f"(pid {os.getpid()})" in str(told.value)) == sys.platform.startswith("linux")
        assert not second.send(b"x", first.endpoint.address)


async def test_an_address_that_is_not_ours_is_no_taken_port() -> None:
    with pytest.raises(OSError, match="address") as told:
        # Source: RFC 5737: an address for documentation, which no machine has.
        await UdpEndpoint(lambda *_: None).open("192.0.2.1", 0)

    assert not isinstance(told.value, PortTakenError)


def test_a_port_that_nobody_has_has_no_owner() -> None:
    assert port_owner(unused_address()[1]) is None


async def test_another_opener_takes_the_sockets_place() -> None:
    class Loopback:
        def __init__(self, protocol: asyncio.DatagramProtocol, local: Address) -> None:
            self.protocol, self.local = protocol, local
            protocol.connection_made(self)

        def sendto(self, data: bytes, addr: Address) -> None:
            self.protocol.datagram_received(data, addr)

        def close(self) -> None:
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

        def get_extra_info(self, _name: str, _default: object = None) -> Address:
            return self.local

    async def opener(factory, local: Address, broadcast: bool):
        assert broadcast
        protocol = factory()
        return Loopback(protocol, local), protocol

    heard: list[tuple[bytes, Address]] = []
    endpoint = UdpEndpoint(lambda *got: heard.append(got), opener=opener)
    await endpoint.open("10.0.0.1", 60_000, broadcast=True)

    assert endpoint.address == ("10.0.0.1", 60_000)
    assert endpoint.send(b"x", ("10.0.0.2", 1))
    assert heard == [(b"x", ("10.0.0.2", 1))]
    await endpoint.close()
    assert not endpoint.send(b"x", ("10.0.0.2", 1))


# --- request and reply ------------------------------------------------------------------------


async def test_each_request_gets_its_own_reply_however_they_come_back() -> None:
    waiting: list[bytes] = []

    def last_first(data: bytes) -> list[bytes]:
        waiting.append(data)
        if len(waiting) < 20:
            return []
        return [b"!" + each[1:] + b":" + each[1:] for each in reversed(waiting)]

    names = [str(number).encode() for number in range(20)]
    async with requester(timeout_ms=PATIENT_MS) as asks, device(last_first) as there:
        replies = await asyncio.gather(*(ask(asks, name, there.address) for name in names))

        assert replies == [b"!" + name + b":" + name for name in names]
        assert (asks.late, asks.foreign) == (0, 0)


async def test_what_strangers_send_answers_nothing(eventually: Eventually) -> None:
    noise = [b"noise", b"?door", b"!window:open", bytes(1_000)]

    def with_noise(data: bytes) -> list[bytes]:
        return [*noise, *echo(data), *echo(data)]

    async with requester(timeout_ms=PATIENT_MS) as asks, device(with_noise) as there:
        assert await ask(asks, b"door", there.address) == b"!door:hello"
        # The window's, which nobody asked for, and the repeat.
        await eventually(lambda: asks.late == 2)

        assert asks.foreign == 3


async def test_a_harmless_request_is_sent_again_until_it_is_answered() -> None:
    asked: list[bytes] = []

    def third_time(data: bytes) -> list[bytes]:
        asked.append(data)
        return echo(data) if len(asked) >= 3 else []

    async with (
        requester(timeout_ms=HASTY_MS, attempts_max=50) as asks,
        device(third_time) as there,
    ):
        assert await ask(asks, b"door", there.address) == b"!door:hello"

    assert set(asked) == {b"?door"}


async def test_nobody_answers_and_it_is_said_after_the_last_attempt() -> None:
    async with requester(timeout_ms=HASTY_MS, attempts_max=3) as asks, device(silence) as there:
        with pytest.raises(NoReplyError, match=f"no reply from {LOOPBACK}:{there.address[1]}"):
            await ask(asks, b"door", there.address)

        assert there.asked == [b"?door"] * 3


async def test_nobody_is_there_and_it_is_a_timeout_like_any_other() -> None:
    async with requester(timeout_ms=HASTY_MS, attempts_max=2) as asks:
        with pytest.raises(NoReplyError):
            await ask(asks, b"door", unused_address())


async def test_a_request_that_may_not_be_repeated_leaves_once() -> None:
    async with requester(timeout_ms=HASTY_MS, attempts_max=3) as asks, device(silence) as there:
        with pytest.raises(NoReplyError):
            await ask(asks, b"door", there.address, idempotent=False)

        assert there.asked == [b"?door"]


async def test_the_late_reply_of_what_may_not_be_repeated_does_not_pass_for_the_next_one() -> None:
    asked: list[bytes] = []

    def slow_at_first(data: bytes) -> list[bytes]:
        asked.append(data)
        if len(asked) > 1:
            return [b"!door:second"]
        asyncio.get_running_loop().call_later(
            1.5 * HASTY_MS / 1000, there.transport.sendto, b"!door:first", here
        )
        return []

    endpoint, asks = wired(timeout_ms=HASTY_MS)
    await endpoint.open(LOOPBACK, 0)
    here = endpoint.address
    async with device(slow_at_first) as there:
        with pytest.raises(NoReplyError):
            await ask(asks, b"door", there.address, idempotent=False)
        with contextlib.suppress(NoReplyError):  # the machine may be slower than the device
            assert await ask(asks, b"door", there.address) == b"!door:second"
    await endpoint.close()


async def test_one_device_is_asked_one_thing_at_a_time_and_others_do_not_wait_for_it() -> None:
    release = asyncio.Event()
    at_once: list[int] = []
    open_now = 0

    async def answer(data: bytes, transport: asyncio.DatagramTransport, where: Address) -> None:
        nonlocal open_now
        open_now += 1
        at_once.append(open_now)
        await release.wait()
        open_now -= 1
        transport.sendto(echo(data)[0], where)

    tasks: set[asyncio.Task[None]] = set()

    def begin(data: bytes) -> list[bytes]:
        if data == b"?quick":
            return echo(data)
        tasks.add(asyncio.create_task(answer(data, slow.transport, here)))
        return []

    endpoint, asks = wired(timeout_ms=PATIENT_MS)
    await endpoint.open(LOOPBACK, 0)
    here = endpoint.address
    async with device(begin) as slow:
        three = [asyncio.ensure_future(ask(asks, b"slow", slow.address)) for _ in range(3)]
        assert await ask(asks, b"quick", slow.address) == b"!quick:hello"
        release.set()
        await asyncio.gather(*three)
    await endpoint.close()

    assert at_once == [1, 1, 1]


async def test_no_more_are_on_the_wire_than_may_be(eventually: Eventually) -> None:
    async with (
        requester(timeout_ms=PATIENT_MS, outstanding_max=2) as asks,
        device(silence) as there,
    ):
        five = [
            asyncio.ensure_future(ask(asks, name, there.address))
            for name in (b"a", b"b", b"c", b"d", b"e")
        ]
        await eventually(lambda: len(there.asked) == 2)
        for name in (b"!a", b"!b", b"!c"):
            asks.offer(name, there.address)
        await eventually(lambda: len(there.asked) == 4)

        # c was not out yet when its answer came: it is still open.
        assert [task.done() for task in five] == [True, True, False, False, False]
        assert asks.late == 1
        for task in five:
            task.cancel()
        await asyncio.gather(*five, return_exceptions=True)


async def test_beyond_the_queue_a_request_is_refused_before_anything_is_sent(
    eventually: Eventually,
) -> None:
    async with requester(timeout_ms=PATIENT_MS, queued_max=2) as asks, device(silence) as there:
        two = [asyncio.ensure_future(ask(asks, b"door", there.address)) for _ in range(2)]
        await eventually(lambda: there.asked)

        with pytest.raises(NotSentError, match="2 requests are open already"):
            await ask(asks, b"door", there.address)
        with pytest.raises(NotSentError):
            await ask(asks, b"other", there.address)

        for task in two:
            task.cancel()
        await asyncio.gather(*two, return_exceptions=True)
        asks.late = 0
        there.answer = echo
        assert await ask(asks, b"door", there.address) == b"!door:hello"


async def test_what_the_system_refuses_was_not_sent_and_is_not_tried_again() -> None:
    async with requester(timeout_ms=PATIENT_MS) as asks:
        with pytest.raises(NotSentError, match=r"255\.255\.255\.255:60000"):
            await ask(asks, b"door", ("255.255.255.255", 60_000), idempotent=False)


async def test_a_closed_socket_refuses_at_once() -> None:
    endpoint = UdpEndpoint(lambda *_: None)
    await endpoint.open(LOOPBACK, 0)
    await endpoint.close()
    asks = Requester(endpoint.send, name_in, timeout_ms=PATIENT_MS)

    with pytest.raises(NotSentError):
        await ask(asks, b"door", (LOOPBACK, 60_000))


@pytest.mark.parametrize("idempotent", [True, False])
async def test_after_any_end_of_a_request_the_device_can_be_asked_again(
    idempotent: bool, eventually: Eventually
) -> None:
    async with requester(timeout_ms=HASTY_MS, attempts_max=1) as asks, device(silence) as there:
        waiting = [
            asyncio.ensure_future(ask(asks, b"door", there.address, idempotent=idempotent))
            for _ in range(4)
        ]
        await eventually(lambda: there.asked)
        waiting[0].cancel()  # on the wire
        waiting[1].cancel()  # in the queue
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        there.answer = echo

        assert [type(end) for end in ends] == [asyncio.CancelledError] * 2 + [NoReplyError] * 2
        assert await ask(asks, b"other", there.address) == b"!other:hello"

        async def answered() -> bool:
            with contextlib.suppress(NoReplyError):
                return await ask(asks, b"door", there.address) == b"!door:hello"
            return False

        await eventually(answered)
        assert asks._queued == 0  # noqa: SLF001 -- what is not given back is lost for good
        assert asks._slots == {}  # noqa: SLF001 -- likewise
