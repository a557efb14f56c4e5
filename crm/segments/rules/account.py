"""What is known of their companies: a trait of any, of all, or of none of the accounts they belong to."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from crm.core.i18n import _l
from crm.segments import values
from crm.segments.compare import Comparison
from crm.segments.rule import Clause, Person, Query, Reads, Rule, Sentence

Match = Literal["any", "all", "none"]
WORDS = {
    "any": _l("belongs to an account of which %(what)s%(role)s"),
    "all": _l("belongs to accounts of all of which %(what)s%(role)s"),
    "none": _l("belongs to no account of which %(what)s%(role)s"),
}
DOC = "a.traits || jsonb_strip_nulls(jsonb_build_object('key', a.key, 'name', a.name, 'domain', a.domain))"  # a trait cannot be called so


class AccountSettings(Comparison):
    """Beside its traits an account has `key`, `name` and `domain`. Who belongs to no account satisfies `none` alone."""

    match: Match = Field(default="any", title=_l("Of their accounts"))
    role: str | None = Field(
        default=None, max_length=40, title=_l("Where they are"), description=_l("A role: buyer, approver, payer, viewer, owner or member.")
    )


class Account(Rule[AccountSettings]):
    kind = "account"
    title = _l("Their company")
    settings_type = AccountSettings

    def sql(self, settings: AccountSettings, query: Query) -> Clause:
        one = settings.clause(query, "a.doc")
        role = f"AND m.role = {query.bind(settings.role, 'text')}" if settings.role else ""
        alias = query.join(
            f"SELECT m.profile_id, bool_or(coalesce({one.holds}, false)) AS some, bool_and(coalesce({one.holds}, false)) AS every, "
            f"{f'min({one.due})' if one.due else 'CAST(NULL AS timestamptz)'} AS due FROM account_members m JOIN LATERAL (SELECT {DOC} AS doc FROM accounts a "
            f"WHERE a.id = m.account_id) a ON true WHERE true {role} {query.only('m.profile_id')} GROUP BY 1"
        )
        holds = {"any": f"{alias}.some", "all": f"{alias}.every", "none": f"({alias}.some IS NOT TRUE)"}[settings.match]
        return Clause(holds, f"{alias}.due" if one.due else None)

    def read(self, settings: AccountSettings, person: Person, now: dt.datetime) -> bool:
        mine = [one for one in person.accounts if settings.role in {None, one.role}]
        answers = [settings.holds(values.dig(one.traits, settings.name), now) for one in mine]
        if settings.match == "none":
            return not any(answers)
        return bool(answers) and (any if settings.match == "any" else all)(answers)

    def reads(self, settings: AccountSettings) -> Reads:
        return Reads(accounts=True, birth=settings.match == "none")

    def sentence(self, settings: AccountSettings) -> Sentence:
        role = Sentence(_l(", being its %(role)s"), {"role": settings.role}) if settings.role else ""
        return Sentence(WORDS[settings.match], {"what": settings.sentence(), "role": role})


plugin = Account()
