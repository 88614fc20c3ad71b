"""Who is told that the link is up or down, and how often: once."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from vendors.wire.mqtt import reason
from vendors.wire.mqtt.framing import LinkError
from vendors.wire.mqtt.settings import MqttSettings


class Link(NamedTuple):
    """Whether the broker lets us speak and hear all we asked for, and why, in words for people.

    `session_present`: the broker had kept our session, with what it holds for us.
    """

    up: bool
    reason: str
    session_present: bool


#: The end that we asked for: no outage, so nothing to log.
CLOSED: Final = LinkError("closed by us")


class Announcer:
    """Speaks through `on_link` for each new reason, and in the log once per outage."""

    def __init__(
        self,
        settings: MqttSettings,
        on_link: Callable[[Link], None] | None,
        log: Any,  # noqa: ANN401 -- structlog's own type
    ) -> None:
        self._settings = settings
        self._on_link = on_link
        self._log = log
        self._told = ""
        self._logged = False
        self._refusal_logged = False
        self._deaf = ""
        self._lowered: list[str] = []

    def up(self, lowered: list[str], *, session_present: bool) -> None:
        """The link is up, perhaps with some subscriptions at a lower quality than asked for."""
        text = f"connected, QoS 0 only: {', '.join(lowered)}" if lowered else "connected"
        if lowered and lowered != self._lowered:
            self._log.warning("mqtt.qos_lowered", filters=lowered)
        self._lowered = lowered
        self._told = self._deaf = ""
        self._logged = self._refusal_logged = False
        self._log.info("mqtt.link_up", session_present=session_present)
        self._say(Link(up=True, reason=text, session_present=session_present))

    def deaf(self, denials: list[str], *, session_present: bool) -> None:
        """There is a link, and the broker refused some of our subscriptions, for now or still."""
        text = f"connected, but without {', '.join(denials)}"
        if text != self._deaf:
            self._deaf = text
            self._log.error("mqtt.subscription_refused", reason=text)
        self._say_new(Link(up=False, reason=text, session_present=session_present))

    def down(self, error: Exception | None) -> None:
        """The link went, or an attempt failed: one of many, perhaps."""
        text = reason.explain(error, self._settings)
        if not self._logged and error is not CLOSED:
            self._logged = True
            self._log.warning("mqtt.link_down", reason=text)
        if not self._refusal_logged and reason.is_permanent(error):
            self._refusal_logged = True
            self._log.error("mqtt.refused", reason=text)
        self._say_new(Link(up=False, reason=text, session_present=False))

    def _say_new(self, link: Link) -> None:
        if link.reason != self._told:
            self._told = link.reason
            self._say(link)

    def _say(self, link: Link) -> None:
        if self._on_link is not None:
            self._on_link(link)
