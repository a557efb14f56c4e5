"""A webhook is called once however often it is tried; its answer moves the run."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from crm.core.ids import new_id
from crm.events import inbox
from crm.events.models import SYSTEM_SOURCE
from crm.events.source import HeldError
from journeys import calling, endpoints, publish, webhooks
from journeys.engine import wake_due
from journeys.graph import parse
from journeys.runs import break_journeys
from journeys.simulate import tell
from tests.journeys.standin import WebServer
from tests.makers import accepted as take
from tests.makers import config, track
from workers import pipeline

CONFIG = config()
SECOND = dt.timedelta(seconds=1)
CALLING: dict[str, Any] = {
    "name": {"en": "Calling"},
    "trigger": {"kind": "event", "settings": {"event": "Signed Up", "key": "event"}},
    "exit_on": ["Order Completed"],
    "entry": "hook",
    "nodes": {
        "hook": {
            "kind": "webhook",
            "settings": {"endpoint": "crm", "path": "check", "traits": ["city"], "values": {"level": 2}, "within": "1h"},
            "exits": {"answered": "which", "failed": "sorry", "timed_out": "late"},
        },
        "which": {
            "kind": "branch",
            "settings": {"ways": [{"exit": "rich", "when": [{"of": "run", "name": "hook.body.credit", "op": "more_than", "value": 100}]}]},
            "exits": {"rich": "gold", "otherwise": "plain"},
        },
        "gold": {"kind": "stop", "settings": {"reason": "gold"}},
        "plain": {"kind": "stop", "settings": {"reason": "plain"}},
        "sorry": {"kind": "stop", "settings": {"reason": "sorry"}},
        "late": {"kind": "stop", "settings": {"reason": "late"}},
    },
}


@pytest.fixture
def make(session: Session, server: WebServer, now: dt.datetime) -> sessionmaker[Session]:
    return begin(session, f"{server.url}/hooks", now)


def begin(session: Session, url: str, now: dt.datetime) -> sessionmaker[Session]:
    """Dana's run asks for a call there."""
    endpoints.save(session, "crm", url=url, headers="Authorization: Bearer s3cret", private=True, now=now)
    publish.publish(session, "calling", CALLING, now=now)
    pipeline.run(session, [take(track("Signed Up", {"plan": "b2b"}, at=now, user_id="dana"), now)], now, CONFIG)
    return sessionmaker(session.connection(), expire_on_commit=False, join_transaction_mode="create_savepoint")


def call(make: sessionmaker[Session], at: dt.datetime) -> int:
    return webhooks.call_due(make, CONFIG, lambda: at)


def drain(make: sessionmaker[Session], at: dt.datetime) -> None:
    while pipeline.drain(make, CONFIG, lambda: at):
        pass


def ended(session: Session) -> str | None:
    return session.scalar(text("SELECT end_reason FROM runs"))


def calls(session: Session) -> list[tuple[str, int]]:
    session.expire_all()
    return [tuple(row) for row in session.execute(text("SELECT status, attempts FROM webhook_calls"))]


def minutes(n: float) -> dt.timedelta:
    return dt.timedelta(minutes=n)


def test_an_answer_wakes_the_run_and_later_steps_read_it(session, make, server, now):
    server.answers = [(200, {}, '{"credit": 250}')]
    assert call(make, now + SECOND) == 1
    drain(make, now + SECOND)
    assert ended(session) == "gold"
    path, headers, body = server.received[0]
    told = json.loads(body)
    assert path == "/hooks/check"
    assert headers["authorization"] == "Bearer s3cret"
    assert told["data"]["event"] == {"name": "Signed Up", "properties": {"plan": "b2b"}}
    assert told["data"]["values"] == {"level": 2}
    assert calls(session) == [("answered", 1)]


