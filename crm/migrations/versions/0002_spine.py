"""Whose word counts: orders and traits learn with how much trust they were told."""

from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = """
ALTER TABLE orders
  ADD COLUMN version_trust smallint NOT NULL DEFAULT 2, ADD COLUMN ordered_trust smallint NOT NULL DEFAULT 2, ADD COLUMN vouched boolean NOT NULL DEFAULT true;
CREATE TABLE large_joins (
  one_id uuid NOT NULL, other_id uuid NOT NULL, reason text NOT NULL, accepted bigint, detail jsonb NOT NULL, asked_at timestamptz NOT NULL,
  CONSTRAINT pk_large_joins PRIMARY KEY (one_id, other_id), CONSTRAINT ck_large_joins_ordered CHECK (one_id < other_id)
);
CREATE INDEX ix_large_joins_other_id ON large_joins (other_id);
CREATE INDEX ix_large_joins_asked_at ON large_joins (asked_at);
CREATE TABLE retention (
  kind text NOT NULL, days integer, done_until timestamptz, rest_until timestamptz, CONSTRAINT pk_retention PRIMARY KEY (kind)
);
CREATE INDEX ix_runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
ALTER TABLE journey_arms ADD COLUMN drawn jsonb NOT NULL DEFAULT '{}';
UPDATE journey_arms SET drawn = jsonb_build_object(profile_id, jsonb_build_array(arm, share, at));
"""
# What a public key told until now is told anew by the next event of each order; nothing is known of trust before the log is asked for it.
ORDERS = """
CREATE TEMP TABLE told ON COMMIT DROP AS
  SELECT source_id, left(coalesce(properties->>'order_id', properties->>'orderId'), 200) AS order_id, name, occurred_at, accepted,
         CASE WHEN trusted AND origin = 'live' THEN 2 WHEN trusted THEN 1 ELSE 0 END AS trust,
         left(coalesce(nullif(properties->>'refund_id', ''), nullif(message_id, ''), accepted::text), 200) AS refund
  FROM events WHERE name IN ('Order Completed', 'Order Updated', 'Order Refunded', 'Order Cancelled');
UPDATE orders o SET
  vouched = t.vouched, version_trust = coalesce(t.version_trust, CASE WHEN t.vouched THEN 2 ELSE 0 END), ordered_trust = coalesce(t.ordered_trust, 0)
FROM (
  SELECT o.source_id, o.order_id, bool_or(t.trust > 0) AS vouched, max(t.trust) FILTER (WHERE t.accepted = o.version_accepted) AS version_trust,
         max(t.trust) FILTER (WHERE t.name = 'Order Completed' AND t.occurred_at = o.ordered_at) AS ordered_trust
  FROM orders o JOIN told t USING (source_id, order_id) GROUP BY 1, 2
) t WHERE (o.source_id, o.order_id) = (t.source_id, t.order_id);
UPDATE orders o SET refunds = r.refunds FROM (
  SELECT o.source_id, o.order_id, jsonb_object_agg(said.key, jsonb_build_array(said.value, coalesce(t.trust, 2), coalesce(t.ms, 0), coalesce(t.accepted, 0))) AS refunds
  FROM orders o CROSS JOIN LATERAL jsonb_each_text(o.refunds) said
  LEFT JOIN LATERAL (
    SELECT trust, trunc(extract(epoch FROM occurred_at)::float8 * 1000)::bigint AS ms, accepted FROM told
    WHERE told.source_id = o.source_id AND told.order_id = o.order_id AND told.name = 'Order Refunded' AND told.refund = said.key
    ORDER BY trust DESC, occurred_at DESC, accepted DESC LIMIT 1
  ) t ON true
  GROUP BY 1, 2
) r WHERE (o.source_id, o.order_id) = (r.source_id, r.order_id);
"""
# Of people of whom public keys told something, the log says who told it. What it no longer holds stays as it was told.
TRAITS = """
WITH said AS (
  SELECT DISTINCT ON (e.profile_id, t.key) e.profile_id, t.key, t.value, e.accepted, e.trusted,
         trunc(extract(epoch FROM e.occurred_at)::float8 * 1000)::bigint AS ms
  FROM events e CROSS JOIN LATERAL jsonb_each(e.properties) t
  WHERE e.type = 'identify' AND e.profile_id IN (SELECT profile_id FROM events WHERE type = 'identify' AND NOT trusted)
  ORDER BY e.profile_id, t.key, e.trusted DESC, ms DESC, e.accepted DESC
), told AS (
  SELECT s.profile_id, jsonb_object_agg(s.key, s.value) AS traits,
         jsonb_object_agg(s.key, CASE WHEN s.trusted THEN jsonb_build_array(s.ms, s.accepted) ELSE jsonb_build_array(s.ms, s.accepted, 'unproven') END) AS at
  FROM said s JOIN profiles p ON p.id = s.profile_id AND p.traits_at ? s.key GROUP BY 1
)
UPDATE profiles p SET traits_at = p.traits_at || told.at,
  traits = (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(p.traits || told.traits) WHERE value <> 'null')
FROM told WHERE p.id = told.profile_id;
UPDATE profiles p SET name = left(coalesce(
  nullif(trim(p.traits->>'name'), ''),
  trim(concat_ws(' ', nullif(trim(coalesce(p.traits->>'firstName', p.traits->>'first_name')), ''), nullif(trim(coalesce(p.traits->>'lastName', p.traits->>'last_name')), '')))
), 200) WHERE id IN (SELECT profile_id FROM events WHERE type = 'identify' AND NOT trusted);
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(SCHEMA)
    connection.exec_driver_sql(ORDERS)
    connection.exec_driver_sql(TRAITS)
