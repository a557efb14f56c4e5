"""Each built-in trait as SQL over `:ids`: rows of (profile_id, name, value, since, events)."""

from __future__ import annotations

from crm.events.acts import ACTS

ORDERS = ("orders", "revenue", "average_order", "order_every_days", "last_order", "shrinking_basket")
ORDERS_SQL = """
SELECT f.profile_id, v.name, v.value, v.since, v.events FROM (
    SELECT profile_id, count(*) AS n, count(*) FILTER (WHERE own) AS own, sum(net) FILTER (WHERE own) AS net, min(ordered_at) AS first, max(ordered_at) AS last,
           avg(net) FILTER (WHERE own AND nth <= 2) AS recent, avg(net) FILTER (WHERE own AND nth > 2) AS earlier
    FROM (SELECT profile_id, ordered_at, currency = :currency AS own, revenue - refunded AS net,
                 row_number() OVER (PARTITION BY profile_id, currency = :currency ORDER BY ordered_at DESC, order_id) AS nth
          FROM orders WHERE profile_id = ANY(:ids) AND ordered_at IS NOT NULL AND cancelled_at IS NULL) o
    GROUP BY profile_id
) f, LATERAL (VALUES
    ('orders', to_jsonb(n), first, n),
    ('revenue', to_jsonb(round(net, 2)), first, own),
    ('average_order', to_jsonb(round(net / nullif(own, 0), 2)), first, own),
    ('order_every_days', to_jsonb(round(CAST(extract(epoch FROM last - first) / 86400 / nullif(n - 1, 0) AS numeric), 1)), first, n),
    ('last_order', to_jsonb(last), first, n),
    ('shrinking_basket', CASE WHEN own >= 4 THEN to_jsonb(recent < 0.8 * earlier) END, first, own)
) v(name, value, since, events) WHERE v.value IS NOT NULL
"""

SEEN = ("last_seen",)
SEEN_SQL = f"""
SELECT e.profile_id, 'last_seen' AS name, to_jsonb(max(e.occurred_at)) AS value, min(e.occurred_at) AS since, count(*) AS events
FROM events e WHERE e.profile_id = ANY(:ids) AND {ACTS} GROUP BY e.profile_id
"""  # noqa: S608  a constant of this module

HABITS = ("last_open", "last_click", "preferred_channel", "preferred_hour")
HABITS_SQL = f"""
SELECT f.profile_id, v.name, v.value, v.since, v.events FROM (
    SELECT e.profile_id,
           count(*) FILTER (WHERE opened) AS opens, max(at) FILTER (WHERE opened) AS last_open, min(at) FILTER (WHERE opened) AS first_open,
           count(*) FILTER (WHERE clicked) AS clicks, max(at) FILTER (WHERE clicked) AS last_click, min(at) FILTER (WHERE clicked) AS first_click,
           count(*) FILTER (WHERE opened OR clicked) AS touches, min(at) FILTER (WHERE opened OR clicked) AS first_touch, min(at) AS first,
           mode() WITHIN GROUP (ORDER BY channel) FILTER (WHERE opened OR clicked) AS channel, mode() WITHIN GROUP (ORDER BY hour) AS hour, count(*) AS n
    FROM (SELECT e.profile_id, e.occurred_at AS at, e.name LIKE '% Opened' AS opened, e.name LIKE '% Clicked' AS clicked,
                 lower(split_part(e.name, ' ', 1)) AS channel, CAST(extract(hour FROM e.occurred_at AT TIME ZONE z.zone) AS integer) AS hour
          FROM unnest(CAST(:ids AS uuid[]), CAST(:zones AS text[])) z(profile_id, zone) JOIN events e ON e.profile_id = z.profile_id
          WHERE {ACTS}
            AND (e.name = 'Order Completed' OR (e.source_id = 1 AND (e.name LIKE '% Opened' OR e.name LIKE '% Clicked')))) e
    GROUP BY e.profile_id
) f, LATERAL (VALUES
    ('last_open', to_jsonb(last_open), first_open, opens), ('last_click', to_jsonb(last_click), first_click, clicks),
    ('preferred_channel', to_jsonb(channel), first_touch, touches), ('preferred_hour', to_jsonb(hour), first, n)
) v(name, value, since, events) WHERE v.value IS NOT NULL
"""  # noqa: S608  a constant of this module