def test_the_signature_is_that_of_standard_webhooks(session, make, server, now):
    call(make, now)
    _, headers, body = server.received[0]
    shown = endpoints.secret(CONFIG, endpoints.every(session)[0])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.digest(base64.b64decode(shown.removeprefix("whsec_")), signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"


def test_a_server_that_is_busy_is_asked_again_under_the_same_key(session, make, server, now):
    server.answers = [(503, {}, ""), (429, {"Retry-After": "600"}, ""), (200, {}, '{"credit": 1}')]
    assert call(make, now) == 1
    assert call(make, now + dt.timedelta(seconds=5)) == 0
    assert call(make, now + minutes(1)) == 1
    assert call(make, now + minutes(10)) == 0
    assert call(make, now + minutes(11.1)) == 1
    drain(make, now + minutes(12))
    assert ended(session) == "plain"
    assert len({headers["idempotency-key"] for _, headers, _ in server.received}) == 1
    assert len({body for _, _, body in server.received}) == 1


def test_a_refusal_fails_at_once_with_what_was_said(session, make, server, now):
    server.answers = [(422, {}, '{"error": "no such customer"}')]
    call(make, now + SECOND)
    drain(make, now + SECOND)
    assert (ended(session), len(server.received)) == ("sorry", 1)
    assert session.scalar(text("SELECT data->'hook'->'body'->>'error' FROM runs")) == "no such customer"


@pytest.mark.parametrize("how", [0, -1])
def test_a_server_that_hangs_or_drips_is_cut_off(session, make, server, now, monkeypatch, how):  # noqa: PLR0917  one value of each parameter
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.3)
    server.answers = [(how, {}, "x" * 1_000)]
    began = time.monotonic()
    call(make, now)
    assert time.monotonic() - began < 60, "it would take a hundred seconds, or more"
    assert calls(session) == [("waiting", 1)]
    assert "within" in session.scalar(text("SELECT said FROM webhook_calls"))
    assert call(make, now + dt.timedelta(seconds=9)) == 0  # the endpoint rests


def test_the_run_goes_on_when_no_answer_comes_in_time(session, make, server, now):
    server.answers = [(500, {}, "")]
    for minute in (0, 1, 5, 20, 45, 59):
        call(make, now + minutes(minute))
    wake_due(session, now + minutes(60), 10, CONFIG)
    drain(make, now + minutes(60))
    assert ended(session) in {"late", "sorry"}
    assert calls(session)[0][0] in {"failed", "withdrawn"} or call(make, now + minutes(61)) == 0


def test_a_server_that_never_recovers_is_given_up(session, make, server, now):
    server.answers = [(500, {}, "")]
    session.execute(text("UPDATE webhook_calls SET attempts = :n"), {"n": webhooks.ATTEMPTS - 1})
    call(make, now + SECOND)
    drain(make, now + SECOND)
    assert (ended(session), calls(session)) == ("sorry", [("failed", webhooks.ATTEMPTS)])


def test_a_killed_worker_s_call_is_made_again_under_its_key(session, make, server, now):
    webhooks.claim(session, now, 10)  # and dies
    assert call(make, now + dt.timedelta(seconds=30)) == 0
    assert call(make, now + webhooks.LEASE + dt.timedelta(seconds=1)) == 1
    assert call(make, now + minutes(10)) == 0
    assert calls(session) == [("answered", 2)]


def test_two_who_settle_one_call_tell_the_log_once(session, make, server, now):
    slow = webhooks.claim(session, now, 10)
    again = webhooks.claim(session, now + minutes(2), 10)
    webhooks.settle(session, [webhooks.Outcome(again[0], "answered", status=200)], now)
    webhooks.settle(session, [webhooks.Outcome(slow[0], "failed", "too slow")], now)
    said = session.scalars(text("SELECT body::jsonb->'properties'->>'outcome' FROM event_inbox WHERE body::jsonb->>'event' = 'Webhook Answered'")).all()
    assert said == ["answered"]


def test_a_run_that_ended_meanwhile_calls_nobody(session, make, server, now):
    order = track("Order Completed", {"order_id": "o1", "total": 1, "currency": "ILS"}, at=now + minutes(1), user_id="dana")
    pipeline.run(session, [take(order, now + minutes(1))], now + minutes(1), CONFIG)
    assert call(make, now + minutes(2)) == 0
    assert (server.received, calls(session)) == ([], [("withdrawn", 0)])


def test_a_paused_journey_calls_nobody_until_it_goes_on(session, make, server, now):
    publish.pause(session, "calling", now=now)
    assert call(make, now) == 0
    publish.resume(session, "calling", now=now + minutes(1))
    assert call(make, now + minutes(1)) == 1


def test_a_journey_that_broke_while_it_was_paused_calls_nobody_either(session, make, server, now):
    publish.pause(session, "calling", now=now)
    break_journeys(session, {session.scalar(text("SELECT id FROM journeys")): "a step raised"})
    assert call(make, now + minutes(300)) == 0
    assert calls(session) == [("waiting", 0)]


@pytest.mark.parametrize(("how", "after"), [("shift", ("plain", [("answered", 1)])), ("catch_up", ("late", [("withdrawn", 0)]))])
def test_a_pause_longer_than_the_wait_holds_the_call(session, make, server, now, how, after):  # noqa: PLR0917  one value of each parameter
    server.answers = [(200, {}, '{"credit": 1}')]
    publish.pause(session, "calling", now=now + minutes(1))
    assert call(make, now + minutes(300)) == 0
    assert calls(session) == [("waiting", 0)]
    publish.resume(session, "calling", now=now + minutes(301), how=how)
    wake_due(session, now + minutes(301), 10, CONFIG)
    call(make, now + minutes(302))
    drain(make, now + minutes(302))
    assert (ended(session), calls(session)) == after


