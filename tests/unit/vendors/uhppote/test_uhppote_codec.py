"""What the samples do not show: clocks and zones, doors, records, and what is refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from vendors.api import Frame
from vendors.uhppote import VENDOR, codec, packets
from vendors.uhppote.settings import UhppoteSettings

SERIAL = 405_419_896
BERLIN = ZoneInfo("Europe/Berlin")
PANEL = {"serial": SERIAL, "address": "192.168.1.100"}


def local(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[misc]  # noqa: DTZ001 -- panels know no zone


@pytest.mark.parametrize(
    ("zone", "at", "expected"),
    [
        (UTC, local(2026, 1, 1, 0, 0, 0), 1_767_225_600_000),
        (BERLIN, local(2026, 1, 1, 1, 0, 0), 1_767_225_600_000),
        (BERLIN, local(2026, 7, 1, 2, 0, 0), 1_782_864_000_000),
        (BERLIN, local(2025, 10, 26, 2, 30, 0), None),  # lived twice
        (BERLIN, local(2025, 3, 30, 2, 30, 0), None),  # skipped
        (BERLIN, local(1, 1, 1, 0, 0, 0), None),  # before the calendar, in UTC
        (UTC, None, None),
    ],
)
def test_local_time_is_unix_time_where_it_can_be(zone, at, expected):
    assert codec.unix_ms(at, zone) == expected


def test_what_comes_from_elsewhere_is_nothing_of_ours():
    decode = codec.decoder(UTC, {})

    for source in ("", "udp/", "udp/0", "udp/x", "udp/1/live/3", "nuki/1", f"udp/{SERIAL}/live/1-"):
        assert decode(Frame(source, b"", 0)) == ()


def test_a_record_keeps_its_own_time_and_its_key_has_no_zone():
    at = local(2026, 7, 1, 2, 0, 0)
    values = {"index": 7, "type": 2, "granted": True, "door": 1, "at": at, "reason": 23}
    packet = packets.pack(packets.EVENT, SERIAL, packets.REPLIES[packets.EVENT], values)

    (berlin,) = codec.decoder(BERLIN, {})(Frame(f"udp/{SERIAL}/live", packet, 0))
    (utc,) = codec.decoder(UTC, {})(Frame(f"udp/{SERIAL}/buffered", packet, 0))

    assert (berlin.observed_at_ms, berlin.buffered) == (1_782_864_000_000, False)
    assert (utc.observed_at_ms, utc.buffered) == (1_782_871_200_000, True)
    assert berlin.vendor_key == utc.vendor_key == "7-20260701020000"


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "panels"),
        ({"panels": []}, "at least 1"),
        ({"panels": [{**PANEL, "serial": 0}]}, "serial"),
        ({"panels": [{**PANEL, "address": "panel.example"}]}, "panel.example"),
        ({"panels": [{**PANEL, "address": "::1"}]}, "address"),
        ({"panels": [{**PANEL, "address": "192.168.1.1:x"}]}, "port"),
        ({"panels": [{**PANEL, "address": "192.168.1.1:65536"}]}, "port"),
        ({"panels": [{**PANEL, "doors": 5}]}, "doors"),
        ({"panels": [{**PANEL, "doors": 2, "contacts": [3]}]}, "doors 1 to 2"),
        ({"panels": [PANEL, PANEL]}, "listed twice"),
        ({"panels": [PANEL], "timezone": "Mars/Olympus"}, "Europe/Berlin"),
        ({"panels": [PANEL], "timezone": "../../etc/passwd"}, "Europe/Berlin"),
        ({"panels": [PANEL], "listener": "192.168.1.2:99999"}, "port"),
        ({"panels": [PANEL], "poll_ms": 1}, "poll_ms"),
        ({"panels": [PANEL], "pol_ms": 1000}, "pol_ms"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_place(settings, said):
    with pytest.raises(ValidationError, match=said):
        UhppoteSettings.model_validate(settings)


def test_a_panel_has_port_60000_four_doors_and_a_contact_at_each_unless_told_otherwise():
    settings = UhppoteSettings.model_validate({"panels": [PANEL]})

    assert settings.panels[0].wired == codec.Doors(4, frozenset({1, 2, 3, 4}))
    assert settings.listener is None
    assert settings.zone is UTC


def test_the_settings_have_a_schema_with_a_word_to_each():
    properties = VENDOR.settings.model_json_schema()["properties"]

    assert all(each.get("description") for each in properties.values())
