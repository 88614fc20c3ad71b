"""What fails about servers, as values: nothing runs."""

import pytest

from fleet_sim.chance import stream
from fleet_sim.faults import Certificate, Fault, http
from vendors.http import HttpReply, HttpRequest
from vendors.sim import Publish, Webhook

ASKED = HttpRequest("GET", "/lock")


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        (http.ServerError(status=503), 503, ("Retry-After", None)),
        (http.TooManyRequests(retry_after_s=7), 429, ("Retry-After", "7")),
        (http.TooManyRequests(retry_after_s=0), 429, ("Retry-After", None)),
        (http.ErrorInside200(), 200, ("Content-Type", "application/json")),
        (http.TokenExpired(), 401, ("WWW-Authenticate", 'Bearer error="invalid_token"')),
        (http.Redirect(status=307, location="http://h/"), 307, ("Location", "http://h/")),
    ],
)
def test_a_refusal_has_its_status_and_its_header(
    fault: Fault, status: int, header: tuple[str, str | None]
) -> None:
    reply = fault.refuse(ASKED, stream(1, "x"))

    assert reply is not None
    assert (reply.status, reply.header(header[0])) == (status, header[1])


@pytest.mark.parametrize("fault", [Fault(), http.HugeBody(), http.BadCertificate()])
def test_what_is_no_refusal_lets_the_server_do_its_work(fault: Fault) -> None:
    assert fault.refuse(ASKED, stream(1, "x")) is None


def test_certificates_are_what_their_kinds_say() -> None:
    shown = [Fault(), http.BadCertificate(), http.CertificateSwapped()]

    assert [fault.certificate for fault in shown] == list(Certificate)


def test_a_huge_body_is_the_answer_and_so_many_bytes_and_nothing_else_grows() -> None:
    fault, rng = http.HugeBody(body_mb=0.001), stream(1, "x")

    ((_, grown),) = fault.strike(HttpReply(200, b"[]"), rng)
    assert isinstance(grown, HttpReply)
    assert (grown.body.strip(), len(grown.body)) == (b"[]", 1_002)
    assert fault.strike(Publish("a", b"[]"), rng) == ((0, Publish("a", b"[]")),)


@pytest.mark.parametrize(
    ("fault", "delays_ms"),
    [
        (Fault(), [0]),
        (http.WebhookLost(), []),
        (http.WebhookDoubled(gap_ms=5), [0, 5]),
        (http.WebhookLate(late_ms=9), [9]),
    ],
)
def test_a_webhook_is_called_as_often_and_as_late_as_its_kind_says(
    fault: Fault, delays_ms: list[int]
) -> None:
    webhook = Webhook("http://h/a", b"{}")

    calls = fault.call(webhook, stream(1, "x"))

    assert [delay_ms for delay_ms, _ in calls] == delays_ms
    assert {each for _, each in calls} <= {webhook}
    assert max(delays_ms, default=0) == fault.late_ms


def test_a_webhook_waits_for_its_window_at_most() -> None:
    fault, rng = http.WebhookReordered(window_ms=30), stream(1, "x")

    waits_ms = [fault.call(Webhook("http://h/"), rng)[0][0] for _ in range(500)]

    assert (min(waits_ms), max(waits_ms)) == (0, 30)


@pytest.mark.parametrize(
    ("webhook", "forged"),
    [
        (Webhook("http://h/a/key0"), Webhook("http://h/a/key1")),
        (Webhook("http://h/k?x=1"), Webhook("http://h/0?x=1")),
        (
            Webhook("http://h/a", headers=(("Content-Type", "x"), ("X-Sign", "ab"))),
            Webhook("http://h/a", headers=(("Content-Type", "x"), ("X-Sign", "a0"))),
        ),
    ],
)
def test_a_forged_webhook_differs_in_its_proof_alone(webhook: Webhook, forged: Webhook) -> None:
    assert http.forged(webhook) == forged
