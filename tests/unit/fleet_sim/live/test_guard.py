"""Who may break a run over HTTP."""

import pytest

from fleet_sim.live.guard import Guard, is_loopback

JSON = {"Content-Type": "application/json"}
HERE = {"Host": "127.0.0.1:9100", **JSON}


@pytest.mark.parametrize("host", ["127.0.0.1:9100", "localhost:9100", "LOCALHOST", "[::1]:9100"])
def test_whoever_calls_it_by_a_name_of_its_own_may(host: str) -> None:
    assert Guard().refusal("POST", {**JSON, "Host": host}) is None


@pytest.mark.parametrize(
    ("method", "headers", "status", "said"),
    [
        ("POST", {**HERE, "Host": "doors.example:9100"}, 403, "is no name of this run"),
        ("GET", {"Host": "doors.example"}, 403, "use its address, or localhost"),
        ("GET", {}, 403, "is no name of this run"),
        ("DELETE", {"Host": "127.0.0.1", "Origin": "http://evil.example"}, 403, "web pages may"),
        ("DELETE", {"Host": "127.0.0.1", "Origin": "null"}, 403, "web pages may not"),
        ("POST", {"Host": "127.0.0.1"}, 415, "send application/json"),
        ("PUT", {"Host": "127.0.0.1", "Content-Type": "text/plain"}, 415, "send application/json"),
    ],
)
def test_a_web_page_may_not_whatever_name_it_gives_us(
    method: str, headers: dict[str, str], status: int, said: str
) -> None:
    refused = Guard().refusal(method, headers)

    assert refused is not None
    assert refused.status == status
    assert said in refused.error


def test_its_own_page_may() -> None:
    assert Guard().refusal("POST", {**HERE, "Origin": "http://127.0.0.1:9100"}) is None


@pytest.mark.parametrize(
    ("shown", "status"),
    [(None, 401), ("Bearer no", 401), ("Basic token", 401), ("Bearer token", None)],
)
def test_beyond_this_machine_breaking_takes_the_token(
    shown: str | None, status: int | None
) -> None:
    more = {} if shown is None else {"Authorization": shown}

    refused = Guard(token="token").refusal("POST", {**HERE, **more})

    assert (None if refused is None else refused.status) == status


def test_beyond_this_machine_looking_takes_none() -> None:
    assert Guard(token="token").refusal("GET", {"Host": "10.0.0.7:9100"}) is None


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("fe80::1%lo", False)],
)
def test_it_knows_what_others_can_reach(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
