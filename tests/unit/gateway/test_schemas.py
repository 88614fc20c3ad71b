from pathlib import Path

import orjson
import pytest

from devices.errors import ConfigError
from devices.kinds import KINDS, PANEL
from devices.reading import Happening, Provenance, Reading
from devices.twin import Twin
from gateway import schemas
from gateway.events import Announcer

COMMITTED = Path(__file__).parents[3] / "config" / "schemas"
SCHEMAS = schemas.Schemas()


def event_of(kind, axis, value, reason=None):
    twin = Twin("d", kind)
    announcer = Announcer(vendor="toy", kind=kind.name, epoch_ms=1, started_at_ms=1)
    twin.axes.clear()
    folded = twin.fold([Reading("d", axis, value, Provenance.POLL, 5, reason)], 10)
    return announcer.changed("d", "/doorfleet/s/toy/d", 1, folded, 10, 1, 1)


def test_the_committed_schemas_are_what_the_tables_say():
    on_disk = {path.name: orjson.loads(path.read_bytes()) for path in COMMITTED.glob("*.v1.json")}

    assert on_disk == {schemas.file_name(t): made for t, made in schemas.generate().items()}


def test_every_schema_says_that_it_is_draft_04():
    assert {made["$schema"] for made in schemas.generate().values()} == {
        "http://json-schema.org/draft-04/schema#"
    }


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_value_of_every_axis_may_be_said(kind):
    axes = dict(kind.axes) | {
        f"{part}.12.{name}": axis
        for part, table in kind.parts.items()
        for name, axis in table.items()
    }
    for name, axis in axes.items():
        samples = axis.values or ((True,) if axis.type == "boolean" else (1,))
        for value in (*samples, None):
            event = event_of(kind, name, value)
            assert SCHEMAS.fault(f"{kind.name}.changed", event) == "", (name, value)


def test_an_unknown_without_its_reason_is_refused():
    event = event_of(PANEL, "door.1.alarm", None, "boot")
    del event["data"]["changes"]["door.1.alarm"]["reason"]

    assert not SCHEMAS.check_of("panel.changed")(event)


@pytest.mark.parametrize("value", [101, -1, 3.5, "50", True])
def test_a_number_outside_its_table_is_refused_and_the_place_named(value):
    # The twin would have made it unknown: the schema is the second lock on the same door.
    event = event_of(PANEL, "battery_pct", 50)
    event["data"]["changes"]["battery_pct"]["value"] = value

    assert "data/changes/battery_pct" in SCHEMAS.fault("panel.changed", event)


def test_nothing_may_ride_along():
    announcer = Announcer(vendor="toy", kind="lock", epoch_ms=1, started_at_ms=1)
    event = announcer.happened(
        Happening("d", "motion.detected", {"pin": 1234}), "/doorfleet/s/toy/d", 1, 1, 1, 1
    )

    fault = SCHEMAS.fault("motion.detected", event)

    assert fault
    assert "1234" not in fault


def test_a_missing_schema_is_told_with_its_file_and_the_remedy(tmp_path):
    schemas.write(tmp_path)
    (tmp_path / "gap.v1.json").unlink()
    (tmp_path / "lock.changed.v1.json").write_text("{")

    with pytest.raises(ConfigError) as caught:
        schemas.Schemas(tmp_path)

    assert len(caught.value.problems) == 2
    assert all("make schemas" in problem for problem in caught.value.problems)


def test_writing_again_removes_what_the_tables_no_longer_hold(tmp_path):
    (tmp_path / "gone.v1.json").write_text("{}")
    (tmp_path / "gateway-config.json").write_text("{}")

    schemas.write(tmp_path)

    assert not (tmp_path / "gone.v1.json").exists()
    assert (tmp_path / "gateway-config.json").exists()