def test_a_call_under_way_when_the_waits_are_made_longer_has_the_longer_time_too(session, make, server, now, monkeypatch):
    reached = [now + minutes(50)]

    def paused_meanwhile(*_args: Any, **_how: Any) -> calling.Reply:
        publish.pause(session, "calling", now=now + minutes(51))
        publish.resume(session, "calling", now=now + minutes(300), how="shift")
        reached[0] = now + minutes(301)
        raise calling.NoAnswerError("no answer within 10 seconds")

    monkeypatch.setattr(calling, "post", paused_meanwhile)
    assert webhooks.call_due(make, CONFIG, lambda: reached[0]) == 1
    assert calls(session) == [("waiting", 1)]


def test_a_call_that_was_taken_back_is_made_when_its_run_goes_on(session, make, server, now):
    session.execute(text("UPDATE runs SET status = 'failed', error = 'x', due_at = NULL"))
    session.execute(text("UPDATE webhook_calls SET attempts = 11"))
    key = session.scalar(text("SELECT id FROM webhook_calls"))
    assert call(make, now) == 0
    assert calls(session) == [("withdrawn", 11)]
    publish.retry(session, "calling", now=now + minutes(1))
    wake_due(session, now + minutes(1), 10, CONFIG)
    assert call(make, now + minutes(1)) == 1
    assert (calls(session), server.received[0][1]["idempotency-key"]) == ([("answered", 1)], str(key))


def test_an_answer_nobody_of_ours_gave_moves_nothing(session, make, server, now):
    run_id = session.scalar(text("SELECT id FROM runs"))
    who, said = session.scalar(text("SELECT profile_id FROM runs")), {"node": "hook", "round": 0, "outcome": "answered"}
    with pytest.raises(HeldError):
        take(track("Webhook Answered", {"run_id": str(run_id), **said}, at=now, user_id="dana"), now)
    another = inbox.system_event("Webhook Answered", who, {"run_id": str(new_id()), **said}, cause=None, hops=1)
    pipeline.run(session, [take(another.body, now, source_id=SYSTEM_SOURCE)], now, CONFIG)
    assert ended(session) is None


@pytest.mark.parametrize("said", [json.dumps({"a": "x" * calling.MAX_ANSWER}), "[" * 252 + "]" * 252], ids=["long", "deep"])
def test_an_answer_too_long_or_too_deep_is_not_kept(session, make, server, now, said):
    """Written down inside a row, the deep one would raise: this call and all beside it would be made again for ever."""
    server.answers = [(200, {}, said)]
    call(make, now)
    assert session.scalar(text("SELECT answer FROM webhook_calls")) is None
    assert calls(session) == [("answered", 1)]


def test_our_own_network_is_not_called_unless_allowed(session, make, server, now):
    session.execute(text("UPDATE webhook_endpoints SET private = false"))  # its name led elsewhere when it was set up
    call(make, now)
    assert (server.received, calls(session)) == ([], [("failed", 1)])
    assert "our own network" in session.scalar(text("SELECT said FROM webhook_calls"))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1", "0.0.0.0", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1"]
)
def test_no_disguise_makes_a_private_address_public(address):
    import ipaddress

    assert not calling.is_public(ipaddress.ip_address(address))
    assert calling.is_public(ipaddress.ip_address("8.8.8.8"))


def test_a_redirect_is_not_followed(session, make, server, now):
    server.answers = [(302, {"Location": "http://169.254.169.254/"}, "")]
    call(make, now)
    assert (len(server.received), calls(session)) == (1, [("failed", 1)])


def test_the_try_out_takes_an_invented_answer(now):
    graph = parse(CALLING)
    trial = tell(graph, now, [(now, "Signed Up", {}), (now + minutes(1), "Webhook Answered", {"outcome": "answered", "status": 200, "body": {"credit": 101}})])
    assert trial.runs[0].end_reason == "gold"
    assert tell(graph, now, [(now, "Signed Up", {})]).runs[0].end_reason == "late"


def test_the_screen_shows_calls_and_never_a_secret(session, make, server, now, signed_in):
    call(make, now)
    page = signed_in("admin").get("/settings/webhooks").get_data(as_text=True)
    assert "Answered" in page
    assert "s3cret" not in page
    assert signed_in("viewer").get("/settings/webhooks").status_code == 403


def test_an_endpoint_is_set_up_by_an_administrator_only(session, signed_in):
    form = {"slug": "stock", "url": "https://shop.example/hooks", "headers": "X-Key: abc", "change": "1"}
    assert signed_in("marketer").post("/settings/webhooks", data=form).status_code == 403
    page = signed_in("admin").post("/settings/webhooks", data=form).get_data(as_text=True)
    assert "whsec_" in page
    assert endpoints.every(session)[0].headers == {"X-Key": "abc"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]/", "http://169.254.169.254/latest"])
