"""What granian serves in these tests: the door alone."""

from crm.core.config import from_environment
from crm.core.db import engine_for, sessions
from crm.events.intake import Intake

config = from_environment()
application = Intake(config, sessions(engine_for(config.database_url)))
