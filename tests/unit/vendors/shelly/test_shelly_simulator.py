"""What a simulated Shelly says, when, and what it keeps to itself."""

import json
from random import Random
from typing import Any

import pytest

from devices.errors import ConfigError
from vendors.http import HttpReply, HttpRequest
from vendors.shelly import auth
from vendors.shelly.device import Shelly
from vendors.shelly.simulator import fleet, gateway_settings
from vendors.sim import Addresses, Effects, FleetSpec, HubEffects, Publish, WsClose, WsOpen, WsText

T0 = 1_767_225_600_000
NAME = "shelly-0001"


def device(seed: int = 1, *, on: bool = True, **options: object) -> Shelly:
    spec = FleetSpec(1, "shelly", T0, {"profile": "cover", **options})
    made = fleet(spec, lambda _: Random(seed))[0]
    if on:
        made.connected(T0)
    return made


def request(method: str, *, src: str | None = "me", id_: int = 1, **params: Any) -> bytes:
    frame = {"id": id_, "method": method, "params": params}
    return json.dumps(frame if src is None else {**frame, "src": src}).encode()


def call(it: Shelly, method: str, at_ms: int, **params: Any) -> dict[str, Any]:
    """One RPC over MQTT; the reply."""
    effects = it.receive(Publish(f"{NAME}/rpc", request(method, **params)), at_ms)
    replies = [m for m in effects.messages if isinstance(m, Publish) and m.topic == "me/rpc"]
    assert len(replies) == 1
    found: dict[str, Any] = json.loads(replies[0].payload)
    return found


def deltas(effects: Effects) -> list[dict[str, Any]]:
    """The cover's part of every notification."""
    frames = [
        json.loads(m.payload if isinstance(m, Publish) else m.text)
        for m in effects.messages
        if (isinstance(m, Publish) and m.topic.endswith("/events/rpc")) or isinstance(m, WsText)
    ]
    return [
        frame["params"]["cover:0"]
        for frame in frames
        if frame.get("method") == "NotifyStatus" and "cover:0" in frame["params"]
    ]


def run(it: Shelly, effects: Effects, until_ms: int) -> list[Effects]:
    """Wake it as often as it likes."""
    done = [effects]
    while effects.wake_at_ms is not None and effects.wake_at_ms <= until_ms:
        effects = it.wake(effects.wake_at_ms)
        done.append(effects)
    return done


def moved(it: Shelly, at_ms: int = T0 + 1_000, for_ms: int = 40_000) -> list[dict[str, Any]]:
    """The deltas of a movement to the other end."""
    state = call(it, "Cover.GetStatus", at_ms, id=0)["result"]["state"]
    method = "Cover.Close" if state == "open" else "Cover.Open"
    effects = it.receive(Publish(f"{NAME}/rpc", request(method, src=None, id=0)), at_ms)
    return [delta for each in run(it, effects, at_ms + for_ms) for delta in deltas(each)]


# --- over MQTT --------------------------------------------------------------------------------


def test_its_session_is_as_captured() -> None:
    session = device().session

    assert session is not None
    assert (session.keepalive_s, session.clean_session) == (60, True)
    assert session.will == Publish(f"{NAME}/online", b"false", qos=0, retain=True)


def test_after_a_connect_it_says_that_it_is_there_and_no_more() -> None:
    effects = device(on=False).connected(T0)

    assert effects.messages == (Publish(f"{NAME}/online", b"true", retain=True),)


def test_a_movement_is_told_at_its_beginning_and_at_its_end_and_not_on_the_way() -> None:
    told = moved(device())

    states = [delta["state"] for delta in told if "state" in delta]
    assert len(states) == 2
    assert [delta for delta in told if "current_pos" in delta] == [told[-1]]
    assert told[-1]["source"] == "limit_switch"
    assert "move_timeout" in told[0]


