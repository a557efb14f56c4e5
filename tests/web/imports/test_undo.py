"""An import taken back: the product is as if it had never been."""

from __future__ import annotations

import datetime as dt
import threading

from sqlalchemy import text

from crm.commerce import computed
from crm.core import clock
from crm.events.importing import uploads
from crm.events.importing.models import Upload
from crm.profiles import accounts
from crm.segments import fill, refresh, store
from tests.waiting import until_it_waits
from tests.web.imports.filing import CONSENT, ORDERS, PEOPLE, act, act_again, everything, live, one, upload
from workers.takeback import take_back


def test_undoing_leaves_the_product_as_if_the_import_had_never_been(made, config):
    hour = dt.timedelta(hours=1)
    dana = {"email": "dana@example.com", "city": "Eilat", "firstName": "דנה"}
    live(
        made, config,
        {"type": "identify", "message_id": "1", "user_id": "u1", "traits": dana, "timestamp": (clock.now() - hour).isoformat()},
        {"type": "track", "event": "Product Added", "message_id": "2", "user_id": "u1", "properties": {"product_id": "A", "price": 3}},
    )  # fmt: skip
    before = everything(made)
    people, orders = upload(made, config, PEOPLE.encode()), upload(made, config, ORDERS.encode(), kind="orders")
    counts = act(made, config, people, "checking").counts
    assert (counts["known"], counts["new"]) == (1, 1)
    act(made, config, people, "running")
    assert one(made, "SELECT traits->>'city' FROM profiles JOIN identities ON profile_id = id WHERE value = 'u1'") == "Haifa"
    assert act(made, config, orders, "running").counts["accepted"] == 3
    assert one(made, "SELECT jsonb_agg(jsonb_build_array(order_id, revenue) ORDER BY order_id) FROM orders") == [["7", 26.0], ["8", 10.5]]
    live(made, config, {"type": "track", "event": "Page Viewed", "message_id": "3", "user_id": "u1", "context": {"traits": {"phone": "0505550199"}}})
    assert act(made, config, people, "undoing").undone["vanished"] == 1
    assert act(made, config, orders, "undoing").undone["vanished"] == 1
    after = everything(made)
    assert after.pop("events") == 3
    assert one(made, "SELECT count(*) FROM identities WHERE kind = 'phone'") == 1, "the present has said it too"
    for name in ("orders", "carts"):
        assert after[name] == before[name]
    assert one(made, "SELECT traits->>'city' FROM profiles") == "Eilat"
    assert one(made, "SELECT traits ? 'points' FROM profiles") is False
    assert act_again(made, config, people).counts["accepted"] == 2
    assert one(made, "SELECT count(*) FROM profiles") == 2


def test_segments_sizes_and_computed_traits_follow_an_undone_import(made, config):
    with made() as session:
        rule = {"kind": "orders", "of": "revenue", "op": "at_least", "value": 20, "currency": "ILS"}
        store.save(session, slug="big", name="Big", rule=rule, now=clock.now())
        fill.fill(session, clock.now(), config)
        session.commit()
    live(made, config, {"type": "identify", "message_id": "1", "user_id": "u1", "traits": {"email": "dana@example.com"}})
    big = ORDERS.replace("new@example.com,A,Finjan,10.50,1", "new@example.com,A,Finjan,10.50,3")
    orders = upload(made, config, big.encode(), kind="orders")
    act(made, config, orders, "running")
    assert one(made, "SELECT count(*) FROM memberships") == 2
    while computed.work(made, config, clock.now):
        pass
    assert act(made, config, orders, "undoing").undone["vanished"] == 1
    while computed.work(made, config, clock.now):
        pass
    with made() as session:
        refresh.measure_sizes(session, clock.now())
        session.commit()
    assert one(made, "SELECT count(*) FROM memberships") == one(made, "SELECT size FROM segments") == 0
    assert one(made, "SELECT count(*) FROM computed_traits WHERE name = 'revenue'") == 0
    assert one(made, "SELECT array_agg(DISTINCT origin) FROM events WHERE name LIKE 'Segment %'") == ["history"], "an undone import starts nothing"


