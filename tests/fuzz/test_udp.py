"""However requests, losses, repeats, delays and cancellations fall: nobody gets another's reply."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from fleet_sim.clock import SimLoop
from vendors.wire.errors import NoReplyError, NotSentError
from vendors.wire.udp import Address, Requester

TIMEOUT_MS = 100
ATTEMPTS_MAX = 3
OUTSTANDING_MAX = 2
QUEUED_MAX = 5
WHERE: Address = ("10.0.0.1", 60_000)
ENDS = (NoReplyError, NotSentError, asyncio.CancelledError)


@dataclass(frozen=True)
class Ask:
    """One request: when, to whom, and when its caller loses patience."""

    at_ms: int
    device: int
    idempotent: bool
    cancel_after_ms: int | None


ASKS = st.lists(
    st.builds(
        Ask,
        at_ms=st.integers(0, 300),
        device=st.integers(0, 2),
        idempotent=st.booleans(),
        cancel_after_ms=st.none() | st.integers(0, 300),
    ),
    min_size=1,
    max_size=8,
)
# For each datagram that leaves: the delays of its replies (none: lost; two: repeated), or that it
# could not leave. A reply older than two timeouts is more than is promised.
FATES = st.lists(
    st.none() | st.lists(st.integers(0, 2 * TIMEOUT_MS - 1), max_size=2), min_size=1, max_size=12
)


@dataclass
class Net:
    """Carries out the fates, in turn and again from the start."""

    fates: list[list[int] | None]
    sent: list[int] = field(default_factory=list)
    turns: int = 0

    def send(self, data: bytes, _address: Address) -> bool:
        fate = self.fates[self.turns % len(self.fates)]
        self.turns += 1
        if fate is None:
            return False
        number, _, asks_again = data
        self.sent.append(number)
        # A repeated reply without a number in it cannot be told from the next one by anybody.
        for delay_ms in fate if asks_again else fate[:1]:
            # A fraction, so that a reply and a timeout never fall on the same instant.
            later_s = (delay_ms + 0.5) / 1000
            asyncio.get_running_loop().call_later(later_s, self.asks.offer, data, WHERE)
        return True

    def __post_init__(self) -> None:
        self.asks = Requester(
            self.send,
            lambda data, _address: tuple(data[1:]),
            timeout_ms=TIMEOUT_MS,
            attempts_max=ATTEMPTS_MAX,
            outstanding_max=OUTSTANDING_MAX,
            queued_max=QUEUED_MAX,
        )


async def one(net: Net, number: int, ask: Ask) -> bytes | BaseException:
    await asyncio.sleep(ask.at_ms / 1000)
    request = asyncio.create_task(
        net.asks.request(
            bytes((number, ask.device, ask.idempotent)),
            WHERE,
            device=ask.device,
            key=(ask.device, ask.idempotent),
            idempotent=ask.idempotent,
        )
    )
    if ask.cancel_after_ms is not None:
        asyncio.get_running_loop().call_later(ask.cancel_after_ms / 1000, request.cancel)
    (end,) = await asyncio.gather(request, return_exceptions=True)
    return end


async def play(net: Net, asks: list[Ask]) -> list[bytes | BaseException]:
    ends = await asyncio.gather(*(one(net, number, ask) for number, ask in enumerate(asks)))
    await asyncio.sleep(1)  # the turns that are kept for late replies end, too
    return ends


@given(ASKS, FATES)
def test_each_request_ends_once_with_its_own_reply_or_none(asks, fates):
    net = Net(fates)
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        ends = runner.run(play(net, asks))

    leaving = Counter(net.sent)
    for number, (ask, end) in enumerate(zip(asks, ends, strict=True)):
        assert leaving[number] <= (ATTEMPTS_MAX if ask.idempotent else 1)
        if isinstance(end, bytes):
            answered = end[0]
            assert asks[answered].device == ask.device
            # What may be asked twice may be answered by the answer to the same question before.
            assert answered == number or (ask.idempotent and asks[answered].idempotent)
        else:
            assert isinstance(end, ENDS)
            assert not (isinstance(end, NotSentError) and leaving[number])
            assert not (isinstance(end, NoReplyError) and not leaving[number])
    assert net.asks._queued == 0  # noqa: SLF001 -- what is not given back is lost for good
    assert net.asks._slots == net.asks._open == {}  # noqa: SLF001 -- likewise
