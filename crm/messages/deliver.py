"""6 OUT: outbox → cheap gate → render → final gate and mark → channel → record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session, sessionmaker

from crm.consent.suppression import suppress
from crm.core.clock import scaled
from crm.core.config import Config
from crm.core.crypto import Keys
from crm.messages.channel import Letter, RejectedError, TryLaterError, UncertainError, registry
from crm.messages.facts import Draft, Known, read
from crm.messages.gate import Hold, Send, decide
from crm.messages.links import links_for
from crm.messages.models import Template, TemplateVersion
from crm.messages.record import Marked, Verdict, expire_leases, mark_sending, settle
from crm.messages.render import Person, Rendered, cart_values, context_for, language_of, render
from crm.messages.sandbox import TemplateBrokenError

__all__ = ["deliver_due", "expire_leases"]

CLAIM = 64  # messages marked at once: about a second of sending
SENDING = dt.timedelta(seconds=1)  # after this long no further message of a claim is handed over; the rest goes back
LEASE = dt.timedelta(seconds=120)  # longer than SENDING and one message's network time-outs together
FIRST_RETRY, LAST_RETRY, ATTEMPTS = dt.timedelta(seconds=30), dt.timedelta(hours=2), 16  # 30 s, 1 min, … 2 h: together 18 hours
OUTAGE = dt.timedelta(seconds=5)  # for the rest of a claim once the provider is out of reach


@dataclass(frozen=True, slots=True)
class Written:
    """A rendered message that still has to pass the final gate."""

    draft: Draft
    rendered: Rendered
    version: int


def deliver_due(sessions: sessionmaker[Session], config: Config, now_fn: Callable[[], dt.datetime], limit: int = CLAIM) -> int:
    """Bring one claim of due messages to their fate; returns how many, 0 where nothing is due.

    No lock is held while the provider works. Whatever stops this process in between leaves `sending` with a lease, later `unknown`.
    """
    with sessions() as session:
        marked, handled = prepare(session, config, now_fn(), min(limit, CLAIM))
        session.commit()
    outcomes: list[Verdict] = []
    try:
        for outcome in hand_over(marked, config, now_fn):
            outcomes.append(outcome)
    finally:
        # where a channel raised something unforeseen: that message's fate is open, the ones behind it were not handed over
        outcomes += [_released(each, now_fn()) for each in marked[len(outcomes) + 1 :]]
        if outcomes:
            with sessions() as session:
                keep_bounces(session, outcomes, config, now_fn())
                settle(session, outcomes, now_fn())
                session.commit()
    return handled


def prepare(session: Session, config: Config, now: dt.datetime, limit: int) -> tuple[list[Marked], int]:
    """One transaction up to the mark; returns what may be sent once it commits, and how many messages were decided on."""
    drafts = claim(session, now, limit)
    written, refused = write(session, drafts, config, now)
    marked, dropped = mark(session, written, config, now)
    settle(session, [*refused, *dropped], now)
    return marked, len(marked) + len(refused) + len(dropped)


def claim(session: Session, now: dt.datetime, limit: int) -> list[Draft]:
    """Due rows nobody else holds, oldest first; held until the transaction ends."""
    return [Draft(*row) for row in session.execute(text(_CLAIM), {"now": now, "limit": limit})]


def write(session: Session, drafts: Sequence[Draft], config: Config, now: dt.datetime) -> tuple[list[Written], list[Verdict]]:
    """The cheap gate, then the words; returns what was written, and what will not go."""
    if not drafts:
        return [], []
    known = read(session, drafts, config, now)
    versions = latest(session, {d.template for d in drafts})
    written: list[Written] = []
    refused: list[Verdict] = []
    for draft in drafts:
        if (verdict := _refusal(draft, known, "cheap") or _impossible(draft, versions)) is not None:
            refused.append(verdict)
            continue
        version = versions[draft.template]
        try:
            written.append(Written(draft, words(draft, known, version, config), version.version))
        except TemplateBrokenError as error:
            session.execute(update(Template).where(Template.name == draft.template).values(problem=str(error)))
            refused.append(Verdict(draft, "cheap", "failed", "template_broken", {"problem": str(error)}))
    return written, refused


def words(draft: Draft, known: Known, version: TemplateVersion, config: Config) -> Rendered:
    """Render one draft in the profile's language."""
    person = known.people.get(draft.profile_id) or Person(str(draft.profile_id), "", {})
    language = language_of(person.traits, list(version.content), config.locale)
    links = links_for(config, draft.id)
    cart = known.carts.get(draft.id)
    values = cart_values(list(cart.items.values()), cart.currency, cart.value) if cart else None
    return render(version, context_for(config, person=person, cart=values, data=draft.data, links=links, language=language), links)


