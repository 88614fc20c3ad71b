"""What Shelly frames mean, where the samples do not say it already."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from devices.reading import Provenance, Reading
from vendors.api import Frame
from vendors.shelly import adapter, auth
from vendors.shelly.settings import ShellySettings

MQTT = {"mqtt": {"url": "mqtt://broker.example"}}


def facts(source: str, said: Any, *, retained: bool = False, **settings: Any) -> list[Reading]:
    decode = adapter.decoder(ShellySettings.model_validate({**MQTT, **settings}))
    told = decode(Frame(source, json.dumps(said).encode(), 1, retained))
    return [fact for fact in told if isinstance(fact, Reading)]


def values(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {fact.axis: fact.value for fact in facts(*args, **kwargs)}


def cover(**fields: Any) -> dict[str, Any]:
    return {"id": 0, "pos_control": True, "source": "limit_switch", **fields}


def test_a_status_that_a_broker_kept_shows_nobody_alive() -> None:
    told = facts("garage/status/cover:0", cover(state="open", current_pos=100), retained=True)

    assert "reachability" not in {fact.axis for fact in told}
    assert {fact.provenance for fact in told} == {Provenance.RETAINED}


def test_a_delta_is_a_report_and_a_reply_an_answer_each_with_the_devices_time() -> None:
    delta = {"method": "NotifyStatus", "params": {"ts": 1767225600.5, "cover:0": {"state": "open"}}}
    reply = {
        "result": {"cover:0": cover(state="open"), "sys": {"uptime": 1, "unixtime": 1767225600}}
    }

    assert {(f.provenance, f.observed_at_ms) for f in facts("ws/garage", delta)} == {
        (Provenance.REPORT, 1_767_225_600_500)
    }
    assert {(f.provenance, f.observed_at_ms) for f in facts("http/garage", reply)} == {
        (Provenance.POLL, 1_767_225_600_000)
    }


@pytest.mark.parametrize("ts", [None, True, "now", 12.5, 1e300, -1])
def test_a_clock_that_was_never_set_is_not_believed(ts: Any) -> None:
    delta = {"method": "NotifyStatus", "params": {"ts": ts, "cover:0": {"state": "opening"}}}

    assert {fact.observed_at_ms for fact in facts("ws/garage", delta)} == {None}


def test_an_answer_with_a_configuration_is_no_status() -> None:
    config = {"result": {"cover:0": {"id": 0, "in_mode": "dual"}, "sys": {"cfg_rev": 9}}}

    assert values("http/garage", config) == {"reachability": "Online"}


def test_a_device_that_lost_its_cover_is_no_longer_known() -> None:
    told = values("http/garage", {"result": {"switch:0": {}, "sys": {"uptime": 5}}})

    assert told["position"] is None
    assert told["error"] is None
    assert told["obstruction"] is None


@pytest.mark.parametrize(
    ("fields", "position", "pct"),
    [
        ({"state": "closed", "current_pos": 0}, "FullyClosed", 0),
        ({"state": "closed", "current_pos": 0.0}, "FullyClosed", 0),
        ({"state": "closed", "current_pos": 0, "source": "MQTT"}, "FullyClosed", 0),
        ({"state": "closed", "current_pos": 1}, None, None),
        ({"state": "closed", "current_pos": 0, "source": "timeout"}, None, None),
        ({"state": "closed", "source": "MQTT"}, None, None),
        ({"state": "closed", "source": "limit_switch", "pos_control": False}, "FullyClosed", None),
        ({"state": "open", "current_pos": 99}, None, None),
        ({"state": "stopped", "current_pos": 100}, None, None),
        ({"state": "stopped", "current_pos": 99}, "PartiallyOpened", 99),
        ({"state": "stopped", "current_pos": True}, "PartiallyOpened", None),
        ({"state": "stopped", "source": "init"}, None, None),
        ({"state": None}, None, None),
        ({"state": ["closed"]}, None, None),
    ],
)
def test_a_door_is_at_an_end_only_if_word_position_and_cause_agree(
    fields: dict[str, Any], position: str | None, pct: int | None
) -> None:
    told = values("garage/status/cover:0", cover(**fields))

    assert (told["position"], told["position_pct"]) == (position, pct)


def test_a_bare_word_in_a_delta_waits_for_the_whole_status() -> None:
    delta = {"method": "NotifyStatus", "params": {"cover:0": {"state": "closed"}}}

    told = {fact.axis: (fact.value, fact.reason) for fact in facts("ws/garage", delta)}

    assert told["position"] == (None, "no_report")


def test_a_door_on_its_way_to_a_position_heads_for_no_end() -> None:
    told = facts("garage/status/cover:0", cover(state="closing", target_pos=40, current_pos=90))

    assert [(f.value, f.reason) for f in told if f.axis == "target_position"] == [
        (None, "unmapped:40")
    ]
    there = values("garage/status/cover:0", cover(state="closing", target_pos=0))
    assert there["target_position"] == "MoveToFullyClosed"


@pytest.mark.parametrize(
    ("opener", "inputs", "position"),
    [
        ({}, {"input:0": {"state": True}}, "FullyClosed"),
        ({"active": False}, {"input:0": {"state": True}}, "PartiallyOpened"),
        ({"active": False}, {"input:0": {"state": False}}, "FullyClosed"),
        ({}, {"input:0": {"state": 1}}, None),
        ({}, {"input:0": "true"}, None),
        ({}, {"input:0": {"id": 0}}, None),
        ({"closed_input": None, "open_input": 1}, {"input:1": {"state": True}}, "FullyOpened"),
        ({"closed_input": None, "open_input": 1}, {"input:1": {"state": False}}, None),
        ({"closed_input": None}, {"input:0": {"state": True}}, None),
        ({"open_input": 1}, {"input:0": {"state": True}, "input:1": {"state": None}}, None),
    ],
)
def test_reeds_tell_of_their_own_ends(
    opener: dict[str, Any], inputs: dict[str, Any], position: str | None
) -> None:
    status = {"result": {**inputs, "sys": {"uptime": 1}}}

    told = values("http/garage", status, openers={"garage": opener})

    assert told["position"] == position
    assert "position_pct" not in told
    if position not in ("FullyClosed", "FullyOpened"):
        assert told["main_state"] is None


def test_a_delta_without_a_reed_says_nothing_of_an_openers_door() -> None:
    delta = {
        "method": "NotifyStatus",
        "params": {"input:0": {"id": 0}, "switch:0": {"output": True}},
    }

    assert values("ws/garage", delta, openers={"garage": {}}) == {"reachability": "Online"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"mqtt": None},
        {"direct": {"devices": {"a": "http://192.0.2.1"}}},
        {"mqtt": {"url": "mqtt://b.example", "prefix": "a"}},
        {"mqtt": {"url": "mqtt://b.example", "prefix": "a+/"}},
        {"mqtt": {"url": "mqtt://b.example", "prefix": "a/", "reply_to": "a"}},
        {"mqtt": {"url": "mqtt://b.example", "devices": ["a/b"]}},
        {"mqtt": None, "direct": {"devices": {}}},
        {"mqtt": None, "direct": {"devices": {"a": "ws://192.0.2.1"}}},
        {"mqtt": None, "direct": {"devices": {"a": "http://admin:secret@192.0.2.1"}}},
        {
            "mqtt": None,
            "direct": {
                "devices": {"a": "http://192.0.2.1"},
                "password": "x",
                "password_file": "/run/x",
            },
        },
        {"openers": {"a": {"closed_input": 1, "open_input": 1}}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ShellySettings.model_validate({**MQTT, **wrong})


def test_a_challenge_is_met_with_the_digest_that_the_vendor_documents() -> None:
    message = json.dumps(
        {
            "auth_type": "digest",
            "nonce": 1725185413,
            "nc": "1",
            "realm": "r",
            "algorithm": "SHA-256",
        }
    )

    challenge = auth.in_frame({"code": 401, "message": message})

    assert challenge is not None
    proof = challenge.frame("secret", "c")
    ha1 = auth.digest("admin:r:secret")
    ha2 = auth.digest("dummy_method:dummy_uri")
    assert proof["response"] == auth.digest(f"{ha1}:1725185413:1:c:auth:{ha2}")
    assert challenge.frame("secret", "c")["nc"] == 2


@pytest.mark.parametrize(
    "error",
    [
        None,
        {"code": 404, "message": "{}"},
        {"code": 401, "message": "no JSON"},
        {"code": 401, "message": "[]"},
        {"code": 401, "message": '{"realm": "r", "nonce": 1, "algorithm": "MD5"}'},
        {"code": 401, "message": '{"realm": "r", "nonce": [], "algorithm": "SHA-256"}'},
        {"code": 401, "message": '{"realm": "r", "nonce": 1, "nc": [], "algorithm": "SHA-256"}'},
    ],
)
def test_what_is_no_challenge_is_not_met(error: Any) -> None:
    assert auth.in_frame(error) is None


def test_a_challenge_in_a_header_is_read_with_and_without_quotes() -> None:
    text = 'Digest qop="auth", realm="shelly-1", nonce="17", algorithm=SHA-256, stale=true'

    challenge = auth.in_header(text)

    assert challenge == auth.Challenge("shelly-1", "17", 1, stale=True)
    assert auth.in_header(None) is None
    assert auth.in_header("Basic realm=x") is None
