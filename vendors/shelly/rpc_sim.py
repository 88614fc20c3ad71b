"""The RPC core of a simulated device: one, whatever carries the frames; pure.

MQTT, WebSocket, HTTP ─► frame ─► [auth] ─► method ─► frame

Source: shelly-api-docs.shelly.cloud/gen2 General/RPCProtocol, RPCChannels, Authentication;
the challenge as captured (aioshelly ea7a88f); paths of HTTP from RPCChannels.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from vendors.http import HttpReply, HttpRequest
from vendors.shelly import auth
from vendors.shelly.profile import NO_HANDLER, Method, Profile, RpcError, Status

_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_METHOD_FAILED: Final = 500
_OPEN_TO_ALL: Final = "Shelly.GetDeviceInfo"
# A device takes a while over everything; constant, so that who asks changes nobody's chance.
_DELAY_MS: Final = 15
_GEN: Final = 3
_FW: Final = "20250508-110823/1.6.1-g8dbd358"
_RAM: Final = {"ram_size": 257_424, "ram_free": 81_764, "ram_min_free": 63_092}
_FS: Final = {"fs_size": 917_504, "fs_free": 430_080}
_JSON: Final = (("Content-Type", "application/json"),)
_KEEP_NONCES: Final = 32


class RpcCore:
    """What a device answers.

    Args:
        device_id: `shelly2pmg3-<mac>`, also the realm.
        name: as its owner calls it; also its topic prefix.
        profile: the components of its door.
        password: of user admin; None: it asks nobody.
        mqtt: whether a broker is configured.
        faults: those that are active; the device's own set.
    """

    firmware = "1.6.1"

    def __init__(  # noqa: PLR0913 -- by keyword
        self,
        *,
        device_id: str,
        name: str,
        profile: Profile,
        password: str | None,
        mqtt: bool,
        status_ntf: bool,
        faults: set[str],
    ) -> None:
        self.device_id = device_id
        self._name = name
        self._profile = profile
        self._password = password
        self._mqtt = mqtt
        self._status_ntf = status_ntf
        self._faults = faults
        self._ha1 = auth.digest(f"{auth.USER}:{device_id}:{password}")
        #: Nonce to the last count that was proven with it.
        self._nonces: dict[str, int] = {}
        self._nonce = 0
        self.booted_ms = 0
        self._methods: Mapping[str, Method] = {
            **profile.methods(),
            "Shelly.GetDeviceInfo": lambda _p, _s, _n: self.info(),
            "Shelly.GetStatus": lambda _p, _s, now_ms: self.status(now_ms),
            "Shelly.GetConfig": lambda _p, _s, _n: self.config(),
            "Shelly.GetComponents": self._components,
            "Shelly.ListMethods": lambda _p, _s, _n: {"methods": sorted(self._methods)},
            "Sys.GetStatus": lambda _p, _s, now_ms: self.status(now_ms)["sys"],
            "Sys.GetConfig": lambda _p, _s, _n: self.config()["sys"],
            "Mqtt.GetStatus": lambda _p, _s, _n: {"connected": self._mqtt},
            "Mqtt.GetConfig": lambda _p, _s, _n: self.config()["mqtt"],
            "WS.GetStatus": lambda _p, _s, _n: {"connected": False},
            "RPC.Ping": lambda _p, _s, _n: None,
        }

    # --- what it is ---------------------------------------------------------------------------

    @property
    def _mac(self) -> str:
        return self.device_id.rpartition("-")[2].upper()

    def info(self) -> Status:
        """`Shelly.GetDeviceInfo`, and `/shelly`: for everybody."""
        locked = self._password is not None
        info: Status = {
            "name": self._name,
            "id": self.device_id,
            "mac": self._mac,
            "slot": 0,
            "model": self._profile.model,
            "gen": _GEN,
            "fw_id": _FW,
            "ver": self.firmware,
            "app": self._profile.app,
            "auth_en": locked,
            "auth_domain": self.device_id if locked else None,
            "matter": False,
        }
        if self._profile.profile is not None:
            info["profile"] = self._profile.profile
        return info

    def status(self, now_ms: int) -> Status:
        """Everything, as it is now."""
        return {
            "ble": {},
            "cloud": {"connected": False},
            **self._profile.status(now_ms),
            "mqtt": {"connected": self._mqtt},
            "sys": {
                "mac": self._mac,
                "restart_required": False,
                "unixtime": now_ms // 1_000,
                "uptime": max(0, now_ms - self.booted_ms) // 1_000,
                **_RAM,
                **_FS,
                "cfg_rev": 9,
                "kvs_rev": 0,
                "schedule_rev": 0,
                "webhook_rev": 0,
                "available_updates": {},
                "reset_reason": 3,
            },
            "wifi": {"sta_ip": "192.0.2.24", "status": "got ip", "ssid": "garage", "rssi": -53},
            "ws": {"connected": False},
        }

    def config(self) -> Status:
        """As recorded, without what has nothing to do with a door."""
        return {
            "ble": {"enable": True, "rpc": {"enable": True}},
            "cloud": {"enable": False, "server": None},
            **self._profile.config(),
            "mqtt": {
                "enable": self._mqtt,
                "server": None,
                "client_id": self._name,
                "user": None,
                "ssl_ca": None,
                "topic_prefix": self._name,
                "rpc_ntf": True,
                "status_ntf": self._status_ntf,
                "use_client_cert": False,
                "enable_rpc": True,
                "enable_control": True,
            },
            "sys": {
                "device": {
                    "name": self._name,
                    "mac": self._mac,
                    "fw_id": _FW,
                    "discoverable": True,
                    "eco_mode": False,
                    "profile": self._profile.profile,
                },
                "location": {"tz": "Etc/UTC", "lat": 0.0, "lon": 0.0},
                "debug": {"websocket": {"enable": False}},
                "cfg_rev": 9,
            },
            "wifi": {"sta": {"ssid": "garage", "enable": True, "ipv4mode": "dhcp"}},
            "ws": {"enable": False, "server": None, "ssl_ca": "ca.pem"},
        }

    def _components(self, params: Mapping[str, Any], _source: str, _now_ms: int) -> Status:
        """No dynamic ones; `total` and `components` are always there."""
        offset = params.get("offset", 0)
        return {"components": [], "cfg_rev": 9, "offset": offset, "total": 0}

    # --- frames -------------------------------------------------------------------------------

    def answer(self, payload: bytes, source: str, now_ms: int) -> tuple[str, bytes] | None:
        """(source of the request, reply) of a frame; None if it is no request.

        Args:
            payload: the request.
            source: how it came (`MQTT`, `WS_in`), as components tell it later. MQTT needs no
                password.
            now_ms: Unix ms.
        """
        try:
            asked = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return None
        src, params = asked.get("src"), asked.get("params")
        reply: dict[str, Any] = {"id": asked.get("id"), "src": self.device_id}
        if src is not None:
            reply["dst"] = src
        challenge = None
        if source != "MQTT" and asked["method"] != _OPEN_TO_ALL:
            challenge = self._unproven(asked.get("auth"), now_ms)
        if challenge is not None:
            reply["error"] = {"code": _UNAUTHORIZED, "message": orjson.dumps(challenge).decode()}
        else:
            reply |= self._called(asked["method"], params, source, now_ms)
        return str(src or ""), orjson.dumps(reply)

    def _called(self, method: str, params: object, source: str, now_ms: int) -> Mapping[str, Any]:
        found = self._methods.get(method)
        try:
            if found is None:
                raise RpcError(NO_HANDLER, f"No handler for {method}")  # noqa: TRY301 -- as others
            given = params if isinstance(params, Mapping) else {}
            return {"result": found(given, source, now_ms)}
        except RpcError as error:
            return {"error": {"code": error.code, "message": error.message}}

    # --- authentication -----------------------------------------------------------------------

    def _unproven(
        self, proof: object, now_ms: int, ha2_of: str = "dummy_method:dummy_uri"
    ) -> Mapping[str, object] | None:
        """A challenge, unless the proof is good. A count serves once and only upwards."""
        if self._password is None:
            return None
        stale = False
        if isinstance(proof, Mapping):
            nonce, count = str(proof.get("nonce")), str(proof.get("nc"))
            wanted = auth.response_to(self._ha1, nonce, count, str(proof.get("cnonce")), ha2_of)
            known = proof.get("username") == auth.USER and proof.get("response") == wanted
            try:
                number = int(count, 16 if len(count) == 8 else 10)  # noqa: PLR2004 -- RFC 7616
            except ValueError:
                number = 0
            fresh = nonce in self._nonces and number > self._nonces[nonce]
            if known and fresh:
                self._nonces[nonce] = number
                if "stale_nonce" in self._faults:
                    del self._nonces[nonce]
                return None
            stale = known
        self._nonce = max(self._nonce + 1, now_ms // 1_000)
        self._nonces[str(self._nonce)] = 0
        while len(self._nonces) > _KEEP_NONCES:
            del self._nonces[next(iter(self._nonces))]
        challenge: dict[str, object] = {
            "auth_type": "digest",
            "nonce": self._nonce,
            "nc": 1,
            "realm": self.device_id,
            "algorithm": "SHA-256",
        }
        return challenge | {"stale": True} if stale else challenge

    # --- HTTP ---------------------------------------------------------------------------------

    def http(self, request: HttpRequest, now_ms: int) -> HttpReply:
        """`/shelly`, `/rpc`, `/rpc/<Method>`."""
        if request.path == "/shelly":
            return _json(200, self.info())
        if request.path != "/rpc" and not request.path.startswith("/rpc/"):
            return HttpReply(_NOT_FOUND, delay_ms=_DELAY_MS)
        method = request.path.removeprefix("/rpc").removeprefix("/")
        if method != _OPEN_TO_ALL:
            header = auth.pairs(request.headers.get("authorization", ""))
            uri = header.get("uri", "")
            challenge = self._unproven(header or None, now_ms, f"{request.method}:{uri}")
            if challenge is not None:
                return _challenged(challenge)
        if not method:
            return self._posted(request.body, now_ms)
        if request.method == "GET":
            params: object = {name: _value(text) for name, text in request.query}
        else:
            params = _loads(request.body or b"{}")
        said = self._called(method, params, "HTTP_in", now_ms)
        if "error" not in said:
            return _json(200, said["result"])
        status = _NOT_FOUND if said["error"]["code"] == NO_HANDLER else _METHOD_FAILED
        return _json(status, said["error"])

    def _posted(self, body: bytes, now_ms: int) -> HttpReply:
        asked = _loads(body)
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return _json(_METHOD_FAILED, {"code": -103, "message": "Invalid frame"})
        said = self._called(asked["method"], asked.get("params"), "HTTP_in", now_ms)
        frame = {"id": asked.get("id"), "src": self.device_id, "dst": asked.get("src"), **said}
        return _json(200, frame)


def _challenged(challenge: Mapping[str, object]) -> HttpReply:
    words = (
        f'Digest qop="auth", realm="{challenge["realm"]}", nonce="{challenge["nonce"]}", '
        f"algorithm=SHA-256"
    )
    if challenge.get("stale"):
        words += ", stale=true"
    return HttpReply(_UNAUTHORIZED, b"", (("WWW-Authenticate", words),), _DELAY_MS)


def _json(status: int, said: object) -> HttpReply:
    return HttpReply(status, orjson.dumps(said), _JSON, _DELAY_MS)


def _loads(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _value(text: str) -> object:
    """`id=0&on=true`: JSON where it is some, else text."""
    found = _loads(text.encode())
    return text if found is None and text != "null" else found
