"""What is sold, by name: a page of the list walks an index instead of sorting everything."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_variants_by_name ON variants (lower(name), id) WHERE NOT archived")