def test_an_address_in_our_own_network_is_refused_unless_it_is_meant(session, signed_in, url):
    admin = signed_in("admin")
    page = admin.post("/settings/webhooks", data={"slug": "own", "url": url}, follow_redirects=True).get_data(as_text=True)
    assert "our own network, where nothing is called" in page
    assert endpoints.every(session) == []
    admin.post("/settings/webhooks", data={"slug": "own", "url": url, "private": "1"})
    assert [each.private for each in endpoints.every(session)] == [True]


def test_an_address_of_two_lines_is_refused(session, signed_in):
    signed_in("admin").post("/settings/webhooks", data={"slug": "two", "url": "https://shop.example\r\nX: y"})
    assert endpoints.every(session) == []


def test_a_server_without_tls_is_no_answer_where_tls_was_asked_for(server):
    with pytest.raises(calling.NoAnswerError):
        calling.post(server.url.replace("http:", "https:"), b"{}", {}, timeout_s=2, private=True)


@pytest.mark.parametrize("url", ["ftp://example.com/", "http://user:secret@example.com/", "file:///etc/passwd", "http:///x", "gopher://127.0.0.1:25/"])
def test_only_plain_web_addresses_are_called(url):
    with pytest.raises(calling.NotAllowedError):
        calling.post(url, b"{}", {}, timeout_s=2, private=True)


def test_calls_long_over_are_forgotten_and_waiting_ones_are_not(session, make, server, now):
    assert webhooks.forget_old(session, now + webhooks.KEPT * 2) == 0
    call(make, now)
    assert webhooks.forget_old(session, now + webhooks.KEPT - SECOND) == 0
    assert webhooks.forget_old(session, now + webhooks.KEPT + SECOND) == 1


@pytest.mark.parametrize("url", ["https://shop.example:99999/x", "https://shop.example:port/x", "http://[::1"])
def test_an_address_whose_port_or_host_cannot_be_is_refused(session, signed_in, url):
    page = signed_in("admin").post("/settings/webhooks", data={"slug": "odd", "url": url}, follow_redirects=True).get_data(as_text=True)
    assert "65535" in page
    assert endpoints.every(session) == []
    with pytest.raises(calling.NotAllowedError):
        calling.post(url, b"{}", {}, timeout_s=2, private=True)


def test_a_wait_of_too_many_digits_is_a_wait_like_any_other(session, make, server, now):
    server.answers = [(503, {"Retry-After": "9" * 5_000}, "")]
    assert call(make, now) == 1
    assert calls(session) == [("waiting", 1)]


@pytest.mark.parametrize("said", ["Fri, 31 Dec 9999 23:59:59 GMT", "9999999"])
def test_no_endpoint_rests_for_longer_than_a_day_whatever_its_clock_says(session, make, server, now, said):
    server.answers = [(429, {"Retry-After": said}, "")]
    assert call(make, now) == 1
    assert session.scalar(text("SELECT resting_until FROM webhook_endpoints")) == now + dt.timedelta(days=1)


def test_one_call_that_cannot_be_made_leaves_those_beside_it_alone(session, make, server, now, monkeypatch):
    pipeline.run(session, [take(track("Signed Up", {}, at=now, user_id="noa"), now)], now, CONFIG)
    post = calling.post
    monkeypatch.setattr(calling, "post", lambda *args, **more: post(*args, **more) if server.received else server.received.append(("", {}, b"")) or 1 / 0)
    monkeypatch.setattr(webhooks, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))
    assert call(make, now + SECOND) == 2
    assert sorted(calls(session)) == [("answered", 1), ("failed", 1)]


def test_an_answer_that_speaks_of_a_nul_is_kept_as_it_came(session, make, server, now):
    server.answers = [(200, {}, json.dumps({"pattern": r"^\u0000$", "credit": 250}))]
    call(make, now + SECOND)
    drain(make, now + SECOND)
    assert session.scalar(text("SELECT answer->>'pattern' FROM webhook_calls")) == r"^\u0000$"
    assert ended(session) == "gold"


def test_a_refused_endpoint_keeps_what_was_typed_and_says_why_beside_its_field(session, signed_in):
    form = {"slug": "stock", "url": "http://127.0.0.1:9/hooks", "headers": "X-Key: abc"}
    answer = signed_in("admin").post("/settings/webhooks", data=form)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert all(f in page for f in ('value="stock"', 'value="http://127.0.0.1:9/hooks"', ">X-Key: abc</textarea>", 'aria-describedby="url-e"', 'id="url-e"'))
    assert 'name="change" value="1" checked' not in page