def test_what_others_told_of_an_order_stays_when_a_file_about_it_is_undone(made, config):
    orders = upload(made, config, ORDERS.encode(), kind="orders")
    act(made, config, orders, "running")
    refund = {
        "type": "track",
        "event": "Order Refunded",
        "message_id": "r",
        "user_id": "clerk",
        "properties": {"order_id": "7", "refund_id": "r1", "amount": 4},
    }
    live(made, config, refund, source="Imports")
    assert one(made, "SELECT refunded FROM orders WHERE order_id = '7'") == 4
    act(made, config, orders, "undoing")
    assert one(made, "SELECT jsonb_agg(jsonb_build_array(order_id, revenue, jsonb_path_query_first(refunds, '$.r1[0]'))) FROM orders") == [["7", 0, "4"]]


def test_what_is_told_of_somebody_elses_order_while_a_file_is_undone_is_not_lost(made, config):
    said = {"type": "track", "user_id": "buyer"}
    sold = {"event": "Order Completed", "message_id": "o", "properties": {"order_id": "7", "revenue": 50, "currency": "ILS"}}
    live(made, config, said | sold, source="Imports")
    number = upload(made, config, ORDERS.encode(), kind="orders")
    act(made, config, number, "running")
    refund = {"event": "Order Refunded", "message_id": "r", "properties": {"order_id": "7", "refund_id": "r1", "amount": 4}}
    with made() as session:
        uploads.move(session, session.get_one(Upload, number), to="undoing", now=clock.now())
        session.commit()
        assert take_back(session, number, config=config, now=clock.now())
        telling = threading.Thread(target=live, args=(made, config, said | refund), kwargs={"source": "Imports"})
        telling.start()
        until_it_waits(session, telling)
        session.commit()
        telling.join()
    assert one(made, "SELECT jsonb_agg(jsonb_build_array(order_id, revenue, refunded)) FROM orders") == [["7", 50.0, 4.0]]


def test_consent_of_a_file_lifts_no_refusal_and_undoing_takes_back_only_what_it_gave(made, config):
    from crm.consent import ledger
    from crm.consent.ledger import Change
    from crm.core.crypto import Keys

    def said() -> dict[str, str]:
        query = "SELECT e.address, c.action FROM consents_current c JOIN consent_evidence e USING (entry_id) ORDER BY 1"
        with made() as session:
            return {row.address: row.action for row in session.execute(text(query))}

    with made() as session:
        for address, action in (("no@example.com", "refused"), ("yes@example.com", "granted")):
            ledger.record(session, [Change("email", address, "email", "offers", "marketing", action, "form", explicit=True)], Keys("secret"), clock.now())
        session.commit()
    rows = "email,newsletter\nno@example.com,yes\nyes@example.com,yes\nnew@example.com,yes\nleft@example.com,no\nsilent@example.com,\n"
    number = upload(made, config, rows.encode(), consent=CONSENT)
    act(made, config, number, "running")
    want = {"left@example.com": "refused", "new@example.com": "granted", "no@example.com": "refused", "yes@example.com": "granted"}
    assert said() == want
    assert one(made, "SELECT wording FROM consent_ledger ORDER BY id DESC LIMIT 1 OFFSET 1") == CONSENT["wording"]
    assert act(made, config, number, "undoing").undone["consents"] == 1
    assert said() == want | {"new@example.com": "refused"}


def test_a_person_who_was_written_to_stays_when_their_import_is_undone(made, config):
    number = upload(made, config, PEOPLE.encode())
    act(made, config, number, "running")
    with made() as session:
        session.execute(text(
            "INSERT INTO messages (id, profile_id, channel, template, version, language, topic, purpose, address, subject, status, attempts, created_at) "
            "SELECT id, id, 'email', 't', 1, 'he', 'offers', 'marketing', 'dana@example.com', 's', 'sent', 1, now() FROM profiles WHERE name = 'Dana'"
        ))  # fmt: skip
        session.commit()
    undone = act(made, config, number, "undoing").undone
    assert (undone["vanished"], undone["kept"]) == (1, 1)
    assert one(made, "SELECT jsonb_agg(jsonb_build_array(name, traits)) FROM profiles") == [["", {}]]


