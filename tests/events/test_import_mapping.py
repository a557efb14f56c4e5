"""What a mapping makes of a file, line by line; without a database."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crm.core.errors import InvalidError
from crm.events.importing import mapping, readers
from crm.events.importing.outcomes import Made, Outcome, Reading, Refused
from crm.events.importing.plan import compile_plan

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ORDERS = """
columns: {no: text, sku: text, n: int, price: money, at: {type: time, format: "%d/%m/%Y %H:%M", zone: Asia/Jerusalem}, mail: text}
time: at
identities: {email: "{mail}"}
group_within: 3
leave_out:
  - {reason: tests, when: [{column: sku, starts_with: TEST}]}
events:
  - event: Order Completed
    when: [{column: n, above: 0}]
    group_by: [no]
    properties:
      order_id: "order {no}"
      revenue: {sum: {product: ["{n}", "{price}"]}}
      products: {lines: {sku: "{sku}", quantity: "{n}"}}
"""
HEAD = "no,sku,n,price,at,mail\n"


def read(tmp_path: Path, rules: str, content: str, name: str = "file.csv") -> tuple[list[Outcome], Reading]:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return read_file(path, mapping.parse(rules))


def read_file(path: Path, chosen: mapping.Mapping) -> tuple[list[Outcome], Reading]:
    reading = Reading(compile_plan(chosen), file_digest=readers.digest(path), now=NOW)
    return list(reading.outcomes(readers.open_file(path, chosen).lines)), reading


def reasons(outcomes: list[Outcome]) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in outcomes if isinstance(one, Refused)]


def test_lines_of_one_order_become_one_event_with_exact_money(tmp_path):
    content = HEAD + "7,A,3,0.10,01/02/2026 10:00,Dana@Example.com\n7,B,1,19.99,01/02/2026 10:00,dana@example.com\n"
    outcomes, reading = read(tmp_path, ORDERS, content)
    (made,) = outcomes
    assert isinstance(made, Made)
    assert made.call.properties == {"order_id": "order 7", "revenue": Decimal("20.29"), "products": [{"sku": "A", "quantity": 3}, {"sku": "B", "quantity": 1}]}
    assert made.call.context == {"traits": {"email": "dana@example.com"}}
    assert made.call.timestamp == "2026-02-01T08:00:00+00:00", "Israel's winter time is two hours ahead"
    assert reading.tally.accepted == 2


def test_every_line_is_accounted_for_with_its_number_and_reason(tmp_path):
    rows = [
        "1,A,1,5,01/02/2026 10:00,a@example.com",
        "2,A,one,5,01/02/2026 10:00,a@example.com",
        "3,A,1,5,01/02/2026 10:00,nobody",
        "4,A,1,5,01/02/2026 10:00",
        "5,A,-1,5,01/02/2026 10:00,a@example.com",
        "6,TEST1,1,5,01/02/2026 10:00,a@example.com",
        "7,A,1,,01/02/2026 10:00,a@example.com",
        "8,A,1,5,01/02/2031 10:00,a@example.com",
        "9,A,1,5,,a@example.com",
    ]
    outcomes, reading = read(tmp_path, ORDERS, HEAD + "\n".join(rows) + "\n")
    assert sorted(reasons(outcomes)) == [
        (3, "bad value"), (4, "no identity"), (5, "unreadable line"), (8, "bad value"), (9, "in the future"), (10, "bad value"),
    ]  # fmt: skip
    assert dict(reading.tally.left_out) == {"no event is made of such lines": 1, "tests": 1}
    assert reading.tally.read == reading.tally.accepted + reading.tally.rejected.total() + reading.tally.left_out.total() == 9


def test_a_line_that_comes_long_after_its_order_is_refused_not_lost(tmp_path):
    line = "{},A,1,5,01/02/2026 10:00,a@example.com\n"
    outcomes, _ = read(tmp_path, ORDERS, HEAD + "".join(line.format(no) for no in (1, 2, 3, 4, 5, 6, 1)))
    assert reasons(outcomes) == [(8, "its group was already complete")]
    assert len(outcomes) == 7


def test_two_readings_give_the_same_events_under_the_same_names(tmp_path):
    content = HEAD + "".join(f"{n % 5},A,1,5,01/02/2026 10:00,a@example.com\n" for n in range(40))
    first, second = (read(tmp_path, ORDERS, content)[0] for _ in range(2))
    assert first == second
    assert len({one.call.message_id for one in first if isinstance(one, Made)}) == len(first) - len(reasons(first))


def test_a_window_rejects_or_keeps_what_lies_outside(tmp_path):
    rules = """
