"""How often a schedule comes, in words: `every year, in November, on Wednesday, on day 21–27 of the month`. Pure but for the language."""

from __future__ import annotations

import re
from collections.abc import Sequence

from babel.dates import get_day_names, get_month_names
from babel.lists import format_list
from flask_babel import gettext as _

from crm.core.i18n import _l
from crm.web.i18n import region

RULES = {  # what schedules mostly say
    "FREQ=DAILY": _l("every day"),
    "FREQ=WEEKLY;BYDAY=SU": _l("every Sunday"),
    "FREQ=WEEKLY;BYDAY=MO": _l("every Monday"),
    "FREQ=WEEKLY;BYDAY=TU": _l("every Tuesday"),
    "FREQ=WEEKLY;BYDAY=WE": _l("every Wednesday"),
    "FREQ=WEEKLY;BYDAY=TH": _l("every Thursday"),
    "FREQ=WEEKLY;BYDAY=FR": _l("every Friday"),
    "FREQ=WEEKLY;BYDAY=SU,MO,TU,WE,TH": _l("Sunday to Thursday"),
    "FREQ=MONTHLY;BYMONTHDAY=1": _l("on the first of each month"),
    "FREQ=MONTHLY;BYMONTHDAY=-1": _l("on the last day of each month"),
    "FREQ=MONTHLY;BYDAY=1SU": _l("on the first Sunday of each month"),
}
EVERY = {"DAILY": _l("every day"), "WEEKLY": _l("every week"), "MONTHLY": _l("every month"), "YEARLY": _l("every year")}
APART = {"DAILY": _l("every %(n)s days"), "WEEKLY": _l("every %(n)s weeks"), "MONTHLY": _l("every %(n)s months"), "YEARLY": _l("every %(n)s years")}
WHICH = {
    "": "%(day)s",
    "1": _l("the first %(day)s"),
    "2": _l("the second %(day)s"),
    "3": _l("the third %(day)s"),
    "4": _l("the fourth %(day)s"),
    "-1": _l("the last %(day)s"),
}
WEEK = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MONTHS = set(range(1, 13))
SAID = {"FREQ", "INTERVAL", "BYMONTH", "BYDAY", "BYMONTHDAY", "COUNT"}


def recurrence(rule: str) -> str:
    """The rule in the language of the page; where it says more than we have words for, how often and the rule beside it."""
    plain = rule.removeprefix("RRULE:")
    parts = dict(each.split("=", 1) for each in plain.split(";") if "=" in each)
    often = parts.get("FREQ", "")
    if plain in RULES or often not in EVERY:
        return str(_(RULES.get(plain, rule)))
    days = [re.fullmatch(r"([+-]?\d?)([A-Z]{2})", each) for each in _listed(parts, "BYDAY")]
    months, dates = ([int(each) for each in _listed(parts, name)] for name in ("BYMONTH", "BYMONTHDAY"))
    known = all(each and each[1].removeprefix("+") in WHICH and each[2] in WEEK for each in days) and set(months) <= MONTHS and 0 not in dates
    if parts.keys() - SAID or not known:
        return f"{_(EVERY[often])} ({plain})"
    counted = often in {"MONTHLY", "YEARLY"}  # in a week or a day a rule's “first Monday” is every Monday
    said = [_(EVERY[often]) if parts.get("INTERVAL", "1") == "1" else _(APART[often], n=parts["INTERVAL"])]
    if months:
        said.append(_("in %(months)s", months=_or([get_month_names("wide", "stand-alone", locale=region())[each] for each in months])))
    names = get_day_names("wide", "stand-alone", locale=region())
    if days:
        which = [WHICH[each[1].removeprefix("+") if counted else ""] for each in days if each]
        said.append(_("on %(days)s", days=_or([_(words, day=names[WEEK.index(each[2])]) for words, each in zip(which, days, strict=True) if each])))
    if dates:
        said.append(_("on the last day of the month") if dates == [-1] else _("on day %(days)s of the month", days=_or(_runs(dates))))
    if count := parts.get("COUNT"):
        said.append(_("once in all") if count == "1" else _("%(n)s times in all", n=count))
    return ", ".join(str(each) for each in said)


def _listed(parts: dict[str, str], name: str) -> list[str]:
    return [each for each in parts.get(name, "").split(",") if each]


def _or(said: Sequence[object]) -> str:
    return format_list([str(each) for each in said], style="or", locale=region())


def _runs(dates: Sequence[int]) -> list[str]:
    """`21–27` where days follow each other; those counted from the end as they are."""
    runs: list[list[int]] = []
    for each in sorted(dates, key=lambda day: (day < 0, day)):
        if runs and each > 0 and runs[-1][-1] == each - 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return [f"{run[0]}–{run[-1]}" if len(run) > 1 else _("last") if run == [-1] else str(run[0]) for run in runs]