def test_an_error_that_is_over_is_told_to_nobody_and_gone_from_the_status() -> None:
    it = device()
    began = it.act("cross_beam", T0 + 1_000)
    over = run(it, began, T0 + 60_000)[1:]

    assert deltas(began) == [{"id": 0, "errors": ["safety_switch"]}]
    assert [delta for each in over for delta in deltas(each)] == []
    assert "errors" not in call(it, "Cover.GetStatus", T0 + 61_000, id=0)["result"]


def test_a_cover_does_not_close_on_a_blocked_eye() -> None:
    it = device()
    moved(it)
    if call(it, "Cover.GetStatus", T0 + 60_000, id=0)["result"]["state"] == "closed":
        moved(it, T0 + 61_000)
    it.act("cross_beam", T0 + 120_000)

    assert call(it, "Cover.Close", T0 + 120_500, id=0)["error"]["code"] == -109


def test_positions_are_refused_while_none_is_known() -> None:
    it = device()
    it.act("fault:position_lost", T0 + 1_000)

    error = call(it, "Cover.GoToPosition", T0 + 2_000, id=0, pos=50)["error"]

    assert error["message"] == "Precondition failed: Current position unknown!"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("Cover.Fly", {"id": 0}, 404),
        ("Cover.Open", {"id": 3}, -105),
        ("Cover.Open", {}, -103),
        ("Cover.Open", {"id": 0, "duration": "x"}, -103),
        ("Cover.GoToPosition", {"id": 0, "pos": 101}, -103),
        ("Input.GetStatus", {"id": 2}, -105),
    ],
)
def test_refusals_have_their_codes(method: str, params: dict[str, Any], code: int) -> None:
    assert call(device(), method, T0 + 1_000, **params)["error"]["code"] == code


def test_what_is_no_request_is_borne_in_silence() -> None:
    it = device()

    for payload in (b"", b"\xff", b"[]", b'{"id": 1}', b'{"method": 3}', b"open"):
        assert it.receive(Publish(f"{NAME}/rpc", payload), T0 + 1).messages == ()


@pytest.mark.parametrize("profile", ["cover", "opener"])
def test_plain_commands_do_as_they_say(profile: str) -> None:
    it = device(profile=profile)
    control = "cover:0" if profile == "cover" else "switch:0"
    words = (b"pos,50", b"stop", b"pos,", b"fly", b"\xff") if profile == "cover" else (b"on",)

    for number, word in enumerate(words):
        effects = it.receive(Publish(f"{NAME}/command/{control}", word), T0 + 1_000 + number)
        assert bool(effects.messages) == (word in (b"pos,50", b"on", b"stop"))
    told = it.receive(Publish(f"{NAME}/command", b"status_update"), T0 + 5_000)
    assert f"{NAME}/status/{control}" in {m.topic for m in told.messages if isinstance(m, Publish)}


def test_calibration_ends_at_the_top_with_a_position() -> None:
    it = device()
    it.act("fault:uncalibrated", T0 + 500)
    began = it.receive(Publish(f"{NAME}/rpc", request("Cover.Calibrate", id=0)), T0 + 1_000)
    assert call(it, "Cover.SetConfig", T0 + 2_000, id=0, config={})["error"]["code"] == -109
    run(it, it.wake(T0 + 2_000), T0 + 120_000)

    status = call(it, "Cover.GetStatus", T0 + 121_000, id=0)["result"]

    assert began.messages
    assert (status["state"], status["current_pos"]) == ("open", 100)


def test_a_door_whose_cover_says_closed_when_its_time_is_up_is_not_known_to_be() -> None:
    it = device()
    it.act("fault:uncalibrated", T0 + 500)
    began = it.act("left_open", T0 + 1_000)
    ended = run(it, began if began.truths else it.act("close_up", T0 + 1_000), T0 + 40_000)

    truths = [truth for each in ended for truth in each.truths if truth.key == "position"]
    assert deltas(ended[-1])[-1]["source"] == "timeout"
    assert (truths[-1].value, truths[-1].sent) == (None, True)