columns: {who: text, at: {type: time, format: unix}}
header: false
time: at
identities: {user_id: "{who}"}
window: {earliest: 2026-01-01T00:00:00Z, before: 2026-02-01T00:00:00Z, outside: %s}
events: [{event: Seen}]
"""
    content = "".join(f"p,{int(dt.datetime(2026, month, 1, tzinfo=dt.UTC).timestamp())}\n" for month in (1, 2))
    rejecting, _ = read(tmp_path, rules % "reject", content)
    assert reasons(rejecting) == [(2, "outside the window")]
    keeping, reading = read(tmp_path, rules % "keep", content)
    assert (len(keeping), reading.tally.accepted, reading.tally.outside) == (2, 2, 1)


def test_an_identify_beside_other_events_speaks_only_when_it_has_news(tmp_path):
    rules = """
columns: {who: text, city: text, at: time}
time: at
identities: {"external:till": "{who}"}
events:
  - {type: identify, also: true, traits: {city: "{city}"}}
  - {event: Visited}
"""
    rows = ["who,city,at", "1,Haifa,2026-01-01", "1,Haifa,2026-01-02", "1,Yafo,2026-01-03", "2,Haifa,2026-01-04"]
    outcomes, reading = read(tmp_path, rules, "\n".join(rows))
    assert dict(reading.tally.events) == {"identify": 3, "Visited": 4}
    assert reading.tally.accepted == 4
    first = next(one for one in outcomes if isinstance(one, Made))
    assert first.call.external_ids == [{"type": "till", "id": "1"}]
    assert first.call.traits == {"city": "Haifa"}


def test_json_lines_are_reached_into_and_parquet_reads_the_same(tmp_path):
    rules = """
