"""The features that come with Kesher: each a name, words and SQL over what happened before the cut-off."""

from __future__ import annotations

from dataclasses import dataclass

from crm.core.i18n import _l

DAYS_BACK = 365  # no feature looks further back
POINTS = {1: 1, 2: 3, 3: 2, 4: 8, 5: 12, 6: 15, 7: 2, 8: 6, 9: 15, 11: 10, 12: 2}  # of an act, by its code; half of them are gone after HALF_LIFE days
HALF_LIFE, FULL = 14, 40  # and that many points are 63 of 100
OWN_EVENT = 20  # codes from here on: events of the company's own that are frequent


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature. `agg` is an aggregate over the acts before the cut-off (columns act, age, hour, weekday, money: of an order, p: properties,
    c: context); else `row` is a value of the person (`r.first_seen`, `r.known`: traits as known then, `r.cutoff`).
    """

    name: str
    title: str
    unit: str = "count"  # count | days | money | share | category | yesno | number
    agg: str = ""
    row: str = ""
    raise_it: bool = False  # something that could still happen: may be named as what would raise the score
    type: str = "number"


def _count(acts: str, days: int) -> str:
    return f"count(*) FILTER (WHERE act {acts} AND age < {days})"


def _since(acts: str) -> str:
    return f"min(age) FILTER (WHERE act {acts})"


def _earliest(value: str) -> str:
    """The first one known. The largest text, since an ordered aggregate would sort every event of everybody."""
    stamped = f"lpad(CAST(CAST(age * 86400 AS bigint) AS text), 12, '0') || ({value})"
    return f"substr(max({stamped}) FILTER (WHERE c ? 'campaign' OR c ? 'referrer'), 13)"


_CATEGORIES = (  # of 64 boxes how many are full: distinct values without sorting
    "bit_count(CAST(coalesce(bit_or(CAST(1 AS bigint) << (hashtext(p->>'category') & 63)) FILTER (WHERE act = 2 AND age < 90), 0) AS bit(64)))"
)
_MASK = "bit_or(CAST(1 AS bigint) << least(CAST(floor(age) AS integer), 62)) FILTER (WHERE act > 0 AND act <> 10)"
_DAYS = "bit_count(CAST(coalesce({mask}, 0) & {bits} AS bit(64)))"
_QUARTERS = (  # of each of fifteen days, then of fifteen more: quarters of a day in which something was seen or done, which are visits without sorting
    "bit_count(CAST(coalesce(bit_or(CAST(1 AS bigint) << CAST(floor((age - {first}) * 4) AS integer)) "
    "FILTER (WHERE act BETWEEN 1 AND 6 AND age >= {first} AND age < {first} + 15), 0) AS bit(64)))"
)
_AGENT = "coalesce(c#>>'{device,type}', c->>'userAgent')"
UNIT = "coalesce(CAST({signs} AS jsonb)->>upper(btrim(e.properties->>'currency')), nullif(upper(btrim(e.properties->>'currency')), ''), {currency})"
MONEY = """CASE WHEN e.name = 'Order Completed'
  AND jsonb_typeof(e.properties->'revenue') IN ('number', 'string') AND e.properties->>'revenue' ~ '^-?[0-9]{{1,12}}([.][0-9]+)?$'
  THEN CAST(e.properties->>'revenue' AS float8) * CASE WHEN {unit} = {currency} THEN 1 ELSE (
    SELECT CAST(k.rate AS float8) FROM rates k WHERE k.currency = {unit}
    AND k.day <= CAST(e.occurred_at AT TIME ZONE {zone} AS date) ORDER BY k.day DESC LIMIT 1) END END"""  # in the shop's currency; without a rate in no sum
ACTS = """CASE WHEN e.source_id = 1 THEN CASE WHEN e.name LIKE '% Opened' AND coalesce(e.properties->>'machine', 'false') <> 'true' THEN 7
  WHEN e.name LIKE '% Clicked' AND coalesce(e.properties->>'machine', 'false') <> 'true' THEN 8 WHEN e.name LIKE '% Replied' THEN 9
  WHEN e.name LIKE '% Sent' THEN 10 ELSE 0 END