@pytest.mark.parametrize("status_ntf", [False, True])
def test_closed_without_switch_or_position_is_told_as_unknown(status_ntf: bool) -> None:
    it = device(status_ntf=status_ntf)
    assert call(it, "Cover.GetStatus", T0 + 1_000, id=0)["result"]["state"] == "closed"
    run(it, it.act("wall_switch", T0 + 2_000), T0 + 4_000)
    it.act("close_up", T0 + 4_000)
    run(it, it.wake(T0 + 4_500), T0 + 5_500)
    blocked = it.act("push_against", T0 + 6_100)  # it is down, and the switch not yet seen

    (delta,) = deltas(blocked)
    assert (delta["state"], delta["source"]) == ("closed", "obstruction")
    assert "current_pos" not in delta  # 0 is what it told last
    truths = [(each.value, each.sent) for each in blocked.truths if each.key == "position"]
    assert truths == [(None, True), ("FullyClosed", status_ntf)]


@pytest.mark.parametrize("fault", ["no_reconnect", "drop_loop", "reboot"])
def test_a_device_that_drops_leaves_its_will_and_hears_nothing(fault: str) -> None:
    it = device()
    dropped = run(it, it.act(f"fault:{fault}", T0 + 1_000), T0 + 1_000)
    topics = [m for each in dropped for m in each.messages if isinstance(m, Publish)]

    assert topics == [Publish(f"{NAME}/online", b"false", qos=0, retain=True)]
    assert it.receive(Publish(f"{NAME}/rpc", request("RPC.Ping")), T0 + 1_001).messages == ()


def test_a_bouncing_reed_says_closed_open_closed() -> None:
    it = device(profile="opener", seed=3)
    it.act("fault:reed_bounce", T0 + 500)
    it.act("close_up", T0 + 600)
    effects = it.act("left_open", T0 + 60_000)
    run(it, effects, T0 + 110_000)
    closing = it.act("close_up", T0 + 120_000)

    words = [
        json.loads(m.payload)["params"]["input:0"]["state"]
        for each in run(it, closing, T0 + 200_000)
        for m in each.messages
        if isinstance(m, Publish) and b'"input:0"' in m.payload and b"Notify" in m.payload
    ]

    assert words == [True, False, True]


def test_a_relay_lets_go_by_itself() -> None:
    it = device(profile="opener")
    held = call(it, "Switch.Set", T0 + 1_000, id=0, on=True, toggle_after=0.3)
    again = call(it, "Switch.Set", T0 + 1_100, id=0, on=True, toggle_after=0.3)
    it.wake(T0 + 1_400)

    assert (held["result"], again["result"]) == ({"was_on": False}, {"was_on": True})
    assert call(it, "Switch.GetStatus", T0 + 1_500, id=0)["result"]["output"] is False


# --- as a server ------------------------------------------------------------------------------


def hub(**options: object) -> tuple[Shelly, Any]:
    it = device(transport="websocket", **options)
    assert it.hub is not None
    return it, it.hub


def said(effects: HubEffects) -> list[WsText]:
    return [m for each in effects.devices.values() for m in each.messages if isinstance(m, WsText)]


def test_a_websocket_is_told_nothing_before_it_asked_something_with_a_src() -> None:
    it, door = hub()
    for peer in ("quiet", "nameless", "asking"):
        door.receive(WsOpen(peer, HttpRequest("GET", "/rpc")), T0 + 1)
    door.receive(WsText("nameless", request("RPC.Ping", src=None).decode()), T0 + 2)
    door.receive(WsText("asking", request("RPC.Ping").decode()), T0 + 2)

    effects = it.act("wall_switch", T0 + 1_000)

    assert [m.peer for m in effects.messages if isinstance(m, WsText)] == ["asking"]


