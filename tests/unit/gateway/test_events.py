from devices.closure import Position
from devices.kinds import CLOSURE
from devices.reading import Happening, Provenance, Reading
from devices.twin import Twin
from gateway.events import Announcer, base_36, rfc3339
from gateway.schemas import Schemas

ANNOUNCER = Announcer(vendor="toy", kind="closure", epoch_ms=36**7, started_at_ms=0x1234)
SOURCE = "/doorfleet/home/toy/door%201"


def changes(*readings, at_ms=1_700_000_000_123):
    twin = Twin("door 1", CLOSURE)
    return twin.fold(
        [
            Reading("door 1", axis, value, Provenance.REPORT, None, reason)
            for axis, value, reason in readings
        ],
        at_ms,
    )


def test_a_change_is_a_whole_cloud_event():
    event = ANNOUNCER.changed(
        "door 1",
        SOURCE,
        42,
        changes(("position", Position.FULLY_CLOSED, None), ("light", None, "boot")),
        1_700_000_000_123,
        7,
        9,
    )

    assert event == {
        "specversion": "1.0",
        "id": "10000000-0000000000000042",
        "source": SOURCE,
        "type": "doorfleet.closure.changed.v1",
        "time": "2023-11-14T22:13:20.123Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:doorfleet:schema:closure.changed:1",
        "sequence": "0000000000000042",
        "traceparent": "00-00000000000012340000000000000007-0000000000000009-01",
        "data": {
            "device": "door 1",
            "vendor": "toy",
            "kind": "closure",
            "changes": {
                "position": {
                    "value": "FullyClosed",
                    "was": None,
                    "provenance": "report",
                    "received_at_ms": 1_700_000_000_123,
                    "jumped": False,
                },
                "light": {
                    "value": None,
                    "was": None,
                    "provenance": "report",
                    "received_at_ms": 1_700_000_000_123,
                    "jumped": False,
                    "reason": "boot",
                },
            },
        },
    }
    assert Schemas().fault("closure.changed", event) == ""


def test_an_axis_told_twice_in_a_frame_says_what_it_was_before_the_frame():
    event = ANNOUNCER.changed(
        "d",
        SOURCE,
        1,
        changes(("light", "On", None), ("light", "Off", None)),
        5,
        1,
        1,
    )

    change = event["data"]["changes"]["light"]
    assert (change["value"], change["was"]) == ("Off", None)


def test_a_happening_keeps_its_own_time_and_identity():
    happening = Happening("door 1", "access.granted", {"door": 1, "card": 5}, 99, "ring/7", True)

    event = ANNOUNCER.happened(happening, SOURCE, 1, 1_000, 1, 1)

    assert event["data"] == {
        "door": 1,
        "card": 5,
        "device": "door 1",
        "vendor": "toy",
        "kind": "closure",
        "received_at_ms": 1_000,
        "buffered": True,
        "observed_at_ms": 99,
        "vendor_key": "ring/7",
    }
    assert Schemas().fault("access.granted", event) == ""


def test_a_time_beyond_the_calendar_is_the_last_of_it():
    assert rfc3339(10**18) == "9999-12-31T23:59:59.999Z"
    assert rfc3339(-1) == "1970-01-01T00:00:00.000Z"


def test_base_36_is_what_int_reads():
    for number in (0, 35, 36, 1_700_000_000_123):
        assert int(base_36(number), 36) == number
