"""The journal: its lines, their order, and that parts make the whole."""

import io
from pathlib import Path

import orjson
import pytest

from devices.errors import ConfigError
from fleet_sim.journal import Digest, Journal, merge
from vendors.sim import Effects, Publish, Push, Reply, Truth, Webhook, WsText

AT = 1_767_571_200_000
OPENED = Effects(
    (Publish("garage/door", b"open", retain=True),),
    (Truth("a", "position", "FullyOpened", AT),),
)


def written(*notes: tuple[int, str, int, str, Effects]) -> tuple[list[dict[str, object]], Digest]:
    out = io.BytesIO()
    journal = Journal(out)
    for note in notes:
        journal.note(*note)
    digest = journal.close()
    return [orjson.loads(line) for line in out.getvalue().splitlines()], digest


def test_a_line_tells_what_was_done_what_became_true_and_what_was_sent() -> None:
    (line,), digest = written((AT, "ratgdo/a", 1, "come_home", OPENED))

    assert line.pop("hash")
    assert line == {
        "at": AT,
        "device": "ratgdo/a",
        "n": 1,
        "did": "come_home",
        "truths": [["position", "FullyOpened", True]],
        "frames": 1,
    }
    assert digest.lines == 1


@pytest.mark.parametrize(
    ("did", "effects", "is_line"),
    [
        ("leave", Effects(), True),
        ("connected", Effects(), True),
        ("wake", Effects(), False),
        ("hub", Effects(), False),
        ("received", Effects(), False),
        ("received", Effects((Reply(b"status"),)), False),
        ("received", Effects((), (Truth("a", "position", "Open", AT, sent=False),)), False),
        ("wake", Effects((WsText("peer/1", "an answer"),)), False),
        ("received", OPENED, True),
        ("wake", OPENED, True),
    ],
)
def test_what_changes_nothing_and_was_nobodys_deed_is_no_line(
    did: str, effects: Effects, is_line: bool
) -> None:
    assert Journal().note(AT, "ratgdo/a", 1, did, effects) is is_line


def test_the_hash_is_of_what_was_said_and_not_of_to_whom() -> None:
    def of(*messages: Publish | Webhook | Push) -> object:
        (line,), _ = written((AT, "v/a", 1, "wake", Effects(messages)))
        return line["hash"]

    assert of(Webhook("http://127.0.0.1:4000", b"x")) == of(Webhook("http://127.0.0.1:5000", b"x"))
    assert of(Webhook("http://127.0.0.1:4000", b"x")) != of(Webhook("http://127.0.0.1:4000", b"y"))
    assert of(Publish("a", b"x")) != of(Publish("b", b"x"))
    assert of(Publish("a", b"x")) != of(Publish("a", b"x", retain=True))
    assert of(Publish("a", b"x"), Publish("a", b"y")) != of(Publish("a", b"y"), Publish("a", b"x"))
    # To a listener: it holds the number of that conversation.
    assert of(Publish("a", b"x"), Push(b"y", ("127.0.0.1", 1))) == of(Publish("a", b"x"))


def test_lines_of_one_millisecond_stand_by_device_and_number() -> None:
    notes = [
        (AT, "v/b", 1, "leave", OPENED),
        (AT, "v/a", 2, "leave", OPENED),
        (AT, "v/a", 1, "leave", OPENED),
        (AT + 1, "v/a", 3, "leave", OPENED),
    ]

    lines, digest = written(*notes)

    assert [(line["device"], line["n"]) for line in lines] == [
        ("v/a", 1),
        ("v/a", 2),
        ("v/b", 1),
        ("v/a", 3),
    ]
    assert digest == written(*notes[1:3], notes[0], notes[3])[1]


def test_parts_merge_into_the_whole_byte_for_byte(tmp_path: Path) -> None:
    notes = [
        (AT + number // 3, f"v/{number % 3}", number + 1, "leave", OPENED) for number in range(60)
    ]
    whole, parts, digests = tmp_path / "whole", [], []
    for shard in range(3):
        parts.append(tmp_path / f"{shard}")
        with parts[-1].open("wb") as file:
            journal = Journal(file)
            for note in notes:
                if note[2] % 3 == shard:
                    journal.note(*note)
            digests.append(journal.close())
    single = tmp_path / "single"
    with single.open("wb") as file:
        journal = Journal(file)
        for note in notes:
            journal.note(*note)
        alone = journal.close()

    merged = merge(parts, whole)

    assert whole.read_bytes() == single.read_bytes()
    assert merged == alone == digests[0] + digests[1] + digests[2]
    assert str(merged) == str(alone)
    assert len(str(merged)) == 32


def test_one_other_line_is_another_digest() -> None:
    _, one = written((AT, "v/a", 1, "leave", OPENED))
    _, other = written((AT + 1, "v/a", 1, "leave", OPENED))

    assert one != other


def test_a_file_that_is_no_journal_is_refused_by_line(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b'{"at": 1, "device": "v/a", "n": 1}\nnonsense\n')

    with pytest.raises(ConfigError, match=r"part:2: no line of a journal"):
        merge([part], tmp_path / "whole")


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent: No such file"):
        merge([tmp_path / "absent"], tmp_path / "whole")
