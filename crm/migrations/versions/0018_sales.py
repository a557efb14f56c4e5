"""Tasks of everybody, of a role and done by somebody, and what marketing handed over lately, are found by index: each read a whole table."""

from alembic import op

revision = "0018"
down_revision = "0016"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_tasks_due ON tasks (due_at, id) WHERE done_at IS NULL")
    op.execute("CREATE INDEX ix_tasks_role ON tasks (role, due_at, id) WHERE done_at IS NULL AND owner_id IS NULL AND role IS NOT NULL")
    op.execute("CREATE INDEX ix_tasks_done ON tasks (done_by, done_at, id) WHERE done_at IS NOT NULL")
    op.execute("CREATE INDEX ix_leads_mql ON leads (mql_at) WHERE mql_at IS NOT NULL")
