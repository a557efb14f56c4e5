"""What people do with a message: opens, clicks, unsubscribes, restored carts. They come back as events."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from crm.commerce.cart import CartState
from crm.commerce.carts import carts_at, is_open
from crm.consent.ledger import REFUSED, Change, record
from crm.consent.suppression import suppress
from crm.core.crypto import Keys
from crm.events.inbox import append, system_event
from crm.events.models import Source
from crm.messages.channel import registry
from crm.messages.models import Decision, Message
from crm.messages.record import cause_of
from crm.messages.sandbox import web_address

TOO_SOON = dt.timedelta(seconds=1)  # nobody reads a mail this soon after it was handed over
MACHINES = re.compile(
    r"bot\b|bot/|crawler|spider|scanner|preview|prefetch|barracuda|mimecast|proofpoint|symantec|trendmicro|fireeye|forcepoint|sophos|messagelabs|zscaler"
    r"|office existence discovery|safelinks|urldefense|facebookexternalhit|slack-img|headlesschrome|virustotal|cloudmark",
    re.IGNORECASE,
)
APPLE_PROXY = "Mozilla/5.0"  # Apple's Mail Privacy Protection loads every picture, read or not, and says no more than this


@dataclass(frozen=True, slots=True)
class Visit:
    """What a request for one of a message's links said about itself. `purpose` is the `Sec-Purpose` or `Purpose` header."""

    method: str
    agent: str
    purpose: str = ""
    ip: str = ""


def machine(visit: Visit, sent_at: dt.datetime | None, now: dt.datetime) -> str | None:
    """Why this is not a person, or None: kept and marked, never counted."""
    if visit.method != "GET":
        return "not_get"
    if "prefetch" in visit.purpose.lower() or "preview" in visit.purpose.lower():
        return "prefetch"
    if not visit.agent or visit.agent == APPLE_PROXY or MACHINES.search(visit.agent):
        return "agent"
    if sent_at is not None and now - sent_at < TOO_SOON:
        return "too_soon"
    return None


def find(session: Session, message_id: uuid.UUID) -> Message | None:
    """The message a link belongs to."""
    return session.scalar(select(Message).where(Message.id == message_id))


def opened(session: Session, message: Message, visit: Visit, now: dt.datetime) -> None:
    """The pixel was loaded."""
    why = machine(visit, message.sent_at, now)
    if why is None and message.opened_at is None:
        session.execute(update(Message).where(Message.id == message.id, Message.opened_at.is_(None)).values(opened_at=now))
        _note(session, message, "opened", {}, now)
    _arrived(session, message, now)
    _tell(session, message, "Opened", {}, why, now)


def clicked(session: Session, message: Message, target: str, visit: Visit, now: dt.datetime) -> None:
    """A link was followed; `target` is where it leads, or `cart` for the link that restores it."""
    why = machine(visit, message.sent_at, now)
    if why is None and message.clicked_at is None:
        session.execute(update(Message).where(Message.id == message.id, Message.clicked_at.is_(None)).values(clicked_at=now))
        _note(session, message, "clicked", {"link": target}, now)
    _arrived(session, message, now)
    _tell(session, message, "Link Clicked", {"link": target}, why, now)


