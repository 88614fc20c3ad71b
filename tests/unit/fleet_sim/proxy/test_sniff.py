"""What a connection speaks, and whom a TLS client asks for."""

import ssl

import pytest

from fleet_sim.proxy.sniff import HELLO_MAX, Speaks, server_name, speaks
from vendors.wire.mqtt311 import Connect, encode


def hello(name: str | None) -> bytes:
    """What Python's own TLS says first."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    said = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), said, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


@pytest.mark.parametrize(
    ("first", "spoken"),
    [
        (encode(Connect("board")), Speaks.MQTT),
        (encode(Connect("board", level=3)), Speaks.MQTT),
        (b"GET / HTTP/1.1\r\n", Speaks.HTTP),
        (b"PATCH /x HTTP/1.1\r\n", Speaks.HTTP),
        (b"GETTING", Speaks.TCP),
        (b"\x10\x05hello", Speaks.TCP),
        (b"\x10", Speaks.TCP),
        (b"", Speaks.TCP),
    ],
)
def test_a_protocol_is_known_by_its_first_bytes(first: bytes, spoken: Speaks) -> None:
    assert speaks(first) is spoken


def test_a_tls_client_shows_whom_it_asks_for() -> None:
    said = hello("bridge.example")

    assert speaks(said) is Speaks.TLS
    assert server_name(said) == "bridge.example"
    assert server_name(hello(None)) == ""


def test_a_hello_in_parts_is_waited_for_and_nonsense_is_not() -> None:
    said = hello("bridge.example")

    assert {server_name(said[:size]) for size in range(len(said))} == {None}
    assert server_name(b"\x16\x03\x01\xff\xff" + bytes(HELLO_MAX)) == ""
    assert server_name(b"\x16\x03\x01\x00\x02\x01\x00") == ""
