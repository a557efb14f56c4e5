"""One rule, three readings: SQL over everybody, SQL over some, Python over values; and a due time nobody changes before."""

# ruff: noqa: E501  tables of rules read best one a line
from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm.core import partitions
from crm.core.crypto import Keys
from crm.core.ids import new_id
from crm.core.json import dumps
from crm.segments import evaluate, lists, store, tree, values
from crm.segments.rule import Place
from crm.segments.rules import rfm
from tests.segments import reader

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
PLACE = Place(Keys("secret"))
NAMES = ("Product Viewed", "Order Completed", "Email Opened")
LETTERS = ("Email Opened", "SMS Opened", "WhatsApp Link Clicked", "Push Link Clicked")
RFM = ("111", "335", "543", "555", "55", "5555", 444, "55x", None)
WORDS = ("haifa", "Haifa", "תל אביב", "É", "é", "12", "12.50", "", "2026-11-10", "2026-11-10T08:30:00Z", "2026-02-30", "true")
scalar = st.one_of(st.sampled_from(WORDS), st.booleans(), st.integers(-3, 20), st.sampled_from([0.5, 12.5]), st.none())
value = st.one_of(scalar, st.lists(st.sampled_from(WORDS), max_size=3))
spans = st.sampled_from(["1h", "3d", "30d"])
ago = st.sampled_from(
    [dt.timedelta(minutes=30), dt.timedelta(hours=1), dt.timedelta(days=2), dt.timedelta(days=3), dt.timedelta(days=20), dt.timedelta(days=60)]
)
ops = st.sampled_from(["at_least", "more_than", "at_most", "less_than", "exactly"])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def comparison(*, relative: bool) -> st.SearchStrategy[dict[str, Any]]:
    name = st.sampled_from(["city", "age", "born.day", "born.in"])
    kinds = [
        st.fixed_dictionaries({"name": name, "op": st.sampled_from(["is", "is_not"]), "value": scalar.filter(lambda v: v is not None)}),
        st.fixed_dictionaries({"name": name, "op": st.just("contains"), "value": st.sampled_from(["haif", "É", "2026", "true"])}),
        st.fixed_dictionaries(
            {"name": name, "op": st.sampled_from(["more_than", "at_least", "less_than", "at_most"]), "value": st.sampled_from([0, 12, 12.5, "12.50"])}
        ),
        st.fixed_dictionaries(
            {"name": name, "op": st.sampled_from(["before", "after"]), "value": st.sampled_from(["2026-11-10", "2026-11-10T09:00:00+02:00"])}
        ),
        st.fixed_dictionaries({"name": name, "op": st.sampled_from(["exists", "missing"])}),
    ]
    if relative:
        kinds.append(st.fixed_dictionaries({"name": name, "op": st.sampled_from(["within_last", "longer_ago", "within_next"]), "value": spans}))
    return st.one_of(kinds)


