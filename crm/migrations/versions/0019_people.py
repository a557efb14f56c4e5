"""When somebody was last seen is what they did last: what Kesher wrote about them, a message sent or a segment entered, had counted too."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute(LAST_SEEN)


LAST_SEEN = """
UPDATE profiles p SET last_seen = w.last FROM (
  SELECT e.profile_id, coalesce(
    max(e.occurred_at) FILTER (WHERE e.source_id <> 1 OR ((e.name LIKE '% Opened' OR e.name LIKE '% Clicked') AND coalesce(e.properties->>'machine', 'false') <> 'true')),
    min(e.occurred_at)) AS last
  FROM events e GROUP BY e.profile_id
) w WHERE w.profile_id = p.id AND p.merged_into IS NULL AND p.last_seen <> w.last
"""
