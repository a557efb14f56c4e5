"""Call an endpoint of the shop's or anybody's, and wait for what it answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, CallWebhook, Duration, Node, Park, Run, Sentence, Settings, Step
from journeys.rules import dig

ANSWERED = "Webhook Answered"  # said by journeys/webhooks.py


class WebhookSettings(Settings):
    """Which endpoint of the settings, and what it is told. Later steps read `<this step>.status` and `<this step>.body.…` of the run."""

    endpoint: str = Field(
        min_length=1, max_length=60, title=_l("Endpoint"), description=_l("Set up under Settings, Webhooks."), json_schema_extra={"x-suggest": "endpoint"}
    )
    path: str = Field(default="", max_length=200, pattern=r"^[A-Za-z0-9_~-][A-Za-z0-9/_~-]*$|^$", title=_l("Path"), description=_l("Added to its address."))
    traits: list[str] = Field(default=[], max_length=20, title=_l("Traits it is told"), json_schema_extra={"x-suggest": "trait"})
    values: dict[str, str | bool | int | float] = Field(default={}, max_length=20, title=_l("Values it is told"))
    within: Duration = Field(default=dt.timedelta(hours=1), title=_l("Wait for an answer"), description=_l("It is called again until then."))

    @field_validator("within")
    @classmethod
    def _sensible(cls, value: dt.timedelta) -> dt.timedelta:
        if not dt.timedelta(seconds=10) <= value <= dt.timedelta(days=7):
            raise SaidError(_l("an answer is waited for from 10 seconds to 7 days"))
        return value


class Webhook(Node[WebhookSettings]):
    """Exits: `answered` (2xx), `failed` (it refused, or was out of reach too often), `timed_out`."""

    kind = "webhook"
    title = _l("Call a webhook")
    icon = "plug-connected"
    group = _l("Changes")
    effects = True
    first = {"within": "1h"}
    reads = frozenset({"traits"})
    settings_type = WebhookSettings

    def exits(self, settings: WebhookSettings) -> Mapping[str, str]:
        """Three."""
        return {"answered": _l("it answered"), "failed": _l("it failed"), "timed_out": _l("no answer in time")}

    def listens(self, settings: WebhookSettings) -> frozenset[str]:
        """The answer."""
        return frozenset({ANSWERED})

    def keyed(self, settings: WebhookSettings) -> frozenset[str]:
        """An answer names its run, not a cart."""
        return frozenset()

    def waits(self, settings: WebhookSettings) -> bool:
        """For the answer; it may come at once, so a loop needs another wait."""
        return False

    def step(self, settings: WebhookSettings, run: Run) -> Step:
        """Call, wait, go on by what came."""
        if event := run.answered(ANSWERED):
            said = event.properties
            brings = {"status": said.get("status"), "body": said.get("body")}
            return Advance("answered" if said.get("outcome") == "answered" else "failed", why={"status": said.get("status")}, brings=brings)
        due = run.due(run.arrived, settings.within)
        if run.now >= due:
            return Advance("timed_out", why={"endpoint": settings.endpoint})
        return Park(due, (CallWebhook(settings.endpoint, settings.path, self._told(settings, run), due),))

    def _told(self, settings: WebhookSettings, run: Run) -> dict[str, Any]:
        profile = {"id": str(run.profile_id), "traits": {name: dig(run.traits, name) for name in settings.traits}}
        return {"profile": profile, "event": {"name": run.start.name, "properties": dict(run.start.properties)}, "values": dict(settings.values)}

    def summary(self, settings: WebhookSettings) -> Sentence:
        """Whom, and how long."""
        return Sentence(_l("“%(endpoint)s”, for %(time)s at most"), {"endpoint": settings.endpoint, "time": settings.within})


plugin = Webhook()
