"""Our broker in a process of its own, with a memory that outlives it: `PORT FILE`.

Each event is a line of the file before its PUBACK can leave. A broker that is killed forgets its
subscribers' sessions; what it has acknowledged to the gateway stands in the file all the same.
"""

import asyncio
import os
import sys

from fleet_sim.broker.message import Message
from fleet_sim.broker.tcp import TcpBroker


async def serve(port: int, journal: str) -> None:
    broker = TcpBroker(port=port)
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    route = broker.core.publish

    def note_and_route(message: Message, now_s: float) -> int:
        if "/event/" in message.topic:
            os.write(file, bytes(message.payload) + b"\n")
        return route(message, now_s)

    broker.core.publish = note_and_route
    await broker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
