"""Stories that a team keeps beside its journeys."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(SQL)


SQL = """
CREATE TABLE journey_stories (
  journey_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  story JSONB NOT NULL,
  CONSTRAINT pk_journey_stories PRIMARY KEY (journey_id, name),
  CONSTRAINT fk_journey_stories_journey_id_journeys FOREIGN KEY (journey_id) REFERENCES journeys (id) ON DELETE CASCADE
);
"""
