"""One sans-IO MQTT broker (3.1.1 and 5) with a TCP face and an in-memory face, made to be broken.

```
 TCP socket ──► tcp.TcpBroker ─┐                                          ┌─ retained.Retained
                               ├─► connection.Connection ─► core.Broker ──┼─ subscriptions
 asyncio transport ► memory ───┘   (bytes, one per peer)    (routing)     ├─ session.Session
 simulated board ──► memory_client.MemoryClient (packets, no bytes) ──►   └─ timers.Timers
```
Nothing is persisted: sessions, queues and retained messages live as long as the object. A broker's
PUBACK is no promise of durability anyway, Mosquitto's included; the gateway's outbox is the memory.

A slow subscriber: beyond `limits.out_max_bytes` or a full socket its messages wait in its session,
beyond the session's room the newest are dropped and counted. Its publishers are never paused. One
that makes answers pile up unread is disconnected (0x97). Whoever breaks the protocol loses its own
connection, with the reason code that MQTT 5 names; 3.1.1 has no word for it and is just closed.
"""
