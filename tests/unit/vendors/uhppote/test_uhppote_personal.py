"""Nobody is left in a panel's packet, and it stays one."""

from hypothesis import given
from hypothesis import strategies as st

from fleet_sim.recording.scrub import Scrubber
from vendors.uhppote import packets, personal

SCRUBBER = Scrubber(b"a key that tests may know")
SERIAL = 405_419_896


def test_addresses_cards_and_codes_go_and_the_rest_stays() -> None:
    values = {"host": "192.168.1.100", "mask": "255.255.255.0", "gateway": "192.168.1.1"}
    values |= {"mac": bytes.fromhex("001223344556"), "version": b"\x08\x92"}
    layout = packets.REPLIES[packets.CONTROLLER]
    packet = packets.pack(packets.CONTROLLER, SERIAL, layout, values)

    made = personal.scrub(packet, SCRUBBER, of_device=True)

    assert made is not None
    said = packets.unpack(layout, made)
    assert (said["mask"], said["version"]) == ("255.255.255.0", b"\x08\x92")
    assert {said[key] == values[key] for key in ("host", "gateway", "mac")} == {False}
    assert said["host"] == SCRUBBER.address("192.168.1.100")
    assert SCRUBBER.text("00:12:23:34:45:56").replace(":", "") == said["mac"].hex()


def test_a_request_to_store_a_card_names_neither_card_nor_pin() -> None:
    packet = packets.request(packets.PUT_CARD, SERIAL, card=6_154_410, pin=7531, door1=1)

    made = personal.scrub(packet, SCRUBBER, of_device=False)

    assert made is not None
    said = packets.unpack(packets.REQUESTS[packets.PUT_CARD], made)
    assert (said["card"], said["pin"]) == (SCRUBBER.number(6_154_410), SCRUBBER.number(7531))
    assert 6_154_410 not in (said["card"], said["pin"])
    assert said["door1"] == 1


@given(st.binary(max_size=80), st.booleans(), st.booleans())
def test_no_bytes_break_it(data: bytes, of_device: bool, begins: bool) -> None:
    packet = bytes((packets.START,)) + data if begins else data

    made = personal.scrub(packet, SCRUBBER, of_device=of_device)

    assert made is None or len(made) == len(packet)
