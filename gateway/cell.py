"""One vendor's bulkhead, put together: adapter, ingest, pipeline, store, sinks and command desk.

The same code runs as a process of its own, as a task beside others, and in simulated time.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import structlog
from mqtt5 import PublishPacket

from devices.command import Command, Result
from devices.errors import StoreError
from devices.health import CellState
from devices.twin import Twin
from gateway import dead_letters, hosts
from gateway.bus.feed import Sink
from gateway.bus.jsonl import JsonlSink
from gateway.bus.mqtt import MqttSink
from gateway.clock import Clock
from gateway.commands import CommandDesk, Finished, another
from gateway.commit import Batch, Committer
from gateway.config import BusConfig, CellConfig, MqttBus
from gateway.disk import Disk, RealDisk, ScratchDisk
from gateway.events import Announcer
from gateway.ingest import Ingest
from gateway.pipeline import Pipeline
from gateway.roster import Roster
from gateway.schemas import installed
from gateway.store import DeadLetter, Dropped, Store, begun, finished, result_of
from vendors.api import Delivery, Frame, Vendor

log = structlog.get_logger("gateway.cell")

#: How long the sinks may take to deliver what is left when a cell is stopped.
DRAIN_S: Final = 3.0
# How often the cell looks at itself; what changed is on the health topic at once.
_LOOK_S: Final = 0.25


class Cell:
    """One vendor's devices, from their wire to the bus, and commands back.

    Args:
        config: the cell's part of the configuration.
        clock: wall time; the loop's own timers give the pace.
        rng: for backoffs.
        network: replaces sockets in simulated runs.
        inline_commits: nobody waits for the disk (simulated time).
        disk: what the store lies on; absent, the machine's own.
        on_beat: told `snapshot()` at every heartbeat, from within the loop.
    """

    def __init__(  # noqa: PLR0913 -- by keyword, from one place
        self,
        vendor: Vendor,
        config: CellConfig,
        *,
        site: str,
        state_dir: Path,
        bus: Sequence[BusConfig],
        clock: Clock,
        rng: Random,
        network: Any = None,  # noqa: ANN401 -- the simulators' own type
        inline_commits: bool = False,
        disk: Disk | None = None,
        on_beat: Callable[[dict[str, object]], None] | None = None,
        heartbeat_s: float = 1.0,
    ) -> None:
        self.name = config.name
        self.rng = rng
        self.network = network
        self._vendor = vendor
        self._config = config
        self._site = site
        self._state_dir = state_dir
        self._bus = bus
        self._clock = clock
        self._inline_commits = inline_commits
        self._disk = disk or (ScratchDisk() if inline_commits else RealDisk())
        self._on_beat = on_beat
        self._heartbeat_s = heartbeat_s
        # A simulated day is not to be filled with looking.
        self._look_s = heartbeat_s if inline_commits else min(_LOOK_S, heartbeat_s)
        self._vendor_up = False
        self._vendor_reason = "not connected yet"
        self._link_since_ms = 0
        self._state = CellState.STARTING
        self._said: tuple[str, str] = ("", "")
        self._ready = asyncio.Event()
        self._sinks: list[Sink] = []
        self._mqtt: list[MqttSink] = []
        self._started = False

    # --- what an adapter is given (vendors.api.Port) ------------------------------------------

    def now_ms(self) -> int:
        """Unix ms by the gateway's clock."""
        return self._clock.now_ms()

    def offer(self, frames: Sequence[Frame], committed: Callable[[], None] | None) -> None:
        """See `vendors.api.Port.offer`."""
        self._ingest.offer(frames, committed)

    def cursor(self, name: str) -> int | None:
        """The vendor's position, as committed."""
        return self._store.cursor(name)

    def link(self, *, up: bool, reason: str) -> None:
        """Whether the vendor can be spoken to."""
        if up and not self._vendor_up:
            self._link_since_ms = self._clock.now_ms()
        self._vendor_up, self._vendor_reason = up, reason

    def twin(self, device: str) -> Twin | None:
        """The device, if it was ever heard of."""
        entry = self._roster.find(device)
        return None if entry is None else entry.twin

    # --- what the desk is given (gateway.commands.CommandStore) -------------------------------

    async def begin(self, command: Command) -> Result | Literal["running"] | None:
        """Note durably that a command begins, unless its id is known."""
        known = self._store.command(command.device, command.id)
        if known is not None:
            if (known.name, known.part) != (command.name, command.part):
                return another(command, self._clock.now_ms())
            return result_of(command.id, known) or "running"
        if self._committer.trouble:
            raise StoreError(self._committer.trouble)
        await self._durable(begun(command, self._clock.now_ms()))
        return None

    async def finish(self, command: Command, result: Result) -> None:
        """Note durably how a command ended."""
        if self._committer.trouble:
            raise StoreError(self._committer.trouble)
        await self._durable(finished(command, result))

    def unfinished(self) -> Sequence[Command]:
        """What an earlier life began and did not finish."""
        return self._store.unfinished()

    async def _durable(self, write: tuple[str, tuple[object, ...]]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch = self._committer.batch
        batch.commands.append(write)
        batch.callbacks.append(partial(_settle, done))
        self._committer.wake(urgent=True)
        await done

    # --- life ---------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Wait until the store is open and everything has been started."""
        await self._ready.wait()

    async def run(self) -> None:
        """Work until cancelled; then commit, deliver what there is, and say that we stopped.

        Raises:
            ConfigError: the store belongs to another process, or a schema file is missing.
        """
        self._open()
        tasks = [
            asyncio.create_task(part, name=f"{self.name}/{what}")
            for what, part in (
                ("commit", self._committer.run()),
                ("adapter", self._adapter.run()),
                ("look", self._look()),
                *((f"sink {sink.name}", sink.run()) for sink in self._sinks),
            )
        ]
        try:
            await self._desk.recover()
            self._ready.set()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # none returns by itself: an error of ours ends the cell
                task.result()
                raise RuntimeError(f"{task.get_name()} ended by itself")
        finally:
            await self._stop(tasks)

    def let_go(self) -> None:
        """Let go of the store at once, as a system does for a process that was killed."""
        if self._started:
            self._store.close()

    def _open(self) -> None:
        config, now_ms = self._config, self._clock.now_ms()
        self._store = Store(
            self._state_dir / f"{config.name}.db",
            now_ms,
            config.limits.outbox_max_bytes,
            self._disk,
        )
        try:
            self._put_together(now_ms)
        except BaseException:  # whoever tries again in this process must find the store free
            self._store.close()
            raise

    def _put_together(self, now_ms: int) -> None:
        config, schemas = self._config, installed()
        self._roster = Roster(
            site=self._site,
            vendor=config.name,
            kind=self._vendor.kind,
            devices_max=config.limits.devices_max,
        )
        self._store.restore(self._roster)
        self._committer = Committer(
            store=self._store,
            disk=self._disk,
            limits=config.limits,
            clock=self._clock,
            on_committed=self._committed,
            on_dropped=self._dropped,
            sinks=self._cursors,
            inline=self._inline_commits,
        )
        self._pipeline = Pipeline(
            decode=self._vendor.decoder(config.settings),
            kind=self._vendor.kind,
            roster=self._roster,
            announcer=Announcer(
                vendor=self._vendor.name,
                kind=self._vendor.kind.name,
                epoch_ms=self._store.epoch_ms,
                started_at_ms=now_ms,
            ),
            schemas=schemas,
            committer=self._committer,
            limits=config.limits,
            clock=self._clock,
            next_row=self._store.next_row,
        )
        self._ingest = Ingest(
            pipeline=self._pipeline,
            committer=self._committer,
            limits=config.limits,
        )
        self._adapter = self._vendor.connect(config.settings, self)
        self._desk = CommandDesk(
            vendor=self._vendor,
            adapter=self._adapter,
            twin=self.twin,
            store=self,
            clock=self._clock,
            answer=self._answer,
            fresh=self._fresh,
            commands_max=config.limits.commands_max,
        )
        committed = self._store.next_row - 1
        for bus in self._bus:
            if isinstance(bus, MqttBus):
                sink = self._mqtt_sink(bus, committed)
                self._mqtt.append(sink)
                self._sinks.append(sink)
            else:
                self._sinks.append(JsonlSink(bus, config.name, self._store, committed))
        self._started = True

    def _mqtt_sink(self, bus: MqttBus, committed: int) -> MqttSink:
        return MqttSink(
            bus,
            site=self._site,
            cell=self.name,
            vendor=self._vendor.name,
            kind=self._vendor.kind.name,
            store=self._store,
            committed=committed,
            clock=self._clock,
            rng=self.rng,
            network=self.network,
            state_interval_ms=self._config.state_interval_ms,
            refusals_max=self._config.limits.refusals_max,
            entries=lambda: list(self._roster),
            on_command=self._asked,
            on_refused=self._refused,
        )

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop taking, settle what is under way, deliver, and let go of the store."""
        by_name = {task.get_name(): task for task in tasks}
        sinks = [by_name[f"{self.name}/sink {sink.name}"] for sink in self._sinks]
        first = [task for task in tasks if task not in sinks]
        committing = by_name[f"{self.name}/commit"]
        await self._desk.close()
        for task in first:
            if task is not committing:
                task.cancel()
        await asyncio.gather(*(t for t in first if t is not committing), return_exceptions=True)
        self._ingest.close()
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        # What cannot be committed now was not acknowledged, and will come again.
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(1.0):
                await self._committer.flush()
        self._state = CellState.STOPPED
        self._say_health("")
        await asyncio.gather(*(sink.drain(DRAIN_S) for sink in self._sinks), return_exceptions=True)
        for task in sinks:
            task.cancel()
        await asyncio.gather(*sinks, return_exceptions=True)
        await self._committer.note_sinks()
        self._committer.close()
        self._store.close()

    async def _look(self) -> None:
        """Watch ourselves: health when it changes and now and then, and the heartbeat."""
        loop = asyncio.get_running_loop()
        beat_at_s = said_at_s = -1e9
        while True:
            state, reason = self._condition()
            now_s = loop.time()
            overdue = now_s - said_at_s >= self._config.health_interval_ms / 1000
            if (state, reason) != self._said or overdue:
                said_at_s = now_s
                if (state, reason) != self._said:
                    log.info("cell.health_changed", cell=self.name, state=state, reason=reason)
                self._state = state
                self._said = (state, reason)
                self._say_health(reason)
            if self._on_beat is not None and now_s - beat_at_s >= self._heartbeat_s:
                beat_at_s = now_s
                self._on_beat(self.snapshot())
            self._obey()
            await asyncio.sleep(self._look_s)

    def _condition(self) -> tuple[CellState, str]:
        troubles = [self._committer.trouble] if self._committer.trouble else []
        if not self._vendor_up:
            troubles.append(f"vendor: {self._vendor_reason}")
        troubles += [f"sink {sink.name}: {sink.trouble}" for sink in self._sinks if sink.trouble]
        if troubles:
            return CellState.DEGRADED, "; ".join(troubles)[:500]
        return CellState.UP, ""

    def _say_health(self, reason: str) -> None:
        body: dict[str, object] = {
            "cell": self.name,
            "vendor": self._vendor.name,
            "state": self._state,
            "reason": reason,
            "at_ms": self._clock.now_ms(),
            "counters": self.snapshot(),
        }
        for sink in self._mqtt:
            sink.health(body)

    def snapshot(self) -> dict[str, object]:
        """What a status page shows; plain JSON values."""
        if not self._started:
            return {"cell": self.name, "state": self._state}
        moved = self._store.moved_aside
        return {
            "cell": self.name,
            "state": self._state,
            "reason": self._said[1],
            "devices": len(self._roster),
            **self._pipeline.counters.snapshot(),
            "commits": self._committer.commits,
            "waiting": self._ingest.waiting,
            "outbox_rows": self._store.outbox_rows,
            "outbox_bytes": self._store.outbox_bytes,
            "vendor_up": self._vendor_up,
            "lag_rows": {sink.name: sink.feed.lag_rows for sink in self._sinks},
            "corrupt_store_kept_as": str(moved) if moved else None,
            **hosts.standing(self._adapter),
        }

    # --- wiring -------------------------------------------------------------------------------

    def _cursors(self) -> dict[str, int]:
        return {sink.name: sink.feed.cursor for sink in self._sinks}

    def _committed(self, batch: Batch) -> None:
        for sink in self._sinks:
            sink.feed.committed(batch.rows)
        for mqtt in self._mqtt:
            mqtt.states(batch.entries)
        for device, changes, received_at_ms in batch.seen:
            self._desk.seen(device, changes, received_at_ms)
        asyncio.get_running_loop().call_soon(self._ingest.resume)

    def _dropped(self, dropped: Sequence[Dropped], cause: str) -> None:
        for device, count, first, last in dropped:
            self._pipeline.counters.dropped += count
            if (entry := self._roster.find(device)) is not None:
                data: dict[str, int | str] = {
                    "count": count,
                    "cause": cause,
                    "first_sequence": first,
                    "last_sequence": last,
                }
                self._pipeline.gap(entry, data)

    def _fresh(self, received_at_ms: int) -> bool:
        """Whether what was received then still shows the present.

        A vendor that reports every change by itself is silent while nothing changes: its last
        word holds as long as the link that would have carried the next one. What is polled
        holds for `fresh_ms`.
        """
        if self._vendor.delivery is Delivery.PUSH:
            return self._vendor_up and received_at_ms >= self._link_since_ms
        return self._clock.now_ms() - received_at_ms <= self._config.limits.fresh_ms

    def _asked(self, packet: PublishPacket, device: str) -> None:
        self._desk.request(
            packet.payload,
            device,
            packet.response_topic,
            packet.correlation_data,
            retained=packet.retain,
            expiry_s=packet.message_expiry_interval,
        )

    def _answer(
        self, device: str, result: Finished, response_topic: str | None, correlation: bytes | None
    ) -> None:
        body = result.body()
        if result.id and result.name and not result.repeated:
            event = {"command_id" if key == "id" else key: value for key, value in body.items()}
            del event["device"]
            self._pipeline.finished(device, event)
        for mqtt in self._mqtt:
            mqtt.answer(device, body, response_topic, correlation)

    def _refused(self, letter: DeadLetter) -> None:
        self._pipeline.counters.dead_letters += 1
        self._committer.batch.dead_letters.append(letter)
        self._committer.wake()

    def _obey(self) -> None:
        """Do what `doorfleet-gateway dead-letters` asked of us, in one transaction each."""
        for order in dead_letters.taken(self._state_dir, self.name):
            letters = dict(self._store.dead_letters())
            known = [id_ for id_ in order.ids if id_ in letters]
            forget = partial(self._forget, known)
            if order.replay:
                now_ms = self._clock.now_ms()
                frames = [dead_letters.frame_of(letters[id_], now_ms) for id_ in known]
                self._ingest.offer(frames, forget)  # once what they led to is durable
            else:
                forget()
            log.info("dead_letters.obeyed", cell=self.name, replay=order.replay, count=len(known))

    def _forget(self, letters: Sequence[int]) -> None:
        batch = self._committer.batch
        batch.commands += [("DELETE FROM dead_letters WHERE id = ?", (id_,)) for id_ in letters]
        self._committer.wake(urgent=True)


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():  # whoever waited may have been cancelled
        done.set_result(None)
