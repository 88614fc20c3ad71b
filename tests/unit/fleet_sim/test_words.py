"""What may be said again: only what is the last word in its place, and still true."""

from fleet_sim.words import Words
from vendors.sim import Effects, Message, Publish, Reply, Truth, Webhook


def told(word: str, topic: str = "door", *, sent: bool = True) -> Effects:
    message = Publish(topic, word.encode(), retain=True)
    return Effects((message,), (Truth("d", topic, word, 1, sent),))


def said(words: Words) -> bytes | None:
    match words.again():
        case Publish(payload=payload) | Webhook(body=payload):
            return payload
        case _:
            return None


def test_the_longest_unsaid_is_said_first() -> None:
    words = Words()
    for topic in ("a", "b", "c"):
        words.remember(told(topic, topic), got_out=True)

    assert [said(words) for _ in range(4)] == [b"a", b"b", b"c", b"a"]


def test_the_last_word_in_a_place_is_the_only_one() -> None:
    words = Words()
    words.remember(told("open"), got_out=True)
    words.remember(told("closed"), got_out=True)

    assert [said(words), said(words)] == [b"closed", b"closed"]


def test_what_is_no_longer_so_is_not_said() -> None:
    words = Words()
    words.remember(told("open"), got_out=True)
    words.remember(Effects((), (Truth("d", "door", "closed", 2, sent=False),)), got_out=True)

    assert said(words) is None


def test_what_did_not_get_out_is_no_word_and_ends_the_one_before() -> None:
    words = Words()
    words.remember(told("open"), got_out=True)
    words.remember(told("open"), got_out=False)

    assert said(words) is None


def test_where_the_hub_spoke_the_device_does_not_repeat_itself() -> None:
    words = Words()
    words.remember(told("open"), got_out=True)
    words.outdated("door")
    words.outdated("a place where nothing was said")

    assert said(words) is None


def test_a_happening_is_never_said_twice() -> None:
    words = Words()
    message: Message = Webhook("http://127.0.0.1:1/", b"opened by a card")
    words.remember(Effects((message,), (Truth("d", "access.granted", "7", 1),)), got_out=True)

    assert said(words) is None


def test_only_what_a_broker_keeps_is_to_be_cleared() -> None:
    words = Words()
    for message in (Publish("kept", b"1", retain=True), Publish("gone", b"1"), Reply(b"1")):
        words.sent(message)

    assert words.topics == {"kept"}


def test_what_no_broker_keeps_is_said_again_by_who_babbles_only() -> None:
    words = Words()
    state = Publish("lock", b"locked")
    words.remember(Effects((state,), (Truth("d", "lock_state", "Locked", 1),)), got_out=True)

    assert words.again() is None
    assert words.again(passing=True) == state


def test_what_a_broker_keeps_comes_before_what_passed_by() -> None:
    words = Words()
    kept, passed = Publish("a", b"1", retain=True), Publish("b", b"2")
    for message, key in ((passed, "b"), (kept, "a")):
        words.remember(Effects((message,), (Truth("d", key, "x", 1),)), got_out=True)

    assert [words.again(passing=True) for _ in range(2)] == [kept, kept]


def test_news_that_passed_by_is_not_said_twice() -> None:
    """Whoever hears of a happening again takes it for another one."""
    words = Words()
    happened = Effects(
        (Publish("lock", b"unlocked by 3"),), (Truth("d", "lock.operation", None, 1),)
    )
    words.remember(happened, got_out=True)
    answer = Publish("reply", b"busy")
    words.remember(Effects((answer,)), got_out=True)

    assert words.again(passing=True) is None