def kind(name: str, fields: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return fields.map(lambda said: {"kind": name} | said)


where = st.lists(comparison(relative=False), max_size=2)
leaf = st.one_of(
    kind("trait", comparison(relative=True)),
    kind("did", st.builds(lambda a, b: a | b, st.fixed_dictionaries({"event": st.sampled_from(NAMES), "op": ops, "value": st.sampled_from([0, 1, 2, 2.5])}),
                          st.one_of(optional(within=spans), optional(since=st.just("2026-11-01"), until=st.just("2026-11-18"))))),
    kind("did", st.fixed_dictionaries({"event": st.sampled_from(NAMES), "op": ops, "value": st.sampled_from([0, 1, 12]), "of": st.sampled_from(["sum", "distinct"]),
                                       "prop": st.sampled_from(["age", "city", "born.in"])}, optional={"within": spans, "where": where})),
    kind("did", st.fixed_dictionaries({"event": st.sampled_from(NAMES), "op": ops, "value": st.sampled_from([1, 2]), "per": st.sampled_from(["age", "born.in"])}, optional={"within": spans, "where": where})),
    kind("sequence", st.fixed_dictionaries({"first": st.sampled_from(NAMES), "then": st.sampled_from(NAMES), "apart": spans}, optional={"within": spans, "then_where": where})),
    kind("message", st.fixed_dictionaries({"did": st.sampled_from(["opened", "clicked"]), "op": ops, "value": st.integers(0, 2)},
                                          optional={"within": spans, "channel": st.sampled_from(["email", "sms", "whatsapp", "push"])})),
    kind("rfm", st.builds(lambda *spans: {f"{part}_{end}": n for part, span in zip(rfm.PARTS, spans, strict=True) for end, n in zip(("from", "to"), sorted(span), strict=True)},
                          *[st.tuples(st.integers(1, 5), st.integers(1, 5)) for _ in rfm.PARTS])),
    kind("orders", st.fixed_dictionaries({"of": st.just("count"), "op": ops, "value": st.integers(0, 2)}, optional={"within": spans, "currency": st.just("ILS")})),
    kind("orders", st.fixed_dictionaries({"of": st.sampled_from(["revenue", "average"]), "op": ops, "value": st.sampled_from([0, 50, 100]), "currency": st.just("ILS")}, optional={"within": spans})),
    kind("orders", st.fixed_dictionaries({"of": st.sampled_from(["first", "last"]), "op": st.sampled_from(["within_last", "longer_ago"]), "ago": spans})),
    kind("cart", st.fixed_dictionaries({"state": st.sampled_from(["open", "ordered", "recovered"])}, optional={"value": st.just(50), "lain": spans})),
    kind("consent", st.fixed_dictionaries({"topic": st.just("offers"), "action": st.sampled_from(["granted", "refused"])})),
    kind("sequence", st.fixed_dictionaries({"first": st.sampled_from(NAMES), "then": st.sampled_from(NAMES), "never": st.just(True), "apart": st.sampled_from(["1h", "3d"])}, optional={"within": st.just("30d"), "then_where": where})),
    kind("when", st.fixed_dictionaries({"event": st.sampled_from(NAMES), "of": st.sampled_from(["first", "last"]), "op": st.sampled_from(["within_last", "longer_ago"]), "ago": spans}, optional={"where": where})),
    kind("anniversary", st.fixed_dictionaries({"name": st.sampled_from(["birthday", "city"]), "calendar": st.sampled_from(["gregorian", "hebrew"]),
                                               "missing": st.sampled_from(["before", "after"]), "adar": st.sampled_from(["first", "second"])},
                                              optional={"start": st.sampled_from([-30, -7, 0]), "end": st.sampled_from([0, 3, 60])})),
    kind("geography", st.fixed_dictionaries({"of": st.sampled_from(["country", "region", "city", "locale", "language", "timezone"]), "op": st.sampled_from(["is", "is_not"]),
                                             "value": st.sampled_from(["Israel", "il, FR", "Haifa", "he", "he-IL", "Asia/Jerusalem", "europe/paris, Haifa", "צרפת"])})),
    kind("account", st.builds(lambda a, b: a | b, comparison(relative=True), optional(match=st.sampled_from(["any", "all", "none"]), role=st.just("buyer")))),
    kind("colleagues", st.fixed_dictionaries({"segment": st.just("nested"), "match": st.sampled_from(["any", "all", "none"])})),
    kind("computed", comparison(relative=True)),
    kind("journey", st.fixed_dictionaries({"did": st.sampled_from(["entered", "finished", "goal"]), "op": ops, "value": st.integers(0, 2)}, optional={"within": spans, "journey": st.just("cart")})),
    kind("journey", st.fixed_dictionaries({"did": st.just("inside")}, optional={"within": spans, "journey": st.just("cart")})),
    kind("in_list", st.just({"list": "fair"})),
    kind("in_segment", st.just({"segment": "nested"})),
    kind("bucket", st.fixed_dictionaries({"percent": st.sampled_from([10, 50])})),
)  # fmt: skip
rules = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
)
properties = st.fixed_dictionaries(
    {}, optional={"city": value, "age": value, "born": st.fixed_dictionaries({"day": value, "in": value}), "born.in": value, "machine": st.booleans()}
)
place = st.fixed_dictionaries(
    {},
    optional={
        "country": st.sampled_from(["IL", "il", "France", "צרפת", "US", "", 7]),
        "timezone": st.sampled_from(["Asia/Jerusalem", "America/New_York", "Nowhere/At all", 3]),
        "address": st.sampled_from([{"country": "FR", "city": "Haifa", "state": "haifa"}, "Haifa", {}]),
        "locale": st.sampled_from(["he_IL", "en-US", "he"]),
        "birthday": st.sampled_from(
            [
                "1985-11-20",
                "1990-11-21T00:30:00+02:00",
                "2004-02-29",
                "1984-03-10",
                "2000-11-28",
                "1995-11-13",
                "2026-11-19",
                "2027-11-20",
                "1890-11-20",
                "soon",
            ]
        ),
    },
)
company = st.fixed_dictionaries({"role": st.sampled_from(["buyer", "viewer"]), "traits": properties, "colleague": st.sampled_from([None, True, False])})
people = st.fixed_dictionaries({
    "traits": st.builds(lambda a, b: a | b, properties, place),
    "computed": st.builds(lambda a, b: a | b, properties, optional(rfm=st.sampled_from(RFM))),
    "companies": st.lists(company, max_size=2),
    "runs": st.lists(st.tuples(st.sampled_from(["cart", "other"]), ago, st.sampled_from([None, "finished", "goal", "exit"]), ago), max_size=2),
    "listed": st.booleans(),
    "nested": st.booleans(),
    "bucket": st.integers(0, 9999),
    "events": st.lists(st.tuples(st.sampled_from(NAMES + LETTERS), ago, properties), max_size=5),
    "orders": st.lists(st.tuples(ago, st.sampled_from([20, 50, 100]), st.sampled_from(["ILS", "USD"])), max_size=3),
    "carts": st.lists(st.tuples(ago, st.sampled_from([20, 50]), st.sampled_from(["open", "ordered"]), st.booleans()), max_size=2),
    "consent": st.sampled_from([None, "granted", "refused"]),
})  # fmt: skip