def test_a_seventh_websocket_is_refused_and_so_is_another_path() -> None:
    _, door = hub()
    answers = [
        door.receive(WsOpen(str(number), HttpRequest("GET", "/rpc")), T0).answer
        for number in range(7)
    ]
    door.receive(WsClose("0"), T0)

    assert answers[:6] == [None] * 6
    assert answers[6] is not None
    assert door.receive(WsOpen("8", HttpRequest("GET", "/rpc")), T0).answer is None
    assert door.receive(WsOpen("9", HttpRequest("GET", "/ws")), T0).answer == HttpReply(404)


def http(door: Any, method: str, path: str, body: bytes = b"", **more: Any) -> HttpReply:
    answer = door.receive(HttpRequest(method, path, body=body, **more), T0 + 1_000).answer
    assert answer is not None
    found: HttpReply = answer
    return found


def test_http_has_its_four_ways_in() -> None:
    _, door = hub()
    by_get = http(door, "GET", "/rpc/Cover.GetStatus", query=(("id", "0"),))
    by_post = http(door, "POST", "/rpc/Cover.GetStatus", b'{"id": 0}')
    by_frame = http(door, "POST", "/rpc", request("Cover.GetStatus", id=0))

    assert json.loads(by_get.body) == json.loads(by_post.body)
    assert json.loads(by_frame.body)["result"] == json.loads(by_get.body)
    assert json.loads(http(door, "GET", "/shelly").body)["auth_en"] is False
    assert http(door, "GET", "/rpc/No.Such").status == 404
    assert http(door, "GET", "/rpc/Cover.GetStatus", query=(("id", "5"),)).status == 500
    assert http(door, "POST", "/rpc", b"no frame").status == 500
    assert http(door, "GET", "/favicon.ico").status == 404


def test_a_password_is_asked_of_all_but_who_asks_what_it_is() -> None:
    _, door = hub(password="secret")
    body = request("Cover.GetStatus", id=0)
    refused = http(door, "POST", "/rpc", body)
    challenge = auth.in_header(refused.header("www-authenticate"))

    assert refused.status == 401
    assert challenge is not None
    for password, status in (("wrong", 401), ("secret", 200), ("secret", 200)):
        proof = challenge.header(password, "c", "POST", "/rpc")
        found = http(door, "POST", "/rpc", body, headers={"authorization": proof})
        assert found.status == status
    replayed = http(door, "POST", "/rpc", body, headers={"authorization": proof})
    assert replayed.status == 401
    assert http(door, "GET", "/shelly").status == 200
    assert http(door, "GET", "/rpc/Shelly.GetDeviceInfo").status == 200


def test_while_its_websocket_hangs_http_works() -> None:
    it, door = hub()
    door.receive(WsOpen("a", HttpRequest("GET", "/rpc")), T0)
    it.act("fault:ws_rpc_hangs", T0 + 1)

    assert said(door.receive(WsText("a", request("RPC.Ping").decode()), T0 + 2)) == []
    assert http(door, "POST", "/rpc", request("RPC.Ping")).status == 200


def test_without_power_nobody_answers() -> None:
    _, door = hub()
    door.disconnected(T0 + 1)

    assert door.receive(HttpRequest("GET", "/shelly"), T0 + 2).answer is None


# --- fleets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"transport": "udp"}, {"profile": 1}, {"password": 7}, {"status_ntf": "yes"}, {"colour": 1}],
)
def test_options_that_make_no_sense_are_named(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        fleet(FleetSpec(1, "shelly", T0, options), lambda _: Random(1))


def test_a_gateway_is_told_how_each_device_is_wired() -> None:
    spec = FleetSpec(4, "shelly", T0, {})

    settings = gateway_settings(spec, Addresses("mqtt://broker.example"))

    assert settings["openers"] == {
        "shelly-0002": {"closed_input": 0, "open_input": 1},
        "shelly-0004": {"closed_input": 0, "open_input": None},
    }
