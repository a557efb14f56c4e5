"""Send one message from a template; the gate decides whether it may go."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, Node, Run, SendMessage, Sentence, Settings, Step


class SendSettings(Settings):
    """Which words, over which channel."""

    channel: str = Field(default="email", min_length=1, max_length=40, title=_l("Channel"), json_schema_extra={"x-suggest": "channel"})
    template: str = Field(min_length=1, max_length=100, title=_l("Template"), json_schema_extra={"x-suggest": "template"})
    while_cart_open: bool = Field(default=False, title=_l("Only while the cart is open and not empty"))


class Send(Node[SendSettings]):
    """Queues and goes on; holds, refusals and failures are the message's own story."""

    kind = "send"
    title = _l("Send")
    icon = "mail"
    group = _l("Messages")
    first = {"channel": "email"}
    effects = True
    settings_type = SendSettings

    def exits(self, settings: SendSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: SendSettings, run: Run) -> Step:
        """Always one message a round."""
        wanted = SendMessage(settings.channel, settings.template, settings.while_cart_open)
        return Advance(effects=(wanted,), why={"template": settings.template, "channel": settings.channel})

    def summary(self, settings: SendSettings) -> Sentence:
        """What, over which channel."""
        return Sentence(_l("“%(template)s” by %(channel)s"), {"template": settings.template, "channel": settings.channel})


plugin = Send()