MEMBER = "INSERT INTO memberships (profile_id, segment_id, since) SELECT :id, id, :now FROM segments WHERE slug = 'nested'"


def note(  # noqa: PLR0917  one value of each parameter
    session: Session, profile: uuid.UUID, n: int, name: str, at: dt.datetime, said: dict[str, Any]
) -> None:
    session.execute(
        text("""INSERT INTO events (profile_id, occurred_at, accepted, received_at, source_id, message_id, type, name, origin, trusted, identities, properties, context, hops)
                VALUES (:id, :at, :n, :at, 10, :n, 'track', :name, 'live', true, '[]', CAST(:said AS jsonb), '{}', 0)"""),
        {"id": profile, "at": at, "n": n, "name": name, "said": dumps(said)},
    )


def belong(session: Session, profile: uuid.UUID, company: dict[str, Any]) -> None:
    """A company of theirs; where it has a colleague, that one is in the nested segment or not."""
    account, colleague = new_id(), new_id()
    session.execute(
        text("INSERT INTO accounts (id, key, name, traits) VALUES (:id, :key, 'Acme', CAST(:traits AS jsonb))"),
        {"id": account, "key": str(account), "traits": dumps(company["traits"])},
    )
    for one in (profile,) if company["colleague"] is None else (profile, colleague):
        session.execute(
            text("INSERT INTO account_members (account_id, profile_id, role, since, said_at, said_accepted) VALUES (:a, :p, :role, :now, :now, 1)"),
            {"a": account, "p": one, "role": company["role"], "now": NOW},
        )
    if company["colleague"]:
        session.execute(text(MEMBER), {"id": colleague, "now": NOW})


def live(session: Session, person: dict[str, Any], number: int) -> uuid.UUID:
    """Write one made-up history."""
    profile = new_id()
    session.execute(
        text("INSERT INTO profiles (id, bucket, known, traits, first_seen, last_seen) VALUES (:id, :bucket, true, CAST(:traits AS jsonb), :now, :now)"),
        {"id": profile, "bucket": person["bucket"], "traits": dumps(person["traits"]), "now": NOW},
    )
    for n, (name, back, said) in enumerate(person["events"]):
        note(session, profile, n, name, NOW - back, said)
    for n, (back, net, money) in enumerate(person["orders"]):
        session.execute(
            text("""INSERT INTO orders (source_id, order_id, profile_id, currency, revenue, items, ordered_at, version_at, version_accepted)
                    VALUES (10, :number, :id, :money, :net, '[]', :at, :at, 1)"""),
            {"id": profile, "number": f"{profile}-{n}", "money": money, "net": net, "at": NOW - back},
        )
    for n, (back, worth, status, recovered) in enumerate(person["carts"]):
        session.execute(
            text("""INSERT INTO carts (profile_id, source_id, key, status, items, value, currency, opened_at, changed_at, recovered)
                    VALUES (:id, 10, :key, :status, '[]', :worth, 'ILS', :at, :at, :recovered)"""),
            {"id": profile, "key": f"c{n}", "status": status, "worth": worth, "at": NOW - back, "recovered": recovered},
        )
    for name, said in person["computed"].items():
        session.execute(
            text("INSERT INTO computed_traits (profile_id, name, value, events, computed_at) VALUES (:id, :name, CAST(:said AS jsonb), 1, :now)"),
            {"id": profile, "name": name, "said": dumps(said), "now": NOW},
        )
    for company in person["companies"]:
        belong(session, profile, company)
    for run, (journey, back, how, over) in enumerate(person["runs"]):
        told = [("Journey Started", back, {})] + ([("Journey Ended", min(back, over), {"how": how})] if how else [])
        for n, (name, at, more) in enumerate(told):
            note(session, profile, 100 + 2 * run + n, name, NOW - at, {"journey": journey, "run_id": f"r{run}"} | more)
    if person["listed"]:
        session.execute(text("INSERT INTO list_members (list_id, profile_id, since) SELECT id, :id, :now FROM lists"), {"id": profile, "now": NOW})
    if person["nested"]:
        session.execute(text(MEMBER), {"id": profile, "now": NOW})
    if person["consent"]:
        address = f"{profile}@example.com"
        session.execute(
            text("INSERT INTO identities (kind, value, profile_id, first_seen) VALUES ('email', :v, :id, :now)"), {"v": address, "id": profile, "now": NOW}
        )
        session.execute(
            text("INSERT INTO consents_current (address_hash, channel, topic, action, entry_id, at) VALUES (:hash, 'email', 'offers', :action, 1, :now)"),
            {"hash": PLACE.keys.address_hash("email", address), "action": person["consent"], "now": NOW},
        )
    return profile