WHEN e.name IN ('Page Viewed', 'Screen Viewed') THEN 1 WHEN e.name IN ('Product Viewed', 'Product Clicked', 'Product List Viewed') THEN 2
WHEN e.name = 'Products Searched' THEN 3 WHEN e.name = 'Product Added' THEN 4
WHEN e.name IN ('Checkout Started', 'Checkout Step Viewed', 'Payment Info Entered') THEN 5
WHEN e.name = 'Order Completed' THEN CASE WHEN {counts} THEN 6 ELSE 0 END
WHEN e.name LIKE '% Replied' OR e.name IN ('Message Received', 'Conversation Started') THEN 9
WHEN e.name = 'Lead Created' THEN CASE WHEN {counts} THEN 11 ELSE 0 END
WHEN e.name IN ('Form Submitted', 'Signed Up', 'Quote Requested') THEN 11 WHEN e.type IN ('identify', 'group', 'alias') THEN 0"""

BUILT_IN: tuple[Feature, ...] = (
    Feature("known_days", _l("Days since first seen"), "days", row="date_part('epoch', r.cutoff - r.first_seen) / 86400"),
    Feature("seen_days", _l("Days since last active"), "days", agg="min(age) FILTER (WHERE act > 0 AND act <> 10)"),
    Feature("days_7", _l("Days active in the last 7"), agg=_DAYS.format(mask=_MASK, bits=2**7 - 1), raise_it=True),
    Feature("days_30", _l("Days active in the last 30"), agg=_DAYS.format(mask=_MASK, bits=2**30 - 1), raise_it=True),
    Feature("acts_365", _l("Things done in a year"), agg=_count("> 0 AND act <> 10", 365)),
    Feature("trend", _l("This week against the month"), "share",
            agg=f"{_count('> 0 AND act <> 10', 7)} * 4.3 / nullif({_count('> 0 AND act <> 10', 30)}, 0)"),
    Feature("visits_30", _l("Visits in 30 days"), agg=f"{_QUARTERS.format(first=0)} + {_QUARTERS.format(first=15)}", raise_it=True),
    Feature("pages_30", _l("Pages seen in 30 days"), agg=_count("= 1", 30)),
    Feature("depth_30", _l("Pages and products seen per active day"), "number",
            agg=f"{_count('IN (1, 2)', 30)} / nullif(CAST({_DAYS.format(mask=_MASK, bits=2**30 - 1)} AS float8), 0)"),
    Feature("products_30", _l("Products seen in 30 days"), agg=_count("= 2", 30), raise_it=True),
    Feature("products_365", _l("Products seen in a year"), agg=_count("= 2", 365)),
    Feature("categories_90", _l("Categories seen in 90 days"), agg=_CATEGORIES),
    Feature("searches_30", _l("Searches in 30 days"), agg=_count("= 3", 30), raise_it=True),
    Feature("carts_30", _l("Added to the cart in 30 days"), agg=_count("= 4", 30), raise_it=True),
    Feature("cart_days", _l("Days since something was added to the cart"), "days", agg=_since("= 4")),
    Feature("cart_waits", _l("Something waits in the cart"), "yesno",
            agg=f"CASE WHEN {_since('= 4')} < coalesce({_since('= 6')}, 1000) AND {_since('= 4')} < 30 THEN 1 ELSE 0 END"),
    Feature("checkouts_30", _l("Checkouts begun in 30 days"), agg=_count("= 5", 30), raise_it=True),
    Feature("orders_90", _l("Orders in 90 days"), agg=_count("= 6", 90)),
    Feature("orders_365", _l("Orders in a year"), agg=_count("= 6", 365)),
    Feature("order_days", _l("Days since the last order"), "days", agg=_since("= 6")),
    Feature("value_365", _l("Bought for, in a year"), "money", agg="sum(money) FILTER (WHERE act = 6)"),
    Feature("average_order", _l("Average order"), "money", agg="avg(money) FILTER (WHERE act = 6)"),
    Feature("sent_30", _l("Messages got in 30 days"), agg=_count("= 10", 30)),
    Feature("opened_90", _l("Messages opened in 90 days"), agg=_count("= 7", 90), raise_it=True),
    Feature("clicked_90", _l("Links followed in 90 days"), agg=_count("= 8", 90), raise_it=True),
    Feature("replies_90", _l("Replies in 90 days"), agg=_count("= 9", 90), raise_it=True),
    Feature("forms_365", _l("Forms and requests in a year"), agg=_count("= 11", 365), raise_it=True),
    Feature("evening", _l("Active in the evening"), "share", agg="avg(CASE WHEN hour >= 18 THEN 1.0 ELSE 0 END) FILTER (WHERE act BETWEEN 1 AND 6)"),
    Feature("weekend", _l("Active on Friday and Saturday"), "share",
            agg="avg(CASE WHEN weekday IN (5, 6) THEN 1.0 ELSE 0 END) FILTER (WHERE act BETWEEN 1 AND 6)"),
    Feature("mobile", _l("On a phone"), "share",  # a device that nobody named is no other device
            agg=f"avg(CAST({_AGENT} ~* 'mobi|ios|android|iphone' AS integer)) FILTER (WHERE act IN (1, 2) AND age < 90)"),
    Feature("sentiment", _l("Tone of conversations"), "number",
            agg="avg(CASE WHEN jsonb_typeof(p->'sentiment') = 'number' THEN CAST(p->>'sentiment' AS float8) END) FILTER (WHERE act IN (9, 12) AND age < 90)"),
    Feature("members", _l("Colleagues in the account"), row="t.members"),
    Feature("members_30", _l("What colleagues did in 30 days"), row="t.acts"),
    Feature("source", _l("Came from"), "category", type="category", agg=_earliest("coalesce(c#>>'{campaign,source}', c#>>'{referrer,type}')")),
    Feature("campaign", _l("Campaign"), "category", type="category", agg=_earliest("c#>>'{campaign,name}'")),
    Feature("language", _l("Language"), "category", type="category", row="left(lower(coalesce(r.known->>'language', r.known->>'locale')), 2)"),
    Feature("country", _l("Country"), "category", type="category", row="coalesce(r.known->>'country', r.known#>>'{address,country}')"),
)  # fmt: skip
