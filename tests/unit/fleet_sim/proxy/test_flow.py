"""What holds of a direction whatever toxics come and go."""

import pytest

from fleet_sim import chance
from fleet_sim.proxy.items import Sign
from vendors.wire.mqtt311 import Connect, Publish, encode

#: Toxics that change when bytes come and how they are cut, and nothing else.
HARMLESS = [
    ("latency", {"latency": 40, "jitter": 40}),
    ("bandwidth", {"rate": 50}),
    ("bandwidth", {}),
    ("slicer", {"average_size": 7, "size_variation": 3, "delay": 500}),
    ("slow_close", {"delay": 50}),
    ("limit_data", {"bytes": 1 << 40}),
    ("mqtt_drop", {"packets": "disconnect"}),
    ("mqtt_delay", {"topic": "never", "delay": 10}),
]
PACKETS = [encode(Publish(f"a/{number}", bytes([number]) * number)) for number in range(200)]


@pytest.mark.parametrize("seed", range(12))
def test_toxics_that_come_and_go_lose_no_byte_and_keep_the_order(
    seed: int, client_course, toxic
) -> None:
    draw = chance.stream(seed, "course")
    data = encode(Connect("board")) + b"".join(PACKETS)
    sent = client_course("mqtt")
    at = 0
    while at < len(data):
        size = draw.randint(1, 400)
        sent.says(data[at : at + size], sent.now_s * 1000 + draw.randint(0, 30))
        at += size
        # A proxy keeps its toxics in the order in which they were added.
        chosen = sorted(draw.sample(range(len(HARMLESS)), draw.randint(0, 3)))
        sent.arrange(
            *(toxic(kind, f"t{n}", **more) for n in chosen for kind, more in [HARMLESS[n]])
        )
        assert sent.bytes == data[: len(sent.bytes)]

    sent.ends(sent.now_s * 1000)
    sent.arrange()

    assert sent.bytes == data
    assert [item for _, item in sent.left if isinstance(item, Sign)] == [Sign.END]
    assert sent.flow.held == 0
