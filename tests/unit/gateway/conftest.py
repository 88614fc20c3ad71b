"""A cell's data plane over a real file, without its network ends."""

import asyncio

import orjson
import pytest

from devices.kinds import LOCK
from devices.reading import Happening, Provenance, Reading
from gateway.clock import SystemClock
from gateway.commit import Committer
from gateway.config import Limits
from gateway.disk import RealDisk, ScratchDisk
from gateway.events import Announcer
from gateway.ingest import Ingest
from gateway.pipeline import Pipeline
from gateway.roster import Roster
from gateway.schemas import installed
from gateway.store import Store
from vendors.api import Frame


class Bench:
    """Ingest, pipeline, committer and store as a cell wires them; the test decodes: `facts`."""

    def __init__(self, path, limits, *, inline):
        self.store = Store(path, 1, limits.outbox_max_bytes)
        self.roster = Roster(site="s", vendor="toy", kind=LOCK, devices_max=1_000)
        self.store.restore(self.roster)
        self.told = {}
        self.acked = []
        self.cursors = {"sink": self.store.sinks.get("sink", 0)}
        self.committer = Committer(
            store=self.store,
            disk=ScratchDisk() if inline else RealDisk(),
            limits=limits,
            clock=SystemClock(),
            on_committed=self.committed,
            on_dropped=self.dropped,
            sinks=lambda: dict(self.cursors),
            inline=inline,
        )
        self.pipeline = Pipeline(
            decode=self.decode,
            kind=LOCK,
            roster=self.roster,
            announcer=Announcer(vendor="toy", kind="lock", epoch_ms=1, started_at_ms=1),
            schemas=installed(),
            committer=self.committer,
            limits=limits,
            clock=SystemClock(),
            next_row=self.store.next_row,
        )
        self.facts = lambda _: ()
        self.ingest = Ingest(pipeline=self.pipeline, committer=self.committer, limits=limits)
        self.running = asyncio.create_task(self.committer.run())

    def committed(self, batch):
        """At every commit the disk holds, of each device, the state that its last event told."""
        self.ingest.resume()
        for r in batch.rows:
            self.told[r.device] = (r.sequence, r.event)
        disk = self.store._db.execute("SELECT device, sequence, axes FROM twins")  # noqa: SLF001
        for device, sequence, axes in disk.fetchall():
            told, event = self.told[device]
            assert sequence == told
            changes = orjson.loads(event)["data"].get("changes")
            if "lock_state" in (changes or {}):
                state = orjson.loads(axes)["lock_state"]["value"]
                assert state == changes["lock_state"]["value"]

    def decode(self, frame):
        return self.facts(frame)

    def dropped(self, dropped, cause):
        for device, events, first, last in dropped:
            data = {"count": events, "cause": cause, "first_sequence": first, "last_sequence": last}
            self.pipeline.gap(self.roster.find(device), data)

    def say(self, device, state, ack=None, at_ms=1_000):
        frame = Frame(f"t/{device}", b"", at_ms)
        self.pipeline.take(
            frame, [Reading(device, "lock_state", state, Provenance.REPORT, None, None)]
        )
        self.ack(ack)

    def alarm(self, device, ack=None):
        frame = Frame(f"t/{device}", b"", 1_000)
        self.pipeline.take(
            frame, [Happening(device, "door.alarm", {"door": 1, "alarm": "DoorForcedOpen"})]
        )
        self.ack(ack)

    def ack(self, name):
        if name is not None:
            self.committer.batch.callbacks.append(lambda: self.acked.append(name))
            self.committer.wake()

    def rows(self):
        return self.store.between(0, 10**9, 10**9)

    def data(self, what):
        return [orjson.loads(r.event)["data"] for r in self.rows() if r.type == what]

    def letters(self):
        return [letter for _, letter in self.store.dead_letters()]

    async def stop(self):
        self.ingest.close()
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self.committer.close()
        self.store.close()


@pytest.fixture(params=["thread", "inline"])
async def bench(request, tmp_path):
    made = []

    def make(**limits):
        made.append(Bench(tmp_path / "cell.db", Limits(**limits), inline=request.param == "inline"))
        return made[-1]

    yield make
    for each in made:
        if not each.running.done():
            await each.stop()