def mark(session: Session, written: Sequence[Written], config: Config, now: dt.datetime) -> tuple[list[Marked], list[Verdict]]:
    """The final gate under each person's lock, and the mark. People and addresses held by others keep their messages for the next claim."""
    if not written:
        return [], []
    locked = set(session.scalars(text(_LOCK), {"ids": sorted({w.draft.profile_id for w in written})}))
    mine = [w for w in written if w.draft.profile_id in locked]
    known = read(session, [w.draft for w in mine], config, now, hold=True)
    marked: list[Marked] = []
    refused: list[Verdict] = []
    seen = set()
    for each in (w for w in mine if not known.busy(w.draft)):
        address = known.facts[each.draft.id].address or ""
        reference = each.draft.reference(address)
        verdict = _refusal(each.draft, known, "final", again=reference in seen)
        if verdict is None:
            seen.add(reference)
            known.goes(each.draft)
            marked.append(Marked(each.draft, _letter(each, address, config), each.version, now + LEASE))
        else:
            refused.append(verdict)
    mark_sending(session, marked, now)
    return marked, refused


def _refusal(draft: Draft, known: Known, stage: str, *, again: bool = False) -> Verdict | None:
    if again:
        return Verdict(draft, stage, "drop", "duplicate", {"question": "not_a_repeat"})
    answer, question = decide(known.asked(draft))
    if isinstance(answer, Send):
        return None
    if isinstance(answer, Hold):
        return Verdict(draft, stage, "hold", answer.reason, {"question": question, "until": answer.until.isoformat()}, due_at=answer.until)
    return Verdict(draft, stage, "drop", answer.reason, {"question": question})


def _impossible(draft: Draft, versions: dict[str, TemplateVersion]) -> Verdict | None:
    if draft.channel not in registry():
        return Verdict(draft, "cheap", "failed", "channel_missing")
    return None if draft.template in versions else Verdict(draft, "cheap", "failed", "template_missing")


def _letter(written: Written, address: str, config: Config) -> Letter:
    draft, rendered = written.draft, written.rendered
    unsubscribe = links_for(config, draft.id).unsubscribe
    return Letter(draft.id, address, rendered.language, draft.topic, draft.purpose, rendered.subject, rendered.html, rendered.text, unsubscribe)


def latest(session: Session, names: set[str]) -> dict[str, TemplateVersion]:
    """The published version of each template."""
    wanted = select(TemplateVersion).join(Template, (Template.name == TemplateVersion.name) & (Template.version == TemplateVersion.version))
    return {version.name: version for version in session.scalars(wanted.where(Template.name.in_(names)))}


def hand_over(marked: Sequence[Marked], config: Config, now_fn: Callable[[], dt.datetime]) -> Iterator[Verdict]:
    """Send one after the other within the claim's second; what its turn did not reach goes back, unsent."""
    began, outage = now_fn(), False
    for each in marked:
        now = now_fn()
        if outage or now - began > SENDING:
            yield _released(each, now + scaled(OUTAGE, config.time_scale) if outage else now)
            continue
        verdict, outage = _send(each, config, now_fn)
        yield verdict


def _send(each: Marked, config: Config, now_fn: Callable[[], dt.datetime]) -> tuple[Verdict, bool]:
    """One message to its channel; the only place that catches what channels raise. True: nothing else has a chance now."""
    draft, address = each.draft, each.letter.address
    try:
        provider_id = registry()[draft.channel].send(each.letter, config)
    except TryLaterError as error:
        return _retry(each, str(error), config, now_fn()), error.everything
    except RejectedError as error:
        answer, reason = ("bounced", "bounce") if error.bounce else ("failed", "rejected")
        return Verdict(draft, "channel", answer, reason, {"said": str(error)}, address=address), False
    except UncertainError as error:
        return Verdict(draft, "channel", "unknown", "uncertain", {"said": str(error)}, address=address), False
    return Verdict(draft, "channel", "sent", "sent", address=address, provider_id=provider_id), False


def _released(each: Marked, due: dt.datetime) -> Verdict:
    return Verdict(each.draft, "channel", "released", "released", due_at=due)


def _retry(each: Marked, said: str, config: Config, now: dt.datetime) -> Verdict:
    tried = each.draft.attempts + 1
    if tried >= ATTEMPTS:
        return Verdict(each.draft, "channel", "failed", "gave_up", {"said": said, "attempts": tried}, address=each.letter.address)
    pause = min(FIRST_RETRY * 2 ** (tried - 1), LAST_RETRY)
    due = now + scaled(pause, config.time_scale)
    return Verdict(each.draft, "channel", "retry", "try_later", {"said": said, "attempts": tried, "due": due.isoformat()}, due_at=due)


def keep_bounces(session: Session, outcomes: Sequence[Verdict], config: Config, now: dt.datetime) -> None:
    """An address that does not exist gets nothing more."""
    keys = Keys(config.secret_key)
    for outcome in outcomes:
        if outcome.answer == "bounced" and outcome.address:
            kind = registry()[outcome.draft.channel].address_kinds[0]
            suppress(session, address_hash=keys.address_hash(kind, outcome.address), channel=outcome.draft.channel, reason="bounce",
                     detail=str(outcome.detail.get("said", "")), now=now)  # fmt: skip


_CLAIM = """
SELECT m.id, o.profile_id, m.channel, m.template, m.topic, m.purpose, m.relevant_if, m.data, m.hops, m.attempts,
       coalesce(o.freed_at, m.created_at)
FROM outbox o JOIN messages m ON m.id = o.message_id
WHERE o.due_at <= :now AND o.lease_until IS NULL ORDER BY o.due_at LIMIT :limit FOR UPDATE OF o SKIP LOCKED
"""
_LOCK = "SELECT id FROM profiles WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE SKIP LOCKED"