columns: {who: {column: person.id}, n: int, at: time}
time: at
identities: {user_id: "{who}"}
events: [{event: Rated, properties: {stars: "{n}", note: "gave {n}"}}]
"""
    from_json, _ = read(tmp_path, rules, '{"person": {"id": 17}, "n": 5, "at": "2026-01-01T10:00:00+02:00"}\nnot json\n[]\n', "file.jsonl")
    assert reasons(from_json) == [(2, "unreadable line"), (3, "unreadable line")]
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({"person.id": [17.0, None], "n": [5, 4], "at": ["2026-01-01T10:00:00+02:00"] * 2}), path)
    from_parquet, _ = read_file(path, mapping.parse(rules))
    assert reasons(from_parquet) == [(2, "no identity")]
    (left,), (right,) = ([one.call for one in found if isinstance(one, Made)] for found in (from_json, from_parquet))
    assert (left.user_id, left.properties, left.timestamp) == (right.user_id, right.properties, right.timestamp)
    assert left.properties == {"stars": 5, "note": "gave 5"}


def test_an_archive_of_segment_calls_is_taken_as_it_is(tmp_path):
    lines = [
        '{"type":"track","event":"Seen","userId":"a","timestamp":"2026-01-01T00:00:00Z","messageId":"m1"}',
        '{"type":"track","event":"Seen","userId":"a"}',
        '{"type":"track","event":"Seen","timestamp":"2026-01-01T00:00:00Z"}',
        '{"type":"track","event":3,"userId":"a"}',
        '{"type":"track","event":"Order Completed","userId":"a","timestamp":"2026-01-01T00:00:00Z","properties":{"total":"a hundred"}}',
    ]
    outcomes, _ = read(tmp_path, "calls: segment", "\n".join(lines), "file.jsonl")
    assert reasons(outcomes) == [(2, "not a call"), (3, "no identity"), (4, "not a call"), (5, "bad value")]
    assert [one.call.message_id for one in outcomes if isinstance(one, Made)] == ["m1"]


def test_bytes_that_are_no_text_reject_their_line_only(tmp_path):
    path = tmp_path / "file.csv"
    good = b"1,A,1,5,01/02/2026 10:00,a@example.com\n"
    path.write_bytes(HEAD.encode() + good + b"2,\xe0\xe9,1,5,01/02/2026 10:00,a@example.com\n" + good)
    outcomes, reading = read_file(path, mapping.parse(ORDERS))
    assert reasons(outcomes) == [(3, "unreadable line")]
    assert reading.tally.accepted == 2


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("columns: {a: txt}\nevents: []", "columns.a.type"),
        (ORDERS.replace("above: 0", "above: 0, below: 3"), "exactly one of"),
        (ORDERS.replace("above: 0", "over: 0"), "events.1.when.1.over: this word is not known"),
        (ORDERS.replace("time: at\n", ""), "no `time`"),
        (ORDERS.replace('"{n}", "{price}"', '"{n}", "{cost}"'), "there is no column 'cost'"),
        (ORDERS.replace("order {no}", "order {no.__class__}"), "no column 'no.__class__'"),
        (ORDERS.replace("order {no}", "order {no!r}"), "column's name and nothing else"),
        (ORDERS.replace("email:", "e-mail:"), "identities.e-mail"),
        (ORDERS.replace("Asia/Jerusalem", "Asia/Atlantis"), "no time zone"),
        ("]", "not YAML"),
        ("", "empty"),
    ],
)
def test_a_wrong_mapping_is_told_where_it_is_wrong(rules, words):
    with pytest.raises(InvalidError) as error:
        compile_plan(mapping.parse(rules))
    assert words in str(error.value)


def test_a_file_without_a_needed_column_is_refused_before_the_first_line(tmp_path):
    with pytest.raises(InvalidError, match="no column 'mail'"):
        read(tmp_path, ORDERS, "no,sku,n,price,at\n")


def test_without_pyarrow_parquet_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "Parquet", None)
    (tmp_path / "file.parquet").write_bytes(b"")
    with pytest.raises(InvalidError, match="pip install pyarrow"):
        read_file(tmp_path / "file.parquet", mapping.parse(ORDERS))


@pytest.mark.parametrize("name", mapping.shipped())
def test_every_shipped_mapping_is_sound(name):
    compile_plan(mapping.load(name))


def shared(name: str) -> Path:
    path = Path(os.environ.get("KESHER_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")) / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set KESHER_SHARED_DATA")
    return path


def test_taobaos_clicks_are_accepted_but_for_the_truncated_line():
    outcomes, reading = read_file(shared("taobao_clickstream/UserBehavior.csv"), mapping.load("taobao_clickstream"))
    assert reasons(outcomes) == [(84_476, "unreadable line")]
    assert (reading.tally.accepted, reading.tally.accepted - reading.tally.outside) == (84_475, 84_440)
    assert len({one.call.user_id for one in outcomes if isinstance(one, Made)}) == 815


def test_the_retail_file_adds_up_to_what_is_known_about_it():
    outcomes, reading = read_file(shared("online_retail/online_retail.parquet"), mapping.load("online_retail"))
    orders = [one.call for one in outcomes if isinstance(one, Made) and one.call.event == "Order Completed"]
    assert len(orders) == 18_532
    assert len({one.user_id for one in orders}) == 4_338
    assert round(sum(one.properties["revenue"] for one in orders if one.properties), 2) == Decimal("8911407.90")
    assert dict(reading.tally.rejected) == {"no identity": 135_080}
    assert dict(reading.tally.left_out) == {"no event is made of such lines": 40}
    assert reading.tally.read == 541_909
