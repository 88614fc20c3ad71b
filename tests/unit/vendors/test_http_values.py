"""Requests and replies as values."""

import pytest

from vendors.http import HttpReply, HttpRequest, request_of, target_of


def test_a_url_is_taken_apart() -> None:
    found = request_of(
        "GET", "http://h:81/v1.0/a%20b/%2F?k=a%26b&k=&x=%C3%A9", {"X-Key": "1"}, b"{}"
    )

    assert found == HttpRequest(
        "GET", "/v1.0/a b//", (("k", "a&b"), ("k", ""), ("x", "é")), {"x-key": "1"}, b"{}"
    )


@pytest.mark.parametrize("url", ["http://h", "http://h/", "http://h/?"])
def test_no_path_is_the_root(url: str) -> None:
    assert request_of("GET", url).path == "/"


def test_an_argument_is_the_first_of_its_name() -> None:
    request = HttpRequest("GET", "/", (("a", "1"), ("a", "2"), ("b", "")))

    assert [request.argument(name) for name in ("a", "b", "c")] == ["1", "", None]


def test_a_header_is_found_whatever_the_case_of_its_name() -> None:
    reply = HttpReply(200, b"", (("Retry-After", "1"), ("retry-after", "2")))

    assert (reply.header("RETRY-AFTER"), reply.header("x")) == ("1", None)


@pytest.mark.parametrize(
    "query", [(), (("dkey", "a b&c=d?é+%"),), (("a", "1"), ("a", "2"), ("b", ""))]
)
def test_a_target_says_what_its_query_was(query) -> None:
    assert request_of("GET", f"http://h{target_of('/cc', query)}").query == query


def test_a_target_without_a_query_is_its_path() -> None:
    assert target_of("/jc", ()) == "/jc"


def test_a_repr_shows_neither_key_nor_token_nor_body() -> None:
    request = HttpRequest("GET", "/cc", (("dkey", "hush"),), {"x-token": "hush"}, b"hush")
    reply = HttpReply(200, b"hush", (("set-cookie", "hush"),))

    assert "hush" not in f"{request!r}{request}{reply!r}{reply}"
    assert repr(request) == "<HttpRequest GET /cc 4 B>"
    assert repr(reply) == "<HttpReply 200 4 B>"
