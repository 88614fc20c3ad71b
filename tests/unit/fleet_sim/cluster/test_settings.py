"""What a gateway is told of a fleet whose devices are in several processes."""

from fleet_sim.cluster.settings import merged


def test_what_is_listed_adds_up_and_what_is_said_once_stays() -> None:
    one = {"uhppote": {"panels": [{"serial": 1}], "bind": "127.0.0.1:0"}}
    two = {"uhppote": {"panels": [{"serial": 2}], "bind": "127.0.0.1:0"}}

    assert merged([one, two]) == {
        "uhppote": {"panels": [{"serial": 1}, {"serial": 2}], "bind": "127.0.0.1:0"}
    }


def test_devices_by_name_add_up_at_any_depth() -> None:
    one = {"shelly": {"direct": {"devices": {"a": "http://127.0.0.1:1"}}}}
    two = {"shelly": {"direct": {"devices": {"b": "http://127.0.0.1:2"}}}}

    assert merged([one, two])["shelly"]["direct"]["devices"] == {
        "a": "http://127.0.0.1:1",
        "b": "http://127.0.0.1:2",
    }


def test_a_vendor_that_only_one_shard_has_is_there_and_nothing_is_listed_twice() -> None:
    one = {"tedee": {"bridges": [{"url": "http://127.0.0.1:1"}]}}

    assert merged([one, {"ratgdo": {"url": "mqtt://127.0.0.1:3"}}, one]) == {
        **one,
        "ratgdo": {"url": "mqtt://127.0.0.1:3"},
    }
    assert one == {"tedee": {"bridges": [{"url": "http://127.0.0.1:1"}]}}
