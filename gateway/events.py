"""What we say on the bus: CloudEvents 1.0, structured JSON, made by hand for speed.

Shape:    {"specversion": "1.0", "id": "<epoch>-<sequence>", "source": "/doorfleet/<site>/<vendor>/
          <device>", "type": "doorfleet.<t>.v1", "time", "datacontenttype", "dataschema",
          "sequence", "traceparent", "data": {"device", "vendor", "kind", …}}
Source:   CloudEvents 1.0.2 (CNCF, 2022-02-05), extensions `sequence` and `distributed tracing`;
          W3C Trace Context, 2021-11-23, section 3.2.2.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from devices.reading import Happening
from devices.twin import Change

#: A CloudEvent in structured mode. Source: CloudEvents 1.0.2, JSON format, section 3.
CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
#: The result of a command, which is no happening of a device's own.
COMMAND_FINISHED: Final = "command.finished"
GAP: Final = "gap"
#: Digits of a sequence: as text it then sorts as the number does.
SEQUENCE_DIGITS: Final = 16

Event = dict[str, Any]
_BASE_36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def base_36(number: int) -> str:
    """A non-negative number in lower case base 36."""
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _BASE_36[digit] + text
        if not number:
            return text


def changed_type(kind: str) -> str:
    """The `<t>` of a device's state changes."""
    return f"{kind}.changed"


def rfc3339(at_ms: int) -> str:
    """`2026-01-31T08:15:30.123Z`; a time that no calendar holds is the nearest that it does."""
    seconds, ms = divmod(min(max(at_ms, 0), 253_402_300_799_999), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{ms:03d}Z"


class Announcer:
    """Makes the events of one cell.

    `epoch_ms` is when the cell's store was made: a store that was moved aside takes its
    sequences with it, and the new one's ids differ from all of the old one's. `started_at_ms`
    with the number of the frame makes the trace id, `row` the span id.
    """

    def __init__(self, *, vendor: str, kind: str, epoch_ms: int, started_at_ms: int) -> None:
        self._vendor = vendor
        self._kind = kind
        self._id_prefix = f"{base_36(epoch_ms)}-"
        self._trace_prefix = f"00-{started_at_ms:016x}"
        self._types: dict[str, tuple[str, str]] = {}
        self._time = (-1, "")

    def changed(  # noqa: PLR0913, PLR0917 -- one call per event on the data plane
        self,
        name: str,
        source: str,
        sequence: int,
        changes: Iterable[Change],
        at_ms: int,
        frame: int,
        row: int,
    ) -> Event:
        """What one frame changed about one device."""
        fields: dict[str, dict[str, Any]] = {}
        for axis, (
            value,
            reason,
            provenance,
            observed_at_ms,
            received_at_ms,
            _,
        ), was, jumped in changes:
            change = {
                "value": value,
                "was": was if axis not in fields else fields[axis]["was"],
                "provenance": provenance,
                "received_at_ms": received_at_ms,
                "jumped": jumped,
            }
            if reason is not None:
                change["reason"] = reason
            if observed_at_ms is not None:
                change["observed_at_ms"] = observed_at_ms
            fields[axis] = change
        return self._event(
            changed_type(self._kind),
            source,
            sequence,
            {"device": name, "vendor": self._vendor, "kind": self._kind, "changes": fields},
            at_ms,
            frame,
            row,
        )

    def happened(  # noqa: PLR0913, PLR0917 -- likewise
        self, happening: Happening, source: str, sequence: int, at_ms: int, frame: int, row: int
    ) -> Event:
        """Something that took place, as its vendor told it."""
        data = {
            **happening.data,
            "device": happening.device,
            "vendor": self._vendor,
            "kind": self._kind,
            "received_at_ms": at_ms,
            "buffered": happening.buffered,
        }
        if happening.observed_at_ms is not None:
            data["observed_at_ms"] = happening.observed_at_ms
        if happening.vendor_key is not None:
            data["vendor_key"] = happening.vendor_key
        return self._event(happening.type, source, sequence, data, at_ms, frame, row)

    def finished(  # noqa: PLR0913, PLR0917 -- likewise
        self,
        name: str,
        source: str,
        sequence: int,
        result: Mapping[str, Any],
        at_ms: int,
        frame: int,
        row: int,
    ) -> Event:
        """How a command ended."""
        data = {**result, "device": name, "vendor": self._vendor, "kind": self._kind}
        return self._event(COMMAND_FINISHED, source, sequence, data, at_ms, frame, row)

    def _event(  # noqa: PLR0913, PLR0917 -- likewise
        self,
        kind: str,
        source: str,
        sequence: int,
        data: dict[str, Any],
        at_ms: int,
        frame: int,
        row: int,
    ) -> Event:
        names = self._types.get(kind)
        if names is None:
            names = self._types[kind] = (f"doorfleet.{kind}.v1", f"urn:doorfleet:schema:{kind}:1")
        if self._time[0] != at_ms:
            self._time = (at_ms, rfc3339(at_ms))
        padded = f"{sequence:016d}"
        return {
            "specversion": "1.0",
            "id": self._id_prefix + padded,
            "source": source,
            "type": names[0],
            "time": self._time[1],
            "datacontenttype": "application/json",
            "dataschema": names[1],
            "sequence": padded,
            "traceparent": f"{self._trace_prefix}{frame:016x}-{row:016x}-01",
            "data": data,
        }
