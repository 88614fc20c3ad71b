"""Why a link is not there, in words an operator can act on."""

import socket
import ssl
from pathlib import Path
from typing import Final

from mqtt5 import (
    ConnAckPacket,
    ConnAckReasonCode,
    DisconnectPacket,
    DisconnectReasonCode,
    SubAckReasonCode,
)

from vendors.wire.mqtt.framing import LinkError
from vendors.wire.mqtt.settings import MqttSettings

# The codec's enums have no hash, so the sets hold numbers.
# Only a person heals these: asking again soon would fill the broker's log, or get us banned.
PERMANENT: Final = frozenset(
    code.value
    for code in (
        ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        ConnAckReasonCode.CLIENT_ID_NOT_VALID,
        ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD,
        ConnAckReasonCode.NOT_AUTHORIZED,
        ConnAckReasonCode.BANNED,
        ConnAckReasonCode.BAD_AUTHENTICATION_METHOD,
        ConnAckReasonCode.TOPIC_NAME_INVALID,
        ConnAckReasonCode.RETAIN_NOT_SUPPORTED,
        ConnAckReasonCode.QUALITY_NOT_SUPPORTED,
        ConnAckReasonCode.USE_ANOTHER_SERVER,
        ConnAckReasonCode.SERVER_MOVED,
    )
)
# The same after a DISCONNECT. "Taken over" is somebody else with our client id: two who both
# come back at once would throw each other out for ever.
PERMANENT_LEAVE: Final = frozenset(
    code.value
    for code in (
        DisconnectReasonCode.NOT_AUTHORIZED,
        DisconnectReasonCode.SESSION_TAKEN_OVER,
        DisconnectReasonCode.USE_ANOTHER_SERVER,
        DisconnectReasonCode.SERVER_MOVED,
    )
)


def refusal(packet: ConnAckPacket) -> LinkError:
    """`CONNACK 0x87 not authorized`, and what the broker adds to it."""
    code = packet.reason_code
    return LinkError(
        f"CONNACK {_words(code, packet.reason_str)}", permanent=code.value in PERMANENT
    )


def dismissal(packet: DisconnectPacket) -> LinkError:
    """`DISCONNECT 0x8e session taken over`, and what the broker adds to it."""
    code = packet.reason_code
    return LinkError(
        f"DISCONNECT {_words(code, packet.reason_str)}", permanent=code.value in PERMANENT_LEAVE
    )


def denial(pattern: str, code: SubAckReasonCode, added: str | None) -> str:
    """`door/# (SUBACK 0x87 not authorized)`, and what the broker adds to it."""
    return f"{pattern} (SUBACK {_words(code, added)})"


def _words(
    code: ConnAckReasonCode | DisconnectReasonCode | SubAckReasonCode, added: str | None
) -> str:
    text = f"0x{code.value:02x} {code.name.lower().replace('_', ' ')}"
    return f"{text} ({added})" if added else text


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """TLS as the settings ask for it, host name checked; None for a plain link.

    Read anew for each attempt, so that a renewed certificate needs no restart.

    Raises:
        LinkError: permanent; the message names the setting and the file.
    """
    if not settings.tls:
        return None
    _readable("ca_file", settings.ca_file)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except ssl.SSLError as error:
        raise LinkError(
            f"TLS: ca_file {settings.ca_file}: no PEM certificate in it", permanent=True
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file and settings.key_file:
        _readable("cert_file", settings.cert_file)
        _readable("key_file", settings.key_file)
        try:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except ssl.SSLError as error:
            raise LinkError(
                f"TLS: cert_file {settings.cert_file}, key_file {settings.key_file}:"
                f" {_ssl_words(error)}",
                permanent=True,
            ) from error
    return context


def password(settings: MqttSettings) -> bytes | None:
    """What the password file holds, without the newline that editors add.

    Raises:
        LinkError: permanent; the message names the setting and the file.
    """
    if settings.password_file is None:
        return None
    return _readable("password_file", settings.password_file).rstrip(b"\r\n")


def _readable(field: str, path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LinkError(f"{field} {path}: {error.strerror}", permanent=True) from error


def _ssl_words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def is_permanent(error: BaseException | None) -> bool:
    """Whether asking again soon is of no use."""
    return isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, LinkError) and error.permanent
    )


def explain(  # noqa: C901, PLR0911 -- a table of types
    error: BaseException | None, settings: MqttSettings
) -> str:
    """One line for `on_link` and the log; never a trace, never a secret."""
    where = settings.where
    match error:
        case None:
            return f"closed by the broker {where}"
        case LinkError():
            return str(error)
        case ssl.SSLCertVerificationError():
            ca = f", ca_file {settings.ca_file}" if settings.ca_file else ""
            return f"TLS: certificate verify failed: {error.verify_message} ({where}{ca})"
        case ssl.SSLError():
            hint = "" if settings.cert_file else " (no cert_file is set)"
            return f"TLS: {_ssl_words(error)} {where}{hint if 'cert' in _ssl_words(error) else ''}"
        case ConnectionRefusedError():
            return f"connection refused {where}"
        case TimeoutError():
            return f"no answer from {where} within {settings.connect_timeout_s} s"
        case socket.gaierror():
            return f"cannot resolve {settings.host}: {error.strerror}"
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return f"connection reset {where}"
        case OSError() if "Connect call failed" in str(error):
            # asyncio folds one failure per address into one text (localhost has two).
            refused = "Errno 111" in str(error) or "Errno 61" in str(error)
            return f"{'connection refused' if refused else 'cannot connect to'} {where}"
        case OSError():
            return error.strerror or str(error)
        case _:
            return f"{type(error).__name__}: {error}"