def test_letters_are_folded_as_the_database_folds_them(session: Session) -> None:
    """Latin with Turkish, Greek, Cyrillic, Armenian, Hebrew, Georgian."""
    letters = [chr(n) for block in (range(0x20, 0x600), range(0x10A0, 0x1100), range(0x1E00, 0x2000)) for n in block]
    folded = session.scalars(text("SELECT lower(x) FROM unnest(CAST(:all AS text[])) WITH ORDINALITY u(x, n) ORDER BY n"), {"all": letters})
    assert [values.fold(letter) for letter in letters] == folded.all()


def reads_others(parsed: tree.Tree) -> bool:
    """A membership of another segment changes by itself, and is an event then."""
    return bool(tree.reads(parsed).segments)


@settings(max_examples=60)
@given(said=st.lists(rules, min_size=4, max_size=8), lives=st.lists(people, min_size=1, max_size=4))
def test_sql_over_all_over_some_and_python_agree_and_nothing_changes_before_it_is_due(
    session: Session, said: list[dict[str, Any]], lives: list[dict[str, Any]]
) -> None:
    with session.begin_nested() as saved:
        partitions.ensure(session, "events", [partitions.month_bounds(NOW - dt.timedelta(days=days)) for days in (0, 30, 61)])
        lists.create(session, slug="fair", name="Fair", now=NOW)
        store.save(session, slug="nested", name="Nested", rule={"kind": "bucket", "percent": 1}, now=NOW)
        ids = [live(session, person, n) for n, person in enumerate(lives)]
        facts = {one: reader.person(session, one, place=PLACE) for one in ids}
        for rule in said:
            parsed = tree.parse(rule)
            assert tree.parse(tree.write(parsed)) == parsed
            everybody = evaluate.statement(parsed, now=NOW, place=PLACE, ids=None)
            rows = {r.profile_id: r for r in session.execute(text(everybody.sql), everybody.values)}
            some = evaluate.members(session, parsed, now=NOW, place=PLACE, ids=ids[:2])
            counted = evaluate.count(session, parsed, now=NOW, place=PLACE)
            assert counted == sum(r.inside for r in rows.values())
            each = evaluate.answers(session, parsed, ids[0], now=NOW, place=PLACE)
            assert [said for _leaf, said in each] == [leaf.rule.read(leaf.settings, facts[ids[0]], NOW) for leaf in tree.leaves(parsed)]
            for one in ids:
                person = facts[one]
                assert person is not None
                answer = tree.read(parsed, person, NOW)
                assert rows[one].inside == answer, (rule, person)
                assert (one in some) == (answer and one in ids[:2]), rule
                due = rows[one].due_at
                assert due is None or due > NOW, rule
                if reads_others(parsed):
                    continue
                for later in (
                    dt.timedelta(minutes=29),
                    dt.timedelta(hours=9, minutes=59),
                    dt.timedelta(hours=10),
                    dt.timedelta(hours=5),
                    dt.timedelta(days=2),
                    dt.timedelta(days=29),
                    dt.timedelta(days=80),
                ):
                    if due is None or NOW + later < due:
                        assert tree.read(parsed, person, NOW + later) == answer, (rule, person, due)
        saved.rollback()
