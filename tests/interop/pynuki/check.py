"""pynuki, which Home Assistant uses, at a simulated bridge: its three ways in but the hashed one.

pynuki shows the token encrypted (`secure`) or plain; hashed tokens it does not know.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import requests
from kit import kit
from pynuki import NukiBridge
from pynuki.bridge import InvalidCredentialsException
from pynuki.exceptions import NukiUpdateException
from pynuki.utils import encrypt_token

bridge_settings = kit.about["settings"]["bridges"][0]
at = urlsplit(bridge_settings["url"])
assert at.hostname is not None
TOKEN: str = bridge_settings["token"]
DEVICES: list[str] = kit.about["devices"]
POSTED: Queue[dict[str, Any]] = Queue()


def bridge(token: str = TOKEN, *, secure: bool = True) -> NukiBridge:
    """A client that has logged in: pynuki asks `/info` for that."""
    return NukiBridge(at.hostname, token, at.port, secure=secure, timeout=15)


def lock_of(client: NukiBridge, device: str) -> Any:
    """The client's view of a lock, by its name on our bus."""
    return next(lock for lock in client.locks if f"{lock.nuki_id:08X}" == device)


def refused(call: Callable[[], Any], status: int) -> None:
    """The call must end with this status."""
    try:
        call()
    except requests.exceptions.HTTPError as error:
        met = error.response.status_code
    else:
        met = 200
    assert met == status, met


class Listener(BaseHTTPRequestHandler):
    """Keeps what the bridge posts."""

    def do_POST(self) -> None:
        """One callback."""
        POSTED.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


server = HTTPServer(("127.0.0.1", 0), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
CALLBACK = f"http://127.0.0.1:{server.server_port}/nuki"

with kit.check("an encrypted token logs in"):
    info = bridge().info()
    assert info["bridgeType"] == 1
    assert {f"{each['nukiId']:08X}" for each in info["scanResults"]} == set(DEVICES)

with kit.check("a plain token logs in"):
    assert bridge(secure=False).is_hardware_bridge

with kit.check("a wrong token is the client's own error, in both ways"):
    for secure in (True, False):
        try:
            bridge("wrong", secure=secure)
        except InvalidCredentialsException:
            continue
        raise AssertionError("logged in with a wrong token")

with kit.check("an encrypted token is good once"):
    proof = encrypt_token(bridge().tokendigest)
    url = f"{bridge_settings['url']}/info"
    answers = [requests.get(url, params=proof, timeout=5).status_code for _ in range(2)]
    assert answers == [200, 401], answers

with kit.check("the list holds every lock with its last state"):
    client = bridge()
    assert {f"{lock.nuki_id:08X}" for lock in client.locks} == set(DEVICES)
    assert client.openers == []
    for lock in client.locks:
        truth = kit.truth(f"{lock.nuki_id:08X}")
        assert lock.is_locked == (truth["lock_state"] == "Locked")
        assert lock.is_unlocked == (truth["lock_state"] == "Unlocked")
        assert lock.is_door_sensor_activated
        assert lock.battery_charge == truth["battery_pct"]
        assert lock.battery_critical is False
        assert lock.device_model_str.startswith("Nuki Smart Lock 3.0")

with kit.check("a lock that is asked itself answers the same"):
    lock = lock_of(bridge(), DEVICES[0])
    lock.update(aggressive=True)
    assert lock.is_locked == (kit.truth(DEVICES[0])["lock_state"] == "Locked")

with kit.check("a callback is registered once, listed, and three are all"):
    client = bridge()
    assert client.callback_add(CALLBACK)["success"] is True
    assert CALLBACK in [each["url"] for each in client.callback_list()["callbacks"]]
    for number in range(2):
        assert client.callback_add(f"{CALLBACK}/{number}")["success"] is True
    assert client.callback_add(f"{CALLBACK}/4")["success"] is False
    for _ in range(2):
        assert client.callback_remove(1)["success"] is True
    assert [each["url"] for each in client.callback_list()["callbacks"]] == [CALLBACK]

with kit.check("a lock that is told to act at once does so, and its end is posted"):
    lock = lock_of(bridge(), DEVICES[0])
    assert lock.unlock()["success"] is True
    kit.eventually(lambda: kit.truth(DEVICES[0])["lock_state"] == "Unlocked")
    posted = POSTED.get(timeout=15)
    lock.update_from_callback(posted)
    assert lock.is_unlocked
    assert posted["stateName"] == "unlocked"

with kit.check("a lock that is waited for is done when the bridge answers"):
    lock = lock_of(bridge(), DEVICES[0])
    assert lock.lock(block=True)["success"] is True
    assert kit.truth(DEVICES[0])["lock_state"] == "Locked"
    lock.update(aggressive=True)
    assert lock.is_locked

with kit.check("an unlatched door is seen while it is"):
    lock = lock_of(bridge(), DEVICES[0])
    lock.unlatch(block=True)
    lock.update(aggressive=True)
    assert lock.state == 5, lock.state

with kit.check("a jam is a jam"):
    kit.act(DEVICES[1], "fault:jam_self_heals")
    lock = lock_of(bridge(), DEVICES[1])
    lock.update(aggressive=True)
    assert lock.is_jammed, lock.state_name
    kit.act(DEVICES[1], "heal:jam_self_heals")

with kit.check("a lock without batteries is the client's own error"):
    kit.act(DEVICES[1], "fault:lock_off")
    lock = lock_of(bridge(), DEVICES[1])
    try:
        lock.update(aggressive=True)
    except NukiUpdateException:
        pass
    else:
        raise AssertionError("a lock that is off answered")
    kit.act(DEVICES[1], "heal:lock_off")

with kit.check("a lock without a last state is a lock without a state"):
    kit.act(DEVICES[1], "fault:no_last_state")
    assert lock_of(bridge(), DEVICES[1]).state is None
    kit.act(DEVICES[1], "heal:no_last_state")

with kit.check("a lock that nobody has is 404"):
    refused(lambda: bridge().lock_state(4_000_000_000), 404)

with kit.check("a bridge whose clock is off lets nobody in but the plain token"):
    before = bridge()
    kit.act(DEVICES[0], "fault:clock_skew")
    assert bridge(secure=False).info()["bridgeType"] == 1
    refused(before.list, 401)
    kit.act(DEVICES[0], "heal:clock_skew")
