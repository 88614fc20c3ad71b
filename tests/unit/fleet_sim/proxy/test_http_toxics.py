"""HTTP/1.1 messages in a stream, and the toxics that read them."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_sim.proxy import http
from fleet_sim.proxy.catalogue import TOXICS
from fleet_sim.proxy.http import MessageCutter, Request, Response, Talk
from fleet_sim.proxy.items import Answer, Piece, Sign
from fleet_sim.proxy.toxic import made

GET = b"GET /state?id=1 HTTP/1.1\r\nHost: lock\r\n\r\n"
POST = b"POST /command HTTP/1.1\r\nHost: lock\r\nContent-Length: 4\r\n\r\nopen"
CHUNKED = (
    b"POST /log HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4;note=1\r\nopen\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\nTrailer: 1\r\n\r\n"
)
HEAD = b"HEAD /state HTTP/1.1\r\n\r\n"


def response(body: bytes, *fields: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Conversation:
    """Both directions of a connection, cut."""

    def __init__(self) -> None:
        talk = Talk()
        self.client = MessageCutter(talk, responses=False)
        self.server = MessageCutter(talk, responses=True)

    def asks(self, data: bytes) -> list[Request | Piece]:
        return list(self.client.cut(data))

    def answers(self, data: bytes) -> list[Response | Piece]:
        return list(self.server.cut(data))


@pytest.mark.parametrize("size", [1, 2, 5, 64, 1000])
def test_requests_are_cut_wherever_the_stream_is(size: int, in_pieces) -> None:
    asked = Conversation()

    found = [
        one for part in in_pieces(GET + POST + CHUNKED + HEAD, size) for one in asked.asks(part)
    ]

    assert [each.raw for each in found] == [GET, POST, CHUNKED, HEAD]
    assert [(each.method, each.target) for each in found] == [
        ("GET", "/state?id=1"),
        ("POST", "/command"),
        ("POST", "/log"),
        ("HEAD", "/state"),
    ]
    assert [each.alone for each in found] == [True, False, False, False]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_responses_end_where_their_requests_say(size: int, in_pieces) -> None:
    asked = Conversation()
    asked.asks(HEAD + GET + GET + GET)
    said = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        response(b"last"),
    ]

    found = [one for part in in_pieces(b"".join(said), size) for one in asked.answers(part)]

    assert [each.raw for each in found] == said
    assert [each.status for each in found] == [200, 103, 204, 200, 200]
    assert asked.asks(GET)[0].alone


@settings(max_examples=40)
@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=12))
def test_whatever_comes_leaves_unchanged_cut_or_not(parts: list[tuple[bytes, bool]]) -> None:
    cutter = MessageCutter(Talk(), responses=False)
    left = b""
    for part, whole in [(POST, True), *parts]:
        if whole:
            left += b"".join(each.raw for each in cutter.cut(part))
        else:
            left += cutter.release() + part
            cutter.follow(part)

    assert left + cutter.release() == POST + b"".join(part for part, _ in parts)


def test_what_nobody_knows_the_end_of_goes_by_in_pieces() -> None:
    asked = Conversation()
    asked.asks(GET)

    (first,) = asked.answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1")
    (second,) = asked.answers(b"data: 2")

    assert (first.last, second) == (False, Piece(b"data: 2", last=False))


def test_who_waits_for_100_continue_is_not_kept_waiting() -> None:
    head = b"PUT /firmware HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    asked = Conversation()

    assert asked.asks(head) == [Piece(head, last=False)]
    assert asked.asks(b"abc") == [Piece(b"abc", last=True)]
    assert isinstance(asked.asks(GET)[0], Request)


def test_a_body_too_long_to_hold_goes_by_in_pieces() -> None:
    asked = Conversation()
    head = b"PUT /firmware HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (2 * http.MESSAGE_MAX)

    found = asked.asks(head)
    for _ in range(32):
        found += asked.asks(bytes(65_536))
        assert asked.client.held <= http.MESSAGE_MAX

    assert all(isinstance(each, Piece) for each in found)
    assert [each.last for each in found][-1]


def test_after_an_upgrade_bytes_are_no_longer_http() -> None:
    asked = Conversation()
    asked.asks(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")

    switched, frame = asked.answers(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02hi")

    assert (switched.status, frame.raw) == (101, b"\x81\x02hi")
    assert [each.raw for each in asked.asks(b"\x81\x80GET / HTTP/1.1")] == [
        b"\x81\x80GET / HTTP/1.1"
    ]


def test_an_answer_keeps_the_request_from_the_server(client_course, toxic) -> None:
    answer = toxic("http_answer", status=429, retry_after=30, body="slow down", path="/state*")
    sent = client_course("http", answer)

    sent.says(GET).says(POST)

    assert sent.bytes == POST
    (said,) = [item.message.raw for _, item in sent.left if isinstance(item, Answer)]
    assert said == (
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 9\r\nRetry-After: 30\r\n\r\nslow down"
    )


def test_an_answer_to_head_has_no_body_and_a_redirect_leads_somewhere(client_course, toxic) -> None:
    answer = toxic("http_answer", status=302, location="http://elsewhere/", body="gone")
    sent = client_course("http", answer).says(HEAD)

    said = sent.left[0][1].message.raw

    assert said.endswith(b"Location: http://elsewhere/\r\n\r\n")


def test_a_request_sent_ahead_is_left_to_the_server(client_course, toxic) -> None:
    sent = client_course("http", toxic("http_answer", path="/command")).says(GET + POST)

    assert sent.bytes == GET + POST


def test_a_truncated_body_ends_the_connection(course, toxic) -> None:
    asked = Conversation()
    asked.asks(GET + GET)
    sent = course(toxic("http_truncate", bytes=5), cutter=asked.server)

    sent.says(response(b"whole")).says(response(b"truncated"))

    assert sent.bytes == response(b"whole") + response(b"truncated")[:-4]
    assert sent.left[-1][1] is Sign.CLOSE


@pytest.mark.parametrize(
    ("body", "pointer", "value", "becomes"),
    [
        ({"state": 1}, "/state", 254, {"state": 254}),
        ({"a": [{"b": 1}, {"b": 2}]}, "/a/1/b", None, {"a": [{"b": 1}, {"b": None}]}),
        ({"a/b": {"~": 1}}, "/a~1b/~0", "x", {"a/b": {"~": "x"}}),
        ({"other": 1}, "/state", 2, {"other": 1}),
        ([1], "/state", 2, [1]),
        ("text", "/state", 2, "text"),
    ],
)
def test_a_json_field_has_another_value(body, pointer, value, becomes, course, toxic) -> None:
    asked = Conversation()
    asked.asks(GET + GET)
    sent = course(toxic("http_json", field=pointer, value=value), cutter=asked.server)
    raw = json.dumps(body).encode()
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(raw), raw)

    sent.says(response(raw, "X-Kept: yes"))
    sent.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)

    reader = Conversation()
    reader.asks(GET + GET)
    first, second = reader.answers(sent.bytes)
    assert json.loads(first.raw[first.body :]) == becomes
    assert first.fields["x-kept"] == "yes"
    if becomes != body:
        assert json.loads(second.raw[second.body :]) == becomes
    else:
        assert second.raw.endswith(chunk)


def test_what_is_no_json_or_is_compressed_is_let_by(course, toxic) -> None:
    asked = Conversation()
    asked.asks(GET + GET)
    said = [response(b"no json"), response(b'{"state":1}', "Content-Encoding: gzip")]
    sent = course(toxic("http_json"), cutter=asked.server)

    sent.says(b"".join(said))

    assert sent.bytes == b"".join(said)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("http_answer", {"status": 99}, "status: 99 is not a whole number from 200 up to 599"),
        ("http_answer", {"location": "x\r\ny"}, "location: no line breaks"),
        ("http_answer", {"status": 204, "body": "x"}, "body: a 204 or 304 has none"),
        ("http_json", {"field": "state"}, "field: 'state' is no JSON Pointer; write /state"),
        ("http_json", {"name": 1}, "name: no such setting; known are field, value, path, share"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(kind, settings, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"attributes.{said}")):
        made(TOXICS[kind], settings)
