"""What an operator may write, and what is named when it is wrong."""

import pytest
from pydantic import ValidationError

from vendors.opengarage.settings import OpenGarageSettings

MAC = "aa:bb:cc:dd:ee:ff"
URL = "http://192.0.2.1"
BROKER = {"url": "mqtt://broker.example"}


def settings(*openers: dict[str, object], **more: object) -> OpenGarageSettings:
    return OpenGarageSettings.model_validate({"openers": list(openers), **more})


def test_a_name_is_the_mac_address_if_there_is_no_other() -> None:
    found = settings({"mac": MAC, "url": URL}, {"mac": MAC, "name": "left", "url": f"{URL}:81"})

    assert [opener.device for opener in found.openers] == ["AABBCCDDEEFF", "left"]


@pytest.mark.parametrize(
    ("openers", "more", "said"),
    [
        ([{"url": URL}], {}, "needs a mac, a name, or both"),
        ([{"name": "a"}], {}, "needs a url"),
        ([{"name": "a", "url": URL, "topic": "t"}], {}, "not both"),
        ([{"name": "a", "topic": "t"}], {}, "there is no broker, so it needs a url"),
        ([{"name": "a", "url": URL}], {"broker": BROKER}, "so it needs a topic"),
        ([{"name": "a", "url": URL}, {"name": "a", "url": f"{URL}:81"}], {}, "device a: given to"),
        (
            [{"name": "a", "topic": "t"}, {"name": "b", "topic": "t"}],
            {"broker": BROKER},
            "topic t: given to",
        ),
        ([{"name": "a", "url": URL, "key": "k", "key_file": "f"}], {}, "exclude each other"),
        ([{"name": "a", "topic": "t", "key": "k"}], {"broker": BROKER}, "the device key is for"),
        ([{"name": "a", "url": "192.0.2.1"}], {}, "must be http://host"),
        ([{"name": "a", "url": "http://u:p@h"}], {}, "no user"),
        ([{"name": "a", "url": f"{URL}/?dkey=x"}], {}, "no query"),
        ([{"name": "a", "url": f"{URL}:70000"}], {}, "Port out of range"),
        ([{"name": "a", "url": f"{URL}:0"}], {}, "port must be"),
        ([{"name": "a", "topic": "t/#"}], {"broker": BROKER}, "must not hold"),
        ([{"name": "a b", "url": URL}], {}, "match pattern"),
        ([{"mac": "aabbccddeeff", "url": URL}], {}, "match pattern"),
        ([], {}, "at least 1 item"),
    ],
)
def test_what_is_wrong_is_named(openers, more, said) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(*openers, **more)


def test_a_key_is_shown_nowhere_and_a_file_is_read_each_time(tmp_path) -> None:
    file = tmp_path / "key"
    file.write_text("first\n")
    plain, filed, none = settings(
        {"name": "a", "url": URL, "key": "hush"},
        {"name": "b", "url": f"{URL}:81", "key_file": str(file)},
        {"name": "c", "url": f"{URL}:82"},
    ).openers

    assert (plain.secret(), filed.secret(), none.secret()) == ("hush", "first", None)
    file.write_text("second")
    assert filed.secret() == "second"
    assert "hush" not in f"{plain!r} {plain} {plain.model_dump_json()}"
