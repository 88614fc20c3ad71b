"""The adapter in simulated time, and a simulated panel behind a network that a test can bend."""

import asyncio
import errno
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from devices.command import Command
from devices.errors import RefusedError, RejectedError, UnavailableError
from fleet_sim.clock import SimLoop
from vendors.api import Frame
from vendors.sim import Addresses, Effects, FleetSpec, Reply
from vendors.uhppote import VENDOR, packets, simulator

EPOCH_MS = 1_767_571_200_000
PANELS_AT = ("192.0.2.1", 60_000)
SERIAL = 405_000_001
DEVICE = str(SERIAL)


class Wire:
    """One bound end of ours."""

    def __init__(self, site: "Site", protocol: asyncio.DatagramProtocol, port: int) -> None:
        self.protocol = protocol
        self._site = site
        self._address = ("192.0.2.2", port)

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        assert addr == PANELS_AT
        self._site.loop.call_soon(self._site.asked, bytes(data), self)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._address if name == "sockname" else default

    def close(self) -> None:
        self._site.loop.call_soon(self.protocol.connection_lost, None)


class Site:
    """A cell's port, a network, and one panel."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **settings: Any) -> None:
        self.loop = loop
        self.rng = Random(1)
        self.network = self
        spec = FleetSpec(1, "uhppote", EPOCH_MS, {})
        (self.panel,) = simulator.fleet(spec, lambda _: Random(2))
        given = {
            **simulator.gateway_settings(spec, Addresses(datagrams="192.0.2.1:60000")),
            **settings,
        }
        self.settings = VENDOR.settings.model_validate(given)
        self.frames: list[Frame] = []
        self.requests: list[bytes] = []
        self.links: list[tuple[bool, str]] = []
        self.cursors: dict[str, int] = {}
        self.waiting: list[Callable[[], None]] = []
        self.commits = True
        #: What becomes of each reply: itself, or others, or none.
        self.bend: Callable[[bytes], list[bytes]] = lambda reply: [reply]
        self.deaf: set[int] = set()
        self.taken = 0
        self._wires: list[Wire] = []
        self.adapter = VENDOR.connect(self.settings, self)

    # --- port ---

    def now_ms(self) -> int:
        return EPOCH_MS + round(self.loop.time() * 1000)

    def offer(self, frames: Any, committed: Callable[[], None] | None) -> None:
        self.frames += frames
        if committed is None:
            return
        if not self.commits:
            self.waiting.append(committed)
            return
        for frame in frames:
            self.cursors[frame.cursor[0]] = frame.cursor[1]
        committed()

    def cursor(self, name: str) -> int | None:
        return self.cursors.get(name)

    def link(self, *, up: bool, reason: str) -> None:
        if not self.links or self.links[-1] != (up, reason):
            self.links.append((up, reason))

    def twin(self, _: str) -> None:
        return None

    # --- network ---

    async def udp_opener(self, factory: Any, address: Any, _: bool) -> Any:
        if self.taken:
            self.taken -= 1
            raise OSError(errno.EADDRINUSE, "taken")
        protocol = factory()
        wire = Wire(self, protocol, address[1] or 50_000 + len(self._wires))
        self._wires.append(wire)
        protocol.connection_made(wire)
        return wire, protocol

    def asked(self, data: bytes, wire: Wire) -> None:
        self.requests.append(data)
        if data[1] in self.deaf:
            return
        self.carry(self.panel.receive(data, self.now_ms()), wire)

    def carry(self, effects: Effects, asker: Wire | None = None) -> None:
        for message in effects.messages:
            if not isinstance(message, Reply):
                self.push(message.payload)
            elif asker is not None:
                for each in self.bend(message.payload):
                    self.loop.call_soon(asker.protocol.datagram_received, each, PANELS_AT)

    def push(self, data: bytes, source: tuple[str, int] = PANELS_AT) -> None:
        """To the listener, which is bound second."""
        self._wires[-1].protocol.datagram_received(data, source)

    def act(self, what: str) -> None:
        self.carry(self.panel.act(what, self.now_ms()))

    # --- what a test asks ---

    def asked_for(self, function: int) -> list[bytes]:
        return [data for data in self.requests if data[1] == function]

    def read(self) -> list[str]:
        """The ring's frames: index of a record, or what else was said of the ring."""
        said = []
        for frame in self.frames:
            if frame.source.endswith(("/live", "/buffered")):
                said.append(str(packets.U32.unpack_from(frame.payload, 8)[0]))
            elif frame.source.count("/") > 2:
                said.append(frame.source.removeprefix(f"udp/{DEVICE}/"))
        return said

    async def send(self, name: str, part: str = "door.2", within_ms: int = 10_000) -> None:
        await self.adapter.send(Command("c", DEVICE, name, self.now_ms() + within_ms, part))


