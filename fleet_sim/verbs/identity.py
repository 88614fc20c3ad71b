"""What subcommands that speak to somebody's broker share: where it is, and who we are to it."""

import argparse
from typing import TYPE_CHECKING, Final

from devices.errors import ConfigError

if TYPE_CHECKING:
    from vendors.wire.mqtt import MqttSettings

#: Named as in the configuration of a gateway.
_IDENTITY: Final = {
    "username": "user name, if the broker wants one",
    "password_file": "file that holds the password",
    "ca_file": "PEM file of the broker's CA",
    "cert_file": "PEM file of our certificate",
    "key_file": "PEM file of our private key",
}


def arguments(sub: "argparse._ActionsContainer") -> None:
    """The options of who we are to the broker."""
    for name, what in _IDENTITY.items():
        flag = "--" + name.replace("_", "-")
        metavar = "FILE" if name.endswith("_file") else "NAME"
        sub.add_argument(flag, default="", metavar=metavar, help=what)


def settings(options: argparse.Namespace) -> "MqttSettings":
    """The broker as the options say it.

    Raises:
        ConfigError: with every mistake.
    """
    from pydantic import ValidationError

    from vendors.wire.mqtt import MqttSettings

    given = {key: getattr(options, key) for key in _IDENTITY if getattr(options, key)}
    try:
        return MqttSettings(url=options.broker, **given)
    except ValidationError as failure:
        raise ConfigError(
            tuple(
                f"--{_place(error['loc'])} {options.broker!r}:"
                f" {error['msg'].removeprefix('Value error, ')}; write mqtt://host:port"
                for error in failure.errors()
            )
        ) from failure


def _place(place: tuple[int | str, ...]) -> str:
    return "broker" if not place or place == ("url",) else str(place[0]).replace("_", "-")
