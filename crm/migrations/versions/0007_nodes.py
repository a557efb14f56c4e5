"""What nodes set going: webhooks, surveys, experiments, audiences, pools of codes; what steps bring to a run."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(SQL)


SQL = """
ALTER TABLE runs ADD COLUMN data JSONB;
ALTER TABLE coupons ADD COLUMN used_at TIMESTAMP WITH TIME ZONE;
CREATE INDEX ix_coupons_code ON coupons (code);

CREATE TABLE webhook_endpoints (
  slug TEXT NOT NULL,
  url TEXT NOT NULL,
  headers JSONB DEFAULT '{}' NOT NULL,
  private BOOLEAN DEFAULT false NOT NULL,
  generation INTEGER DEFAULT 1 NOT NULL,
  resting_until TIMESTAMP WITH TIME ZONE,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_webhook_endpoints PRIMARY KEY (slug)
);

CREATE TABLE webhook_calls (
  id UUID NOT NULL,
  profile_id UUID NOT NULL,
  given_id UUID,
  journey_id INTEGER NOT NULL,
  run_id UUID NOT NULL,
  node TEXT NOT NULL,
  round SMALLINT NOT NULL,
  endpoint TEXT NOT NULL,
  path TEXT NOT NULL,
  body JSONB NOT NULL,
  status TEXT DEFAULT 'waiting' NOT NULL,
  attempts SMALLINT DEFAULT 0 NOT NULL,
  due_at TIMESTAMP WITH TIME ZONE NOT NULL,
  until TIMESTAMP WITH TIME ZONE NOT NULL,
  lease_until TIMESTAMP WITH TIME ZONE,
  answer_status SMALLINT,
  answer JSONB,
  said TEXT,
  hops SMALLINT DEFAULT 0 NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  done_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_webhook_calls PRIMARY KEY (id),
  CONSTRAINT ck_webhook_calls_status CHECK (status IN ('waiting', 'answered', 'failed', 'withdrawn')),
  CONSTRAINT uq_webhook_calls_run_id_node_round UNIQUE (run_id, node, round)
);
CREATE INDEX ix_webhook_calls_due ON webhook_calls (due_at) WHERE status = 'waiting';
CREATE INDEX ix_webhook_calls_created ON webhook_calls (created_at, id);
CREATE INDEX ix_webhook_calls_profile_id ON webhook_calls (profile_id);

CREATE TABLE surveys (
  id UUID NOT NULL,
  profile_id UUID NOT NULL,
  given_id UUID,
  survey TEXT NOT NULL,
  journey_id INTEGER NOT NULL,
  run_id UUID NOT NULL,
  node TEXT NOT NULL,
  round SMALLINT NOT NULL,
  who BYTEA NOT NULL,
  asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
  answered_at TIMESTAMP WITH TIME ZONE,
  score SMALLINT,
  comment TEXT,
  CONSTRAINT pk_surveys PRIMARY KEY (id),
  CONSTRAINT ck_surveys_score CHECK (score BETWEEN 0 AND 10),
  CONSTRAINT uq_surveys_run_id_node_round UNIQUE (run_id, node, round)
);
CREATE INDEX ix_surveys_who ON surveys (who, asked_at);
CREATE INDEX ix_surveys_answered ON surveys (survey, answered_at);
CREATE INDEX ix_surveys_profile_id ON surveys (profile_id);

CREATE TABLE split_arms (
  journey_id INTEGER NOT NULL,
  salt TEXT NOT NULL,
  profile_id UUID NOT NULL,
  run_id UUID NOT NULL,
  arm TEXT NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_split_arms PRIMARY KEY (journey_id, salt, profile_id)
);
CREATE INDEX ix_split_arms_order ON split_arms (journey_id, salt, at);
CREATE INDEX ix_split_arms_profile_id ON split_arms (profile_id);

CREATE TABLE split_results (
  journey_id INTEGER NOT NULL,
  salt TEXT NOT NULL,
  winner TEXT,
  evidence JSONB NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  CONSTRAINT pk_split_results PRIMARY KEY (journey_id, salt)
);

CREATE TABLE journey_audiences (
  journey_id INTEGER NOT NULL,
  occasion TEXT NOT NULL,
  segment TEXT NOT NULL,
  after UUID,
  members INTEGER DEFAULT 0 NOT NULL,
  at TIMESTAMP WITH TIME ZONE NOT NULL,
  done_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_journey_audiences PRIMARY KEY (journey_id, occasion)
);
CREATE INDEX ix_journey_audiences_open ON journey_audiences (journey_id) WHERE done_at IS NULL;

CREATE TABLE coupon_pools (
  name TEXT NOT NULL,
  low INTEGER DEFAULT 0 NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT pk_coupon_pools PRIMARY KEY (name)
);
"""