def play(script: Callable[[Site], Coroutine[Any, Any, None]], **settings: Any) -> Site:
    """Run the adapter beside the script; the script sees it two seconds after its start."""

    async def run() -> Site:
        site = Site(asyncio.get_running_loop(), **settings)
        running = asyncio.create_task(site.adapter.run())
        await asyncio.sleep(2)
        await script(site)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return site

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        return runner.run(run())


def status(**values: Any) -> bytes:
    return packets.pack(packets.STATUS, SERIAL, packets.REPLIES[packets.STATUS], values)


# --- getting in touch -------------------------------------------------------------------------


def test_a_panel_is_told_what_to_record_and_where_to_push():
    async def script(site: Site) -> None:
        assert site.panel.memory.special_events
        assert site.panel.memory.listener["host"] == "192.0.2.1"
        assert site.panel.memory.listener["port"] >= 50_000

    play(script)


def test_without_a_listener_and_without_leave_a_panel_is_left_as_it_is():
    async def script(site: Site) -> None:
        await asyncio.sleep(30)
        assert site.asked_for(packets.STATUS)
        assert not site.asked_for(packets.SET_LISTENER) + site.asked_for(packets.SPECIAL_EVENTS)

    play(script, listener=None, record_special_events=False)


def test_a_taken_port_is_said_and_waited_for():
    async def run() -> Site:
        site = Site(asyncio.get_running_loop())
        site.taken = 3
        running = asyncio.create_task(site.adapter.run())
        await asyncio.sleep(60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return site

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        site = runner.run(run())

    assert not site.links[0][0]
    assert "UDP port" in site.links[0][1]
    assert site.links[-1] == (True, "")


def test_silence_is_told_as_offline_and_its_end_by_a_status():
    async def script(site: Site) -> None:
        site.deaf = set(packets.REQUESTS)
        await asyncio.sleep(20)
        assert site.links[-1] == (False, f"no panel answers ({DEVICE})")
        assert site.frames[-1] == Frame(f"udp/{DEVICE}/silent", b"", site.frames[-1].received_at_ms)
        asked = len(site.requests)
        await asyncio.sleep(60)
        assert len(site.requests) - asked < 60, "a silent panel is asked less and less"
        site.deaf = set()
        await asyncio.sleep(15)
        assert site.links[-1] == (True, "")
        assert site.frames[-1].payload

    play(script)


def test_a_lost_reply_is_asked_for_again_and_nobody_is_offline():
    async def script(site: Site) -> None:
        dice = Random(3)
        site.bend = lambda reply: [reply] if dice.random() > 0.2 else []
        for _ in range(10):
            site.act("stranger")
            await asyncio.sleep(5)
        assert site.read() == [str(index) for index in range(1, 11)]

    site = play(script)
    assert not [frame for frame in site.frames if frame.source.endswith("/silent")]


# --- the ring ---------------------------------------------------------------------------------


def test_a_push_is_read_at_once_and_the_push_itself_is_not_believed():
    async def script(site: Site) -> None:
        await asyncio.sleep(0.5)
        site.act("stranger")
        await asyncio.sleep(0.05)
        assert site.read() == ["1"]
        (record,) = [frame for frame in site.frames if frame.source.endswith("/live")]
        assert record.payload[1] == packets.EVENT
        assert record.cursor == (f"ring/{DEVICE}", 1)

    play(script, poll_ms=60_000)


def test_a_push_during_the_first_contact_is_not_forgotten():
    async def run() -> Site:
        site = Site(asyncio.get_running_loop(), poll_ms=60_000)

        def bend(reply: bytes) -> list[bytes]:
            if reply[1] == packets.SET_LISTENER:
                site.act("stranger")
            return [reply]

        site.bend = bend
        running = asyncio.create_task(site.adapter.run())
        await asyncio.sleep(2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return site

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(run()).read() == ["1"]


def test_without_a_push_the_next_poll_finds_the_record():
    async def script(site: Site) -> None:
        site.act("fault:pushes_lost")
        site.act("stranger")
        site.act("stranger")
        await asyncio.sleep(2)
        assert site.read() == ["1", "2"]

    play(script)


def test_a_repeated_a_forged_and_a_foreign_push_cost_one_look_and_no_record():
    async def script(site: Site) -> None:
        site.act("stranger")
        await asyncio.sleep(1)
        asked = len(site.requests)
        for index in (1, 1, 0):
            site.push(status(index=index))
        site.push(status(index=2)[:-1])
        site.push(status(index=2), ("192.0.2.66", 60_000))
        site.push(packets.pack(packets.STATUS, 77, packets.REPLIES[packets.STATUS], {"index": 2}))
        site.push(b"\x17\x40" + status(index=2)[2:])
        await asyncio.sleep(0.1)
        assert len(site.requests) == asked
        assert site.adapter.foreign == 4
        for _ in range(100):
            site.push(status(index=0xFFFF_FFFE))
            await asyncio.sleep(0.01)
        assert len(site.requests) - asked <= 3
        site.act("stranger")
        await asyncio.sleep(61)
        assert site.read() == ["1", "2"]

    play(script, poll_ms=60_000)


def test_old_records_are_marked_so_by_the_panels_own_clock():
    async def script(site: Site) -> None:
        site.deaf = set(packets.REQUESTS)
        site.act("stranger")
        await asyncio.sleep(60)
        site.act("stranger")
        site.deaf = set()
        await asyncio.sleep(12)
        ways = [frame.source.rpartition("/")[2] for frame in site.frames if frame.cursor]
        assert ways[1:] == ["buffered", "live"]

    def wrong_clock(site: Site) -> Coroutine[Any, Any, None]:
        site.act("fault:clock_wrong")
        return script(site)

    play(script, retry_max_ms=1_000)
    play(wrong_clock, retry_max_ms=1_000)


def test_it_goes_on_where_it_had_committed_and_not_where_it_had_read():
    async def script(site: Site) -> None:
        site.act("stranger")
        await asyncio.sleep(2)
        site.commits = False
        site.act("stranger")
        await asyncio.sleep(2)
        assert site.read() == ["1", "2"]
        site.commits = True
        again = VENDOR.connect(site.settings, site)
        running = asyncio.create_task(again.run())
        await asyncio.sleep(3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert site.read() == ["1", "2", "2"]

    play(script)


def test_what_waits_for_the_disk_is_bounded_and_stays_in_the_panels_memory():
    async def script(site: Site) -> None:
        site.commits = False
        for _ in range(100):
            site.act("stranger")
        await asyncio.sleep(30)
        assert len(site.read()) == 64
        site.commits = True
        for committed in site.waiting:
            committed()
        await asyncio.sleep(30)
        assert site.read() == [str(index) for index in range(1, 101)]

    play(script)


def test_a_panel_that_was_never_met_is_read_as_far_back_as_told():
    async def run() -> Site:
        site = Site(asyncio.get_running_loop(), history_max=3)
        for _ in range(10):
            site.panel.act("stranger", site.now_ms())
        running = asyncio.create_task(site.adapter.run())
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return site

    with asyncio.Runner(loop_factory=SimLoop) as runner:
        assert runner.run(run()).read() == ["8", "9", "10"]


def test_a_late_status_of_another_time_starts_no_new_ring():
    async def script(site: Site) -> None:
        for _ in range(5):
            site.act("stranger")
        await asyncio.sleep(2)
        old = status(index=2)
        site.bend = lambda reply: [old] if reply[1] == packets.STATUS else [reply]
        await asyncio.sleep(5)
        site.bend = lambda reply: [reply]
        site.act("stranger")
        await asyncio.sleep(2)
        assert site.read() == ["1", "2", "3", "4", "5", "6"]

    play(script)


def test_a_hole_in_the_ring_is_asked_for_thrice_and_then_owned_up_to():
    async def script(site: Site) -> None:
        site.act("stranger")
        await asyncio.sleep(2)
        empty = packets.pack(packets.EVENT, SERIAL, packets.REPLIES[packets.EVENT], {})

        def bend(reply: bytes) -> list[bytes]:
            hole = reply[1] == packets.EVENT and packets.U32.unpack_from(reply, 8)[0] == 2
            return [empty if hole else reply]

        site.bend = bend
        site.act("stranger")
        site.act("stranger")
        await asyncio.sleep(10)
        assert site.read() == ["1", "lost/2-2", "3"]

    play(script)


def test_a_reply_about_another_record_is_asked_for_again():
    async def script(site: Site) -> None:
        for _ in range(3):
            site.act("stranger")
        await asyncio.sleep(2)
        first = site.panel.ring.place(1).fields
        stale = packets.pack(packets.EVENT, SERIAL, packets.REPLIES[packets.EVENT], first)
        strays = [stale]

        def bend(reply: bytes) -> list[bytes]:
            return [strays.pop()] if reply[1] == packets.EVENT and strays else [reply]

        site.bend = bend
        site.act("stranger")
        await asyncio.sleep(2)
        assert site.read() == ["1", "2", "3", "4"]

    play(script)


def test_an_alarm_that_a_status_told_of_is_followed_by_another_look_at_the_door():
    async def script(site: Site) -> None:
        site.act("fault:pushes_lost")
        site.act("force")
        await asyncio.sleep(2)
        records = [at for at, frame in enumerate(site.frames) if frame.payload[1:2] == b"\xb0"]
        alarm, after = site.frames[records[-1] : records[-1] + 2]
        assert alarm.payload[27] == 38
        assert after.payload[1] == packets.STATUS
        assert after.received_at_ms - alarm.received_at_ms < 100

    play(script)


def test_a_relock_is_looked_for_when_it_is_due():
    async def script(site: Site) -> None:
        site.act("exit_button")
        await asyncio.sleep(4)
        relays = [f.payload[packets.AT_RELAYS] for f in site.frames if f.payload[1:2] == b"\x20"]
        assert any(relays)
        assert relays[-1] == 0

    play(script, poll_ms=3_600_000)


# --- commands ---------------------------------------------------------------------------------


def test_a_door_is_opened_once_and_its_state_is_looked_at():
    async def script(site: Site) -> None:
        await site.send("AccessDoor")
        await asyncio.sleep(0.1)
        assert [data[8] for data in site.asked_for(packets.OPEN_DOOR)] == [2]
        status = [f for f in site.frames if f.payload[1:2] == b"\x20"][-1]
        assert status.payload[packets.AT_RELAYS] == 0b10
        assert site.read() == ["1"]

    play(script, poll_ms=60_000)


@pytest.mark.parametrize(("name", "mode"), [("UnlockDoor", 1), ("BlockDoor", 2), ("LockDoor", 3)])
def test_a_mode_is_set_with_the_delay_that_the_door_had_and_read_back(name, mode):
    async def script(site: Site) -> None:
        site.panel.doors[2].delay_s = 17
        await site.send(name)
        await asyncio.sleep(0.5)
        assert (site.panel.doors[2].mode, site.panel.doors[2].delay_s) == (mode, 17)
        modes = [f.payload[8:10] for f in site.frames if f.payload[1:2] == b"\x82"]
        assert bytes((2, mode)) in modes[-4:]

    play(script, poll_ms=60_000)


def test_what_a_panel_refuses_is_rejected():
    async def script(site: Site) -> None:
        site.act("fault:refuses")
        with pytest.raises(RejectedError, match="vendor:refused"):
            await site.send("AccessDoor")

    play(script)


@pytest.mark.parametrize("function", [packets.OPEN_DOOR, packets.SET_DOOR])
def test_silence_after_what_opens_is_unknown_and_it_is_not_sent_again(function):
    async def script(site: Site) -> None:
        site.deaf = {function}
        with pytest.raises(UnavailableError):
            await site.send("AccessDoor" if function == packets.OPEN_DOOR else "UnlockDoor")
        await asyncio.sleep(30)
        assert len(site.asked_for(function)) == 1

    play(script)


def test_a_silent_panel_is_found_out_before_a_mode_is_set():
    async def script(site: Site) -> None:
        site.deaf = {packets.DOOR}
        with pytest.raises(RefusedError, match="offline"):
            await site.send("UnlockDoor")
        assert not site.asked_for(packets.SET_DOOR)

    play(script)


@pytest.mark.parametrize(
    ("name", "part", "within_ms", "reason"),
    [
        ("AccessDoor", "door.5", 1_000, "invalid_argument"),
        ("AccessDoor", "door.0", 1_000, "invalid_argument"),
        ("AccessDoor", "door.x", 1_000, "invalid_argument"),
        ("AccessDoor", "", 1_000, "invalid_argument"),
        ("AccessDoor", "door.1", 0, "expired"),
        ("UnlockDoor", "door.1", 0, "expired"),
        ("Unlatch", "door.1", 1_000, "unsupported"),
    ],
)
def test_what_makes_no_sense_never_leaves(name, part, within_ms, reason):
    async def script(site: Site) -> None:
        with pytest.raises(RefusedError, match=reason):
            await site.send(name, part, within_ms)
        assert not site.asked_for(packets.OPEN_DOOR) + site.asked_for(packets.SET_DOOR)

    play(script)


def test_an_unknown_device_is_refused_and_refreshing_it_does_nothing():
    async def script(site: Site) -> None:
        with pytest.raises(RefusedError, match="unknown_device"):
            await site.adapter.send(Command("c", "1", "AccessDoor", 2**50, "door.1"))
        await site.adapter.refresh("1")

    play(script)


def test_a_refresh_asks_for_state_and_modes_and_bears_silence():
    async def script(site: Site) -> None:
        asked = len(site.requests)
        await site.adapter.refresh(DEVICE)
        assert [data[1] for data in site.requests[asked:]] == [0x20, 0x82, 0x82, 0x82, 0x82]
        site.deaf = {packets.STATUS}
        await site.adapter.refresh(DEVICE)

    play(script, poll_ms=60_000)