def unsubscribe(session: Session, keys: Keys, message: Message, visit: Visit, now: dt.datetime, *, one_click: bool = False) -> bool:
    """Refuse the message's topic and stop all marketing to its address on this channel, at once; False where its address was erased.

    Under the person's lock, like every decision about a message: what is marked afterwards sees it.
    """
    if message.address is None:
        return False
    session.execute(text("SELECT FROM profiles WHERE id = :id FOR UPDATE"), {"id": message.profile_id})
    channel = registry().get(message.channel)
    kind = channel.address_kinds[0] if channel else message.channel
    proof = {"message_id": str(message.id), "ip": visit.ip, "user_agent": visit.agent[:500], "one_click": one_click}
    change = Change(kind, message.address, message.channel, message.topic, message.purpose, REFUSED, "unsubscribe", explicit=True, proof=proof)
    changed = record(session, [change], keys, now)
    stopped = suppress(
        session, address_hash=keys.address_hash(kind, message.address), channel=message.channel, reason="unsubscribed", detail=f"message {message.id}", now=now
    )
    if changed or stopped:
        _note(session, message, "unsubscribed", {"one_click": one_click}, now)
        row = system_event("Unsubscribed", message.profile_id, _about(message) | {"one_click": one_click}, email=message.address, cause=cause_of(message.id),
                           hops=message.hops + 1, message_id=f"{message.id}:unsubscribed:{int(now.timestamp())}")  # fmt: skip
        append(session, [row], now)
    return True


def cart_of(session: Session, message: Message) -> CartState | None:
    """The cart a message is about, as it is now."""
    reference = (message.relevant_if or {}).get("cart") or message.data.get("cart")
    return carts_at(session, [(message.profile_id, reference)])[0] if reference else None


def shop_url(session: Session, cart: CartState) -> str | None:
    """Where the shop restores this cart: its source's `cart_url` with values filled in; None where it names none or cannot.

    It may hold `{cart_id}`, `{items}` (`variant:quantity,…`, product id or SKU where there is no variant) and `{currency}`; each value is quoted.
    """
    if not is_open(cart):
        return None
    pattern = session.scalar(select(Source.settings).where(Source.id == cart.source_id)) or {}
    url = web_address(str(pattern.get("cart_url") or "").replace("{cart_id}", "%00").replace("{items}", "%01").replace("{currency}", "%02"))
    if not url or ("%00" in url and not cart.named):
        return None
    items = ",".join(f"{_line_id(item)}:{item.get('quantity') or 1}" for item in cart.items.values())
    return url.replace("%00", quote(cart.key, safe="")).replace("%01", quote(items, safe=",:")).replace("%02", quote(cart.currency, safe=""))


def _line_id(item: Mapping[str, Any]) -> str:
    return str(item.get("variant_id") or item.get("variant") or item.get("product_id") or item.get("sku") or "")


def _arrived(session: Session, message: Message, now: dt.datetime) -> None:
    """An open or a click settles an `unknown`: it did go out."""
    if message.status == "unknown":
        values = {"status": "sent", "reason": None, "sent_at": message.sent_at or now}
        session.execute(update(Message).where(Message.id == message.id, Message.status == "unknown").values(**values))
        _note(session, message, "sent", {"settled_by": "feedback"}, now)


def _note(session: Session, message: Message, answer: str, detail: dict[str, Any], now: dt.datetime) -> None:
    about = {"profile_id": message.profile_id, "message_id": message.id}
    session.execute(insert(Decision).values(**about, stage="feedback", answer=answer, reason=answer, detail=detail, at=now))


def _tell(  # noqa: PLR0917  each names one thing of the event
    session: Session, message: Message, what: str, more: dict[str, Any], why: str | None, now: dt.datetime
) -> None:
    """One event per message, kind, link and minute: reloading does not flood the log."""
    channel = registry().get(message.channel)
    kind = hashlib.sha256(f"{what}:{more.get('link', '')}:{why}".encode()).hexdigest()[:12]
    properties = _about(message) | more | ({"machine": True, "machine_reason": why} if why else {"machine": False})
    name = f"{channel.event_prefix if channel else message.channel.title()} {what}"
    row = system_event(name, message.profile_id, properties, email=message.address, cause=cause_of(message.id), hops=message.hops + 1,
                       message_id=f"{message.id}:{kind}:{int(now.timestamp()) // 60}")  # fmt: skip
    append(session, [row], now)


def _about(message: Message) -> dict[str, Any]:
    return {"message_id": str(message.id), "template": message.template, "topic": message.topic, "journey": message.journey}