AFFINITY = ("category_affinity", "brand_affinity")
HALF_LIFE_DAYS = 30  # what was looked at a month ago counts half; an order counts five looks, a cart three
AFFINITY_SQL = f"""
SELECT profile_id, name, jsonb_object_agg(key, round(CAST(weight / total AS numeric), 2) ORDER BY place) AS value, min(first) AS since, max(n) AS events FROM (
    SELECT profile_id, name, key, weight, sum(weight) OVER who AS total, min(since) OVER who AS first, CAST(sum(count) OVER who AS bigint) AS n,
           row_number() OVER (PARTITION BY profile_id, name ORDER BY weight DESC, key) AS place
    FROM (SELECT e.profile_id, k.name, k.key, min(e.occurred_at) AS since, count(*) AS count,
                 sum(w.weight * power(0.5::float8, extract(epoch FROM CAST(:now AS timestamptz) - e.occurred_at)::float8 / 86400 / {HALF_LIFE_DAYS})) AS weight
          FROM events e JOIN (VALUES ('Product Viewed', 1), ('Product Added', 3), ('Order Completed', 5)) w(name, weight) ON w.name = e.name
          CROSS JOIN LATERAL jsonb_array_elements(
              CASE WHEN jsonb_typeof(e.properties->'products') = 'array' THEN e.properties->'products' ELSE jsonb_build_array(e.properties) END) AS item
          CROSS JOIN LATERAL (VALUES ('category_affinity', item->>'category'), ('brand_affinity', item->>'brand')) k(name, key)
          WHERE e.profile_id = ANY(:ids) AND k.key <> '' AND length(k.key) <= 100
          GROUP BY e.profile_id, k.name, k.key) each_key
    WINDOW who AS (PARTITION BY profile_id, name)
) ranked WHERE place <= 5 AND total > 0 GROUP BY profile_id, name
"""  # noqa: S608  a constant of this module

STANDING = ("lifecycle", "silent", "rfm")
STANDING_SQL = """
SELECT f.id AS profile_id, v.name, v.value, v.since, v.events FROM (
    SELECT p.id, coalesce(o.n, 0) AS n, o.last, o.net, p.first_seen, p.last_seen, CAST(:now AS timestamptz) AS at,
           greatest(interval '60 days', 2 * (o.last - o.first) / nullif(o.n - 1, 0)) AS due, CAST(:bounds AS jsonb) AS b
    FROM profiles p LEFT JOIN (
        SELECT profile_id, count(*) AS n, min(ordered_at) AS first, max(ordered_at) AS last, sum(revenue - refunded) FILTER (WHERE currency = :currency) AS net
        FROM orders WHERE profile_id = ANY(:ids) AND ordered_at IS NOT NULL AND cancelled_at IS NULL GROUP BY profile_id
    ) o ON o.profile_id = p.id
    WHERE p.id = ANY(:ids) AND p.merged_into IS NULL
) f, LATERAL (VALUES
    ('lifecycle', to_jsonb(CASE WHEN n = 0 THEN 'visitor'
                                WHEN last > at - due THEN (CASE WHEN n = 1 THEN 'first_order' WHEN n = 2 THEN 'repeat' ELSE 'loyal' END)
                                WHEN last > at - 2 * due THEN 'at_risk' ELSE 'lost' END),
     CASE WHEN n = 0 THEN first_seen WHEN last > at - due THEN last WHEN last > at - 2 * due THEN last + due ELSE last + 2 * due END, n),
    ('silent', to_jsonb(last_seen < at - greatest(interval '30 days', due / 2)), last_seen, n),
    ('rfm', CASE WHEN n > 0 AND b ? 'frequency' THEN to_jsonb(concat(
        1 + width_bucket(extract(epoch FROM last)::float8, ARRAY(SELECT CAST(jsonb_array_elements_text(b->'recency') AS float8))),
        1 + width_bucket(n::float8, ARRAY(SELECT CAST(jsonb_array_elements_text(b->'frequency') AS float8))),
        1 + width_bucket(coalesce(net, 0)::float8, ARRAY(SELECT CAST(jsonb_array_elements_text(b->'money') AS float8))))) END, last, n)
) v(name, value, since, events) WHERE v.value IS NOT NULL
"""

