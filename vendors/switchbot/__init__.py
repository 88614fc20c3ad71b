"""SwitchBot: smart locks behind the vendor's cloud (OpenAPI v1.1), polled and told by webhook."""

from typing import Final

from devices.kinds import LOCK
from vendors.api import Delivery, Vendor
from vendors.switchbot import adapter
from vendors.switchbot.settings import SwitchBotSettings

VENDOR: Final = Vendor(
    name="switchbot",
    title="SwitchBot locks, cloud API v1.1",
    kind=LOCK,
    settings=SwitchBotSettings,
    decoder=adapter.decoder,
    connect=adapter.connect,
    commands=adapter.COMMANDS,
    transports=("HTTPS", "webhook"),
    delivery=Delivery.PUSH_AND_POLL,
    # 50 locks on 10,000 calls a day: 720 s between two polls of a lock (`budget`), four times
    # as long when the quota runs low, 5 % of jitter, one retry, the reply. README: the formula.
    staleness_s=3_100,
    checked_by=(
        "switchbot-api 2.13.1",
        "OpenWonderLabs/SwitchBotAPI README 0214825b",
    ),
    simulator="vendors.switchbot.simulator",
)
