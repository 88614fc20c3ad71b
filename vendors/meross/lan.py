"""Asking each unit at its own address: `POST /config`, plain or encrypted.

One connection at a time is advised (meross_lan#206). Answers of more than 2 to 4 kB are cut off by
the unit, depending on the model, so that they are no JSON: a dead letter, and no answer.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from vendors.api import Frame, HostStanding, Port
from vendors.meross import envelope as envelopes
from vendors.meross.envelope import Envelope
from vendors.meross.lan_crypto import decrypted, encrypted, lan_key
from vendors.meross.settings import MerossDevice, MerossSettings
from vendors.meross.way import SIGN_ERROR, Question, error_code
from vendors.wire.errors import NoReplyError
from vendors.wire.http import HostLimits, HttpHost

_OK: Final = 200
_ATTEMPTS: Final = 2


class LanWay:
    """A `Way` over HTTP."""

    def __init__(self, settings: MerossSettings, key: str | None, port: Port) -> None:
        self._key = key
        self._port = port
        limits = HostLimits(
            timeout_ms=settings.reply_timeout_ms, attempts_max=_ATTEMPTS, concurrency_max=1
        )
        self._hosts = {
            device.uuid: HttpHost(device.url, limits, rng=port.rng, network=port.network)
            for device in settings.devices
        }
        self._lan_keys = {
            device.uuid: _lan_key(device, key) for device in settings.devices if device.encrypted
        }

    async def run(self) -> None:
        """Let go of the connections in the end."""
        try:
            await asyncio.Event().wait()
        finally:
            for host in self._hosts.values():
                await host.close()

    def hosts(self) -> Iterable[HostStanding]:
        """Each unit is one."""
        return [host.standing for host in self._hosts.values()]

    async def ask(self, question: Question, until_ms: int) -> Envelope:
        """See `Way.ask`."""
        uuid, now_ms = question.uuid, self._port.now_ms()
        lan_key = self._lan_keys.get(uuid)
        body = question.body if lan_key is None else encrypted(question.body, lan_key)
        reply = await self._hosts[uuid].request(
            "POST",
            "/config",
            idempotent=not question.moves,
            headers={"Content-Type": "application/json"},
            body=body,
            within_ms=max(1, until_ms - now_ms),
        )
        if reply.status != _OK:
            raise NoReplyError(f"status {reply.status}")
        answer = reply.body
        if lan_key is not None:
            # What cannot be decrypted is kept as it came; the codec will not read it.
            with suppress(ValueError):
                answer = decrypted(answer, lan_key)
        frame = Frame(f"http/{uuid}/config", answer, now_ms)
        try:
            envelope = envelopes.read(answer)
        except ValueError as error:
            self._port.offer([frame], None)
            raise NoReplyError(str(error)) from error
        if envelope.message_id != question.message_id or envelope.uuid != uuid:
            raise NoReplyError("an answer to something else")
        self._port.offer([frame], None)
        if self._key is None or envelopes.genuine(envelope, self._key):
            return envelope
        if error_code(envelope) == SIGN_ERROR:
            return envelope
        raise NoReplyError("an answer that is not signed with our key")


def _lan_key(device: MerossDevice, key: str | None) -> bytes:
    return lan_key(device.uuid, key or "", device.mac)