BOUNDS_SQL = """
SELECT jsonb_build_object(
    'recency', to_jsonb(percentile_cont(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY extract(epoch FROM last)::float8)),
    'frequency', to_jsonb(percentile_cont(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY n::float8)),
    'money', to_jsonb(percentile_cont(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY net::float8)))
FROM (SELECT max(ordered_at) AS last, count(*) AS n, coalesce(sum(revenue - refunded) FILTER (WHERE currency = :currency), 0) AS net
      FROM orders WHERE ordered_at IS NOT NULL AND cancelled_at IS NULL GROUP BY profile_id) buyers
HAVING count(*) >= :least
"""

# A number as JSON writes it, however exact (0.1 + 0.2 is 0.30000000000000004 in a browser); a text that is plainly one.
NUMBER = """CASE jsonb_typeof(e.properties->:property)
WHEN 'number' THEN CASE WHEN abs(CAST(e.properties->>:property AS numeric)) < 1e15 THEN CAST(e.properties->>:property AS numeric) END
WHEN 'string' THEN CASE WHEN e.properties->>:property ~ '^-?[0-9]{1,15}([.][0-9]{1,6})?$' THEN CAST(e.properties->>:property AS numeric) END END"""
SAID = "FILTER (WHERE jsonb_typeof(e.properties->:property) <> 'null')"
ONE_OF = {
    "count": "to_jsonb(count(*))",
    "distinct": "to_jsonb(count(DISTINCT e.properties->>:property))",
    "first": f"(array_agg(e.properties->:property ORDER BY e.occurred_at, e.accepted) {SAID})[1]",
    "last": f"(array_agg(e.properties->:property ORDER BY e.occurred_at DESC, e.accepted DESC) {SAID})[1]",
    **{name: f"to_jsonb(round({name}({NUMBER}), 2))" for name in ("sum", "avg", "min", "max")},
}
OWN_SQL = """
SELECT e.profile_id, CAST(:name AS text) AS name, {value} AS value, min(e.occurred_at) AS since, count(*) AS events
FROM events e WHERE e.profile_id = ANY(:ids) AND e.name = :event AND e.occurred_at > :from GROUP BY e.profile_id
"""

APPLY = """
WITH fresh AS MATERIALIZED (SELECT * FROM ({query}) q WHERE value IS NOT NULL), written AS (
    INSERT INTO computed_traits AS c (profile_id, name, value, since, events, computed_at)
    SELECT profile_id, name, value, since, events, :now FROM fresh
    ON CONFLICT (profile_id, name) DO UPDATE SET (value, since, events, computed_at) = (excluded.value, excluded.since, excluded.events, excluded.computed_at)
    WHERE (c.value, c.since, c.events) IS DISTINCT FROM (excluded.value, excluded.since, excluded.events)
    RETURNING c.profile_id, c.name
), gone AS (
    DELETE FROM computed_traits c WHERE c.profile_id = ANY(:ids) AND c.name = ANY(:names)
    AND NOT EXISTS (SELECT FROM fresh f WHERE f.profile_id = c.profile_id AND f.name = c.name) RETURNING c.profile_id, c.name
) SELECT profile_id, name FROM written UNION ALL SELECT profile_id, name FROM gone
"""
