"""How an earlier score came about can be asked: the scoring process works it out again and leaves the answer with its row."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute("ALTER TABLE score_history ADD COLUMN asked_at TIMESTAMP WITH TIME ZONE, ADD COLUMN told JSONB")
    op.execute("CREATE INDEX ix_score_history_asked ON score_history (asked_at) WHERE asked_at IS NOT NULL AND told IS NULL")
