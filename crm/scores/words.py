"""Features, reasons and evidence in words, for pages that translate them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from crm.core.i18n import _l
from crm.scores.feature_list import BUILT_IN, Feature

BANDS = {"hot": (_l("Hot"), "bad"), "warm": (_l("Warm"), "warn"), "cool": (_l("Cool"), "acc"), "cold": (_l("Cold"), "line")}
ALGORITHMS = {"logistic": _l("logistic regression"), "trees": _l("gradient-boosted trees")}
STATES = {"champion": _l("In use"), "challenger": _l("Compared"), "retired": _l("Earlier"), "refused": _l("Not used: no better than rules")}
STAGES = {
    "": _l("It begins in a moment."),
    "rows": _l("Looking up who did what became of them …"),
    "features": _l("Counting what was known of each at that time …"),
    "scan": _l("Looking for columns that know the outcome …"),
    "models": _l("Learning and comparing …"),
    "figures": _l("Judging on people it has not seen …"),
}
REFUSED = {
    "empty": _l("is empty for everybody"),
    "constant": _l("is the same for everybody"),
    "text": _l("is free text, not categories; import it with fewer different values, or leave it out"),
    "many": _l("has so many different values that none is shared by twenty people"),
    "serial": _l("is a different whole number for everybody, like a serial number"),
    "dates": _l("holds dates as text; import it again with the type Date"),
    "late": _l("reads what happened after the cut-off"),
    "sales": _l("is filled in by sales"),
    "outcome": _l("is filled in after the outcome"),
}
EVIDENCE = {
    "alone": _l("Alone it tells winners from others with an AUC of %(auc)s."),
    "presence": _l("Of those for whom it is filled in %(with)s won, of the others %(without)s: as if it were filled in on winning."),
    "sure": _l("%(share)s of all wins have the values %(values)s, of whom %(rate)s won."),
    "late": _l("For %(share)s of %(of)s winners it was told only after they had won."),
    "late_lost": _l("For %(share)s of %(of)s who were given up it was told only after that."),
}

AGAIN = {  # why a score that was given does not come out the same again, as far as that can be told
    "gone": _l("Some of this person’s events of that time are no longer in the log."),
    "racing": _l("Something of this person came in within half a minute of that moment; whether it counted is not kept."),
    "team": _l("Who belonged to their account then is not kept; colleagues are counted as they are today."),
    "rates": _l("Rates of other currencies may have been set or changed since; they count as they are today."),
    "release": _l("The log explains no difference: the release of that time counted something in another way."),
    "unreadable": _l("The version that gave it cannot be read any more."),
    "nobody": _l("The log does not hold what this score was given for any more."),
    "broken": _l("It could not be worked out; the log of the scoring process says more."),
}


@dataclass(frozen=True, slots=True)
class Named:
    """A feature for people: its title (to be translated unless it is the company's own word), its unit."""

    title: str
    unit: str
    own: bool = False


@cache
def _built_in() -> dict[str, Feature]:
    return {one.name: one for one in BUILT_IN}


def named(feature: str) -> Named:
    """A feature by the name it is stored under."""
    prefix, _colon, rest = feature.partition(":")
    if prefix in {"trait", "did"} and rest:
        return Named(rest, "count" if prefix == "did" else "own", own=True)
    known = _built_in().get(feature)
    return Named(known.title, known.unit) if known else Named(feature, "own", own=True)


def evidence(said: dict[str, Any]) -> str:
    """The sentence of a kind of evidence; its figures are in `said`."""
    return EVIDENCE[said["code"]]
