"""What people ask of a proxy, as JSON: what is taken, and how the rest is refused."""

import re

import pytest

from fleet_sim.proxy import orders
from fleet_sim.proxy.catalogue import TOXICS, page, table
from fleet_sim.proxy.orders import OrderError
from fleet_sim.proxy.serve import toxic_of
from fleet_sim.proxy.toxic import made, values_of

WEB = {"name": "web", "upstream": "10.0.0.5:80"}


def test_a_proxy_listens_on_any_port_of_loopback_unless_told_otherwise() -> None:
    fields = orders.proxy(WEB)

    assert (fields.listen, fields.enabled, fields.protocol) == ("127.0.0.1:0", True, "auto")


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ([], 400, "bad request body: it is no JSON object"),
        ({"upstream": "x:1"}, 400, "missing required field: name"),
        ({"name": "web"}, 400, "missing required field: upstream"),
        ({**WEB, "listen": "80"}, 400, "listen: '80' is no address; write host:port"),
        ({**WEB, "upstream": "10.0.0.5:http"}, 400, "upstream: '10.0.0.5:http' is no address"),
        ({**WEB, "upstream": "::1:80"}, 400, "upstream: '::1:80' is no address"),
        ({**WEB, "enabled": "no"}, 400, "enabled: 'no' is not true or false"),
        (
            {**WEB, "protocol": "amqp"},
            400,
            "protocol: 'amqp' is none of auto, tcp, mqtt, http, tls",
        ),
        ({**WEB, "upstram": 1}, 400, "upstram: unknown; known are name, listen"),
    ],
)
def test_a_wrong_proxy_is_refused_with_its_place(given, status: int, said: str) -> None:
    with pytest.raises(OrderError, match=re.escape(said)) as refused:
        orders.proxy(given)
    assert refused.value.status == status


def test_of_a_list_the_number_is_said() -> None:
    with pytest.raises(OrderError, match="missing required field: upstream at proxy 2"):
        orders.proxies([WEB, {"name": "db"}])


def test_a_toxic_is_named_after_what_it_does_and_where() -> None:
    placed = orders.toxic({"type": "latency", "attributes": {"latency": 5}})

    assert placed.as_json() == {
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
        "attributes": {"latency": 5, "jitter": 0},
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "latncy"}, "invalid toxic type: 'latncy'; known are latency"),
        ({"type": "latency", "stream": "up"}, "stream was invalid, can be either"),
        ({"type": "latency", "toxicity": 2}, "toxicity: 2 is not from 0 to 1"),
        ({"type": "latency", "for_s": 0}, "for_s: 0 is no number of seconds above 0"),
        ({"type": "latency", "attributes": []}, ""),
        ({"type": "latency", "attributes": {"latency": "1"}}, "attributes.latency: '1' is not a"),
        ({"type": "latency", "attributes": {"latency": True}}, "latency: True is not a whole"),
        ({"type": "latency", "attributes": {"x": 1, "jitter": -1}}, "attributes.x: no such"),
        (
            {"type": "slicer", "attributes": {"average_size": 5, "size_variation": 5}},
            "must be below",
        ),
    ],
)
def test_a_wrong_toxic_is_refused_with_its_place(given, said: str) -> None:
    if not said:
        assert orders.toxic(given).toxic == TOXICS["latency"]()
        return
    with pytest.raises(OrderError, match=re.escape(said)):
        orders.toxic(given)


def test_every_mistake_of_the_attributes_is_named_at_once() -> None:
    with pytest.raises(OrderError) as refused:
        orders.toxic({"type": "latency", "attributes": {"x": 1, "latency": -1, "jitter": "y"}})

    assert str(refused.value).count("attributes.") == 3


def test_a_changed_toxic_keeps_what_is_not_said() -> None:
    placed = orders.toxic({"type": "latency", "attributes": {"latency": 5, "jitter": 2}})

    changed = orders.changed_toxic(placed, {"attributes": {"jitter": 1}, "toxicity": 0.5})

    assert values_of(changed.toxic) == {"latency": 5, "jitter": 1}
    assert (changed.name, changed.toxicity) == (placed.name, 0.5)


@pytest.mark.parametrize(
    ("text", "stream", "attributes"),
    [
        ("latency:latency=5,jitter=2", "downstream", {"latency": 5, "jitter": 2}),
        ("half_open/upstream", "upstream", {}),
        ("mqtt_drop:packets=publish,puback,topic=a/#", "downstream", {"packets": "publish,puback"}),
        ('http_json:field=/state,value={"a":1}', "downstream", {"value": {"a": 1}}),
    ],
)
def test_a_toxic_as_typed_is_the_same_as_in_json(text, stream, attributes) -> None:
    placed = toxic_of(text)

    assert placed.stream == stream
    assert values_of(placed.toxic).items() >= attributes.items()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:1883", ("localhost", 1883)),
        ("[::1]:1883", ("::1", 1883)),
        (":1883", ("0.0.0.0", 1883)),
        ("1883", ("", -1)),
        ("host:70000", ("host", -1)),
    ],
)
def test_addresses_are_read_as_toxiproxy_does(text: str, address: tuple[str, int]) -> None:
    assert orders.address(text) == address


@pytest.mark.parametrize("name", TOXICS)
def test_every_toxic_says_what_it_does_and_where_that_was_seen(name: str) -> None:
    about = table()[name]

    assert about["what"]
    assert about["source"]
    assert all(each["what"] for each in about["settings"].values())
    assert made(TOXICS[name], {}) == TOXICS[name]()
    assert f"{name}: " in page()