WORKED_OUT = """
WITH dana AS (SELECT id FROM profiles WHERE name = 'Dana'),
journey AS (INSERT INTO journeys (slug, name, status, created_at) VALUES ('back', '{}', 'live', now()) RETURNING id),
wave AS (
    INSERT INTO waves (journey_id, variant_id, kind, at, accepted, currency, opened_at)
    SELECT id, 'a', 'stock', now(), 1, 'ILS', now() FROM journey RETURNING id
),
told AS (INSERT INTO wave_people (wave_id, place, profile_id, because, since) SELECT wave.id, 1, dana.id, 'viewed', now() FROM wave, dana),
dirty AS (INSERT INTO score_dirty (profile_id) SELECT id FROM dana),
scored AS (INSERT INTO scores (profile_id, kind, probability, band, reasons, at) SELECT id, 'lead', 0.5, 'warm', '[]', now() FROM dana),
held AS (INSERT INTO journey_arms (profile_id, journey_id, arm, share, at) SELECT id, 1, 'in', 0, now() FROM dana),
refused AS (INSERT INTO entry_refusals (profile_id, journey_id, key, reason) SELECT id, 1, 'k', 'history' FROM dana)
INSERT INTO alerts (profile_id, user_id, kind, key, at) SELECT id, 1, 'score_jump', 'k', now() FROM dana
"""


def test_what_was_only_worked_out_about_somebody_keeps_nobody(made, config):
    number = upload(made, config, PEOPLE.encode())
    act(made, config, number, "running")
    with made() as session:
        session.execute(text(WORKED_OUT))
        session.commit()
    undone = act(made, config, number, "undoing").undone
    assert (undone["vanished"], undone.get("kept", 0)) == (2, 0)
    for table in ("profiles", "wave_people", "score_dirty", "scores", "journey_arms", "entry_refusals", "alerts"):
        assert one(made, f"SELECT count(*) FROM {table}") == 0, table


def test_the_company_of_somebody_who_vanishes_is_looked_at_again(made, config):
    live(made, config, {"type": "group", "message_id": "1", "user_id": "u1", "group_id": "acme", "traits": {"name": "Acme"}})
    number = upload(made, config, PEOPLE.encode())
    act(made, config, number, "running")
    with made() as session:
        store.save(session, slug="acme", name="Acme", rule={"kind": "account", "name": "name", "value": "Acme"}, now=clock.now())
        acme = session.scalar(text("SELECT id FROM accounts"))
        dana = session.scalar(text("SELECT id FROM profiles WHERE name = 'Dana'"))
        accounts.set_member(session, account_id=acme, profile_id=dana, role="buyer", now=clock.now())
        session.execute(text("DELETE FROM segment_lapses"))
        session.commit()
    act(made, config, number, "undoing", drain=False)
    marked = "SELECT jsonb_agg(jsonb_build_array(i.value, l.history)) FROM segment_lapses l JOIN identities i USING (profile_id)"
    assert one(made, marked) == [["u1", True]]


def test_an_undone_file_of_leads_leaves_no_leads(made, config):
    live(made, config, {"type": "identify", "message_id": "1", "user_id": "u1", "traits": {"email": "dana@example.com"}})
    number = upload(made, config, b"Lead Number,Email,Lead Source\n17,dana@example.com,Google\n18,noa@example.com,Fair\n", kind="leads")
    assert act(made, config, number, "running").counts["accepted"] == 2
    assert one(made, "SELECT count(*) FROM leads") == 2
    assert act(made, config, number, "undoing").undone["vanished"] == 1
    assert one(made, "SELECT count(*) FROM leads") == 0
    assert one(made, "SELECT count(*) FROM profiles") == 1


def test_parts_in_companies_and_wishes_to_be_told_go_with_the_file_that_told_of_them(made, config):
    live(made, config, {"type": "group", "message_id": "1", "user_id": "u1", "group_id": "beta", "context": {"traits": {"email": "dana@example.com"}}})
    rows = "event,date,email,sku,company\nBack In Stock Requested,1.3.2026 10:30,dana@example.com,A,\nOrder Completed,2.3.2026 10:30,dana@example.com,,Acme\n"
    number = upload(made, config, rows.encode(), kind="events")
    assert act(made, config, number, "running").counts["accepted"] == 2
    parts = "SELECT array_agg(key ORDER BY key) FROM account_members JOIN accounts a ON a.id = account_id"
    assert one(made, parts) == ["Acme", "beta"]
    assert one(made, "SELECT count(*) FROM stock_requests") == 1
    act(made, config, number, "undoing")
    assert one(made, parts) == ["beta"]
    assert one(made, "SELECT count(*) FROM stock_requests") == 0
