"""Where the links of messages lead: pixel, click, unsubscribe, restored cart. Nobody signs in here."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from crm.commerce.carts import is_open
from crm.core.clock import now
from crm.core.crypto import Keys
from crm.core.i18n import LANGUAGES, direction
from crm.messages import feedback, links
from crm.messages.feedback import Visit
from crm.messages.mime import name_and_address
from crm.messages.models import Message
from crm.messages.render import cart_values
from crm.messages.sandbox import money
from crm.web.db import db, settings
from crm.web.security import csrf

bp = Blueprint("public", __name__)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

# These pages speak the language of the message, not of whoever is signed in, so they carry their own words.
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "gone_title": "This link leads nowhere",
        "gone": "It may have been cut off or changed on its way. Open it again from the message, or write to us.",
        "preview_title": "This is a preview",
        "preview": "The link comes from a preview of a message, so it does nothing.",
        "ask_title": "Unsubscribe?",
        "ask": "We will send no more offers to {address}. Messages about your orders still come.",
        "button": "Unsubscribe",
        "done_title": "You are unsubscribed",
        "done": "No more offers go to {address}, from this moment on.",
        "erased": "This address is not known here any more; nothing is sent to it.",
        "cart_title": "Your cart",
        "cart_over_title": "This cart is empty",
        "cart_over": "It was ordered or emptied meanwhile.",
        "quantity": "Quantity",
        "sum": "Sum",
        "cart_note": "Kept for you as you left it. To order, go back to the shop.",
    },
    "he": {
        "gone_title": "הקישור הזה לא מוביל לשום מקום",
        "gone": "ייתכן שהוא נקטע או השתנה בדרך. אפשר לפתוח אותו שוב מתוך ההודעה, או לכתוב לנו.",
        "preview_title": "זו תצוגה מקדימה",
        "preview": "הקישור הגיע מתצוגה מקדימה של הודעה, ולכן אינו עושה דבר.",
        "ask_title": "להסיר מרשימת הדיוור?",
        "ask": "לא יישלחו עוד מבצעים אל {address}. הודעות על הזמנות ימשיכו להגיע.",
        "button": "הסרה מרשימת הדיוור",
        "done_title": "ההסרה בוצעה",
        "done": "מרגע זה לא נשלחים עוד מבצעים אל {address}.",
        "erased": "הכתובת הזו כבר אינה מוכרת כאן; לא נשלח אליה דבר.",
        "cart_title": "העגלה שלך",
        "cart_over_title": "העגלה ריקה",
        "cart_over": "היא הוזמנה או רוקנה בינתיים.",
        "quantity": "כמות",
        "sum": "סכום",
        "cart_note": "העגלה שמורה עבורך כפי שהייתה. כדי להזמין, אפשר לחזור לחנות.",
    },
}


@bp.get("/o/<token>.gif")
def pixel(token: str) -> Response:
    """One transparent dot, whatever the token: a broken picture in a mail helps nobody."""
    if message := _message(links.OPEN, token):
        feedback.opened(db(), message, _visit(), now())
        db().commit()
    return Response(GIF, mimetype="image/gif")


@bp.get("/c/<token>")
def click(token: str) -> AnyResponse:
    """On to the signed target; nothing outside the token can choose it."""
    followed = links.read(_keys(), links.CLICK, token)
    if followed is None or not followed.target:
        return _page("gone", status=404)
    if followed.message_id is not None and (message := feedback.find(db(), followed.message_id)):
        feedback.clicked(db(), message, followed.target, _visit(), now())
        db().commit()
    return redirect(followed.target, 302)


@bp.get("/u/<token>")
def ask_unsubscribe(token: str) -> AnyResponse:
    """Shows a page and changes nothing: link scanners follow every link."""
    message = _message(links.UNSUBSCRIBE, token)
    if message is None:
        return _nothing(links.UNSUBSCRIBE, token)
    return _page("ask", message, button=True, address=message.address or "") if message.address else _page("done", message, note="erased")


@bp.post("/u/<token>")
def unsubscribe(token: str) -> AnyResponse:
    """Takes effect with the commit, before the answer goes out."""
    message = _message(links.UNSUBSCRIBE, token)
    if message is None:
        return _nothing(links.UNSUBSCRIBE, token)
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    known = feedback.unsubscribe(db(), _keys(), message, _visit(), now(), one_click=one_click)
    db().commit()
    return _page("done", message, address=message.address or "") if known else _page("done", message, note="erased")


csrf.exempt(unsubscribe)  # the signed token is the proof, and mail programs post by themselves (RFC 8058)


@bp.get("/cart/<token>")
def restore_cart(token: str) -> AnyResponse:
    """To the shop's own cart where its source says how, else a page that shows the cart."""
    message = _message(links.CART, token)
    if message is None:
        return _nothing(links.CART, token)
    cart = feedback.cart_of(db(), message)
    target = feedback.shop_url(db(), cart) if cart else None
    feedback.clicked(db(), message, "cart", _visit(), now())
    db().commit()
    if target:
        return redirect(target, 302)
    if cart is None or not is_open(cart):
        return _page("cart_over", message)
    return _page("cart", message, cart=cart_values(list(cart.items.values()), cart.currency, cart.value))


def _message(purpose: str, token: str) -> Message | None:
    followed = links.read(_keys(), purpose, token)
    return feedback.find(db(), followed.message_id) if followed and followed.message_id else None


def _nothing(purpose: str, token: str) -> Response:
    """A link of a preview, or none of ours."""
    followed = links.read(_keys(), purpose, token)
    return _page("preview") if followed and followed.message_id is None else _page("gone", status=404)


def _keys() -> Keys:
    return Keys(settings().secret_key)


def _visit() -> Visit:
    headers = request.headers
    purpose = headers.get("Sec-Purpose") or headers.get("Purpose") or headers.get("X-Moz") or ""
    return Visit(request.method, headers.get("User-Agent", ""), purpose, request.remote_addr or "")


def _page(kind: str, message: Message | None = None, *, status: int = 200, note: str | None = None, **values: Any) -> Response:
    """A small page in the language of the message, else of the browser, else of the installation."""
    language = (message.language if message else None) or request.accept_languages.best_match(list(LANGUAGES)) or settings().locale
    language = language if language in WORDS else "en"
    words = WORDS[language]
    sender = name_and_address(settings().mail_from)[0]
    values = {"button": False, "cart": None, "address": ""} | values
    said = {"w": words, "title": words[f"{kind}_title"], "text": words.get(note or kind, ""), "sender": sender}
    page = said | {"language": language, "dir": direction(language)}
    html = render_template("public/page.html", **page, **values, money=lambda amount, currency: money(Decimal(str(amount)), currency, language))
    return Response(html, status=status, headers={"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer", "Vary": "Accept-Language"})
