"""Who may be known twice: spelling, evidence, the queue, and how well it judges."""

from __future__ import annotations

import os
from itertools import combinations

import pytest
from sqlalchemy import text

from crm.profiles.suggest import queue
from crm.profiles.suggest.facts import Facts, facts_of
from crm.profiles.suggest.judge import Judgement, judge
from crm.profiles.suggest.settle import settle
from crm.profiles.suggest.sound import sounds, words
from tests import makers
from tests.makers import identify
from tests.profiles.test_undo import World
from workers.bench.suggestions import judged
from workers.demo.twice import JUDGING_SEEDS, population

HERZL = {"city": "Tel-Aviv", "address": {"street": "Herzl 12"}}


def facts(name: str, **traits) -> Facts:
    return facts_of({"name": name} | traits, ())


def level(one: Facts, other: Facts) -> str | None:
    found = judge(one, other)
    return found.level if found else None


@pytest.mark.parametrize(
    ("latin", "hebrew"),
    [
        ("David", "דוד"), ("David", "דויד"), ("Cohen", "כהן"), ("Kohen", "כהן"), ("Yitzhak", "יצחק"), ("Itzhak", "יצחק"), ("Rivka", "רבקה"), ("Baruch", "ברוך"),
        ("Noa", "נועה"), ("Michael", "מיכאל"), ("Eitan", "איתן"), ("Azoulay", "אזולאי"), ("Channah", "חנה"), ("Moshé", "משה"), ("Tsur", "צור"),
    ],
)  # fmt: skip
def test_a_name_sounds_alike_in_both_alphabets(latin, hebrew):
    assert sounds(words(latin)[0]) & sounds(words(hebrew)[0])


@pytest.mark.parametrize(("latin", "hebrew"), [("Michal", "מיכאל"), ("Anat", "עינת"), ("Dana", "דן"), ("Tal", "גיל"), ("Levi", "כהן")])
def test_other_names_do_not(latin, hebrew):
    assert not sounds(words(latin)[0]) & sounds(words(hebrew)[0])


def test_one_name_and_one_address_in_two_alphabets_are_one_person():
    assert level(facts("David Cohen", **HERZL), facts("כהן דויד", city="תל אביב", address="רחוב הרצל 12/4")) == "certain"


def test_one_name_and_city_are_only_likely():
    assert level(facts("David Cohen", city="Haifa"), facts("דוד כהן", city="חיפה")) == "likely"
    assert level(facts("David Cohen", city="Haifa"), facts("דוד כהן", city="אילת")) is None


def test_relatives_at_one_address_are_not_suggested():
    assert level(facts("David Cohen", **HERZL), facts("Dana Cohen", **HERZL)) is None
    assert level(facts("Michal Cohen", **HERZL), facts("מיכאל כהן", **HERZL)) != "certain"


def test_another_birthday_is_never_certain():
    assert level(facts("David Cohen", birthday="1980-05-06", **HERZL), facts("David Cohen", birthday="1955-01-02", **HERZL)) == "likely"
    assert level(facts("David Cohen", birthday="1980-05-06", **HERZL), facts("David Cohen", birthday="1980-06-05", **HERZL)) == "certain"


def test_two_user_ids_are_never_certain():
    one, other = (facts_of({"name": "David Cohen", **HERZL}, [("user_id", n)]) for n in "12")
    assert level(one, other) == "likely"


def test_odd_traits_are_not_known():
    odd = facts_of({"name": 7, "firstName": ["x"], "city": {"a": 1}, "address": 5, "birthday": "1980-99-99", "phone": {}}, ())
    assert odd == Facts((), (), (), "", None, frozenset(), frozenset())


def test_two_names_that_differ_by_an_i_are_not_certain_at_one_address():
    assert level(facts("Sarah Cohen", **HERZL), facts("Shirah Cohen", **HERZL)) == "likely"
    assert level(facts("שרה כהן", **HERZL), facts("שירה כהן", **HERZL)) == "likely"
    assert level(facts("Sara Cohen", **HERZL), facts("שירה כהן", **HERZL)) == "likely"
    assert level(facts("Sara Cohen", **HERZL), facts("שרה כהן", **HERZL)) == "certain"


def test_another_year_of_birth_in_an_address_contradicts_in_either_alphabet():
    assert level(facts("יצחק מלכה", email="yitzhak59@example.com", **HERZL), facts("Yitzhak Malka", birthday="1950-09-18", **HERZL)) == "likely"
    assert level(facts("יצחק מלכה", email="yitzhak50@example.com", **HERZL), facts("Yitzhak Malka", birthday="1950-09-18", **HERZL)) == "certain"


def test_one_name_and_birthday_in_two_places_are_only_likely():
    elsewhere = {"city": "Haifa", "address": {"street": "Bialik 3"}}
    born = {"birthday": "1980-05-06"}
    assert level(facts("David Cohen", **born, **HERZL), facts("David Cohen", **born, **elsewhere)) == "likely"
    assert level(facts("David Cohen", **born, **HERZL), facts("David Cohen", **born, address=elsewhere["address"])) == "likely"
    assert level(facts("David Cohen", **born, city="Haifa"), facts("David Cohen", **born)) == "certain"
    assert level(facts("David Cohen", **born, **HERZL), facts("David Cohen", **born, city="Tel-Aviv")) == "certain"
    mail = [{"email": f"cohen123@{host}"} for host in ("a.example", "b.example")]
    assert level(facts("David Cohen", **born, **mail[0], **HERZL), facts("David Cohen", **born, **mail[1], **elsewhere)) == "certain"


