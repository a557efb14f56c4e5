"""The words of scores: features, reasons, evidence and notices as sentences of the page's language."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup, escape

from crm.core.i18n import _l
from crm.scores import words
from crm.scores.score import Asked
from crm.scores.score_models import BANDS, ScoreJob
from crm.web.isolates import bdi, ltr, money, num, sentence
from crm.web.show import pct, span

MEASURES = (
    ("auc", _l("AUC"), _l("The chance that somebody who wins stands above somebody who does not.")),
    ("ap", _l("Average precision"), _l("How pure the top of the queue is, all the way down.")),
    ("brier", _l("Brier score"), _l("Mean squared distance of promise and outcome; smaller is better.")),
    ("ece", _l("Calibration error"), _l("How far promises are from what happens, over ten equal groups.")),
    ("lift10", _l("Lift, first tenth"), _l("How many times as often the first tenth wins.")),
    ("p20", _l("Of the first 20, won"), _l("The first twenty of the queue.")),
)
ORDER = BANDS


def title(score: Asked) -> Markup:
    """A score's title: ours in the page's language, the company's as it is."""
    return bdi(score.title) if score.own else escape(_(score.title))


def about(score: Asked) -> str:
    """What it predicts, and for whom."""
    return str(_(score.about))


def band(name: str) -> tuple[str, str]:
    """Its words and tone."""
    text, tone = words.BANDS[name]
    return str(_(text)), tone


def feature(name: str) -> Markup:
    """A feature's title; the company's own words are isolated."""
    found = words.named(name)
    if name.startswith("did:"):
        return Markup(sentence(_l("%(event)s in 90 days"), event=bdi(found.title)))  # noqa: S704  isolated
    return bdi(found.title) if found.own else escape(_(found.title))


def value(name: str, found: Any) -> Markup:  # noqa: PLR0911  one answer a unit
    """A feature's value with its unit."""
    unit = words.named(name).unit
    if found is None:
        return escape(_("never") if unit == "days" else _("not known"))
    if isinstance(found, str):
        return bdi(_("another")) if found == "…" else bdi(found)
    if unit == "days":
        return bdi(span(float(found) * 86400))
    if unit == "money":
        return money(found)
    if unit == "share":
        return pct(found)
    if unit == "yesno":
        return escape(_("yes") if found else _("no"))
    return num(round(float(found), 1) if found % 1 else int(found))


def reason(said: dict[str, Any]) -> Markup:
    """`Products seen in 30 days: 7`."""
    return Markup("{}: {}").format(feature(said["feature"]), value(said["feature"], said["value"]))


def points(said: dict[str, Any]) -> Markup:
    """By how many points of the chance, with its sign."""
    size = float(said["points"])
    return ltr(f"{'+' if size > 0 else '−'}{abs(size):.0f}" if abs(size) >= 1 else f"{'+' if size > 0 else '−'}{abs(size):.1f}")


def again(code: str) -> str:
    """Why an earlier score does not come out the same again."""
    return str(_(words.AGAIN[code]))


def evidence(said: dict[str, Any]) -> str:
    """Why a column was left out."""
    shown: dict[str, object] = {name: pct(said[name]) for name in ("with", "without", "share", "rate") if name in said}
    if "auc" in said:
        shown["auc"] = num(said["auc"])
    if "of" in said:
        shown["of"] = num(said["of"])
    if "values" in said:
        shown["values"] = Markup(", ").join(bdi(one) for one in said["values"])
    return sentence(words.evidence(said), **shown)


def refused(said: dict[str, Any]) -> str:
    """Why a column was not used."""
    sentence_ = words.REFUSED[said["code"]]
    return str(_(sentence_))


def version_state(state: str) -> str:
    """Whether a version is in use."""
    return str(_(words.STATES[state]))


def algorithm(name: str) -> str:
    """The estimator."""
    return str(_(words.ALGORITHMS[name]))


def stage(job: ScoreJob) -> str:
    """What a training does now."""
    return str(_(words.STAGES.get(job.stage, words.STAGES[""])))


def outcome(job: ScoreJob | None) -> str:
    """Why the latest training led to nothing; empty where it did."""
    if job is None or job.status != "failed":
        return ""
    found: dict[str, Any] = job.said or {}
    own: str = found.get("text", "")
    return str(_(own)) if found.get("code") == "error" else str(_("The training broke; the log says more. The score stays as it was."))


TROUBLE = {
    "broken": _l("The version in use cannot be read any more, so rules by points are used. A new version is being trained."),
    "raises": _l("An error came up while this score was given, so everybody keeps the score they have; the log says more. The next round tries again."),
}


def notice(said: dict[str, Any]) -> tuple[str, str]:
    """A sentence for the top of the page, and its tone."""
    code = said.get("code")
    if code == "not_enough":
        shown = {name: num(said[name]) for name in ("wins", "rows", "least_wins", "least_rows")}
        return sentence(
            _l("Not enough data: %(wins)s wins among %(rows)s; %(least_wins)s among %(least_rows)s are needed. Until then rules by points are used."),
            **shown,
        ), ""  # fmt: skip
    if code == "fallback":
        return sentence(
            _l("Rules by points are in use: of the %(band)s people %(promised)s were promised, and %(actual)s came. A new version is being trained."),
            band=band(said["band"])[0], promised=pct(said["promised"]), actual=pct(said["actual"]),
        ), "warn"  # fmt: skip
    if code == "drift":
        words_ = _l("Drift: %(feature)s is not as it was in training (%(psi)s). The score stays in use, and is being trained again.")
        return sentence(words_, feature=feature(said["feature"]), psi=ltr(f"PSI {said['psi']:.2f}")), "warn"
    if code in TROUBLE:
        return _(TROUBLE[code]), "warn"
    if code == "refused":
        return sentence(_l("Version %(number)s was no better than rules by points, so rules are used."), number=num(said["version"])), ""
    return _("Somebody here chose rules by points instead of the model."), ""


def finding_calibration(groups: list[dict[str, float]]) -> str:
    """What the plot shows, as a sentence."""
    inside = sum(each["low"] <= each["promised"] <= each["high"] for each in groups)
    if inside == len(groups):
        return str(_("What was promised is what happened: in all groups the promise lies inside the interval."))
    return sentence(_l("In %(inside)s of %(all)s groups the promise lies inside the interval of what happened."), inside=num(inside), all=num(len(groups)))


def finding_roc(curve: list[list[float]], rules: list[list[float]]) -> str:
    """How many winners are found by calling half of the losers."""
    words_ = _l("Calling a fifth of the others in vain finds %(found)s of the winners; rules by points find %(rules)s.")
    return sentence(words_, found=pct(_at(curve, 0.2)), rules=pct(_at(rules, 0.2)))


def _at(curve: list[list[float]], vain: float) -> float:
    """The height of the curve there."""
    before = [0.0, 0.0]
    for one in curve:
        if one[0] >= vain:
            width = one[0] - before[0]
            return one[1] if width <= 0 else before[1] + (one[1] - before[1]) * (vain - before[0]) / width
        before = one
    return 1.0