def test_day_and_month_in_each_others_place_and_one_city_are_one_person():
    assert level(facts("David Cohen", birthday="1980-05-06", city="Haifa"), facts("דוד כהן", birthday="1980-06-05", city="חיפה")) == "certain"


def test_a_year_of_birth_in_an_address_takes_the_doubt_from_a_spelling():
    sara = facts("Sara Cohen", email="sara80@example.com", **HERZL)
    assert level(sara, facts("שירה כהן", birthday="1980-05-06", **HERZL)) == "certain"
    assert level(facts("Sara Cohen", **HERZL), facts("שירה כהן", birthday="1980-05-06", **HERZL)) == "likely"


def test_two_who_are_certainly_one_third_are_one():
    moved = {"city": "Haifa", "address": {"street": "Bialik 3"}}
    known = {
        1: facts("David Cohen", birthday="1980-05-06", phone="+972502345678", **HERZL),
        2: facts("David Cohen", birthday="1980-05-06", phone="+972502345678", **moved),
        3: facts("דוד כהן", **HERZL),
        4: facts("David Cohen", **moved),
    }
    assert (1, 4) not in by_themselves(known)
    assert settle(by_themselves(known), known)[1, 4].level == "certain"
    known[4] = facts("David Cohen", birthday="1955-01-02", **HERZL)
    assert by_themselves(known)[3, 4].level == "certain"
    assert settle(by_themselves(known), known)[3, 4].level == "likely"


def by_themselves(known: dict[int, Facts]) -> dict[tuple[int, int], Judgement]:
    return {pair: found for pair in combinations(known, 2) if (found := judge(known[pair[0]], known[pair[1]]))}


def test_the_queue_fills_by_itself_and_remembers_what_was_said(session, now):
    world = World(session, now)
    world.process(
        identify({"name": "David Cohen", "email": "d@example.com", **HERZL}, at=world.ago(9), anonymous_id="a"),
        identify({"name": "דויד כהן", "email": "david@work.example", "city": "תל אביב", "address": {"street": "הרצל 12"}}, at=world.ago(8), anonymous_id="b"),
        identify({"name": "Dana Levi", "email": "dana@example.com", **HERZL}, at=world.ago(7), anonymous_id="c"),
    )
    assert queue.look(session, now) == 1
    [found] = queue.waiting(session)
    assert (found.level, found.agrees) == ("certain", ["name", "address", "city"])
    assert queue.counts(session) == {"certain": 1, "likely": 0}
    assert queue.look(session, now) == 0
    assert queue.decide(session, found.other_id, found.one_id, state="rejected", by="Dana", now=now)
    assert not queue.decide(session, found.one_id, found.other_id, state="confirmed", by="Dana", now=now)
    queue.compare(session, [found.one_id, found.other_id], now)
    assert queue.waiting(session) == []


def test_who_changes_or_is_joined_drops_out(session, now):
    world = World(session, now)
    world.process(
        identify({"name": "David Cohen", "email": "d@example.com", **HERZL}, at=world.ago(9), anonymous_id="a"),
        identify({"name": "David Cohen", "email": "david@work.example", **HERZL}, at=world.ago(8), anonymous_id="b"),
    )
    queue.look(session, now)
    [found] = queue.waiting(session)
    world.process(identify({"name": "Omer Katz"}, at=world.ago(1), anonymous_id="b"))
    queue.look(session, now)
    queue.look(session, now)
    assert queue.waiting(session) == []
    world.process(identify({"name": "David Cohen"}, at=now, anonymous_id="b"))
    queue.compare(session, [found.one_id], now)
    queue.compare(session, [found.other_id], now)
    assert len(queue.waiting(session)) == 1
    world.merge(found.one_id, found.other_id)
    queue.compare(session, [found.one_id, found.other_id], now)
    assert session.scalar(text("SELECT count(*) FROM suggestions")) == 0
    assert len(makers.profiles(session)) == 1


def test_a_small_population_is_judged_well():
    precision, recall = judged(population(7, people=2_000))
    assert precision >= 0.99
    assert recall >= 0.88


@pytest.mark.full
@pytest.mark.skipif(not os.environ.get("KESHER_TEST_FULL"), reason="20 populations of 10,000: set KESHER_TEST_FULL=1")
def test_the_judging_seeds_reach_what_is_promised():
    found = [judged(population(seed)) for seed in JUDGING_SEEDS]
    for seed, (precision, recall) in zip(JUDGING_SEEDS, found, strict=True):
        print(f"seed {seed}: precision {precision:.4f}, recall {recall:.4f}")
    assert sum(precision for precision, _ in found) / len(found) >= 0.995
    assert sum(recall for _, recall in found) / len(found) >= 0.9
