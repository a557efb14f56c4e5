"""Codes into words, in one place: events, reasons, states, roles. Texts are marked here and translated when shown."""

from __future__ import annotations

from flask_babel import gettext as _

from crm.core.errors import KesherError
from crm.core.i18n import LANGUAGES, _l
from crm.core.mistakes import Mistake
from crm.messages.gate import REASONS as GATE_REASONS

LANGUAGE_NAMES = dict(LANGUAGES)
EVENTS = {  # name -> (words, icon, tone)
    "Segment Entered": (_l("Came into a segment"), "users-group", ""),
    "Segment Left": (_l("Left a segment"), "users-group", ""),
    "List Joined": (_l("Put on a list"), "list", ""),
    "List Left": (_l("Taken off a list"), "list", ""),
    "Page Viewed": (_l("Page viewed"), "world", ""),
    "Screen Viewed": (_l("Screen viewed"), "device-mobile", ""),
    "identify": (_l("Details learned"), "id", ""),
    "group": (_l("Linked to a company"), "building", ""),
    "alias": (_l("Two ids linked"), "git-merge", ""),
    "Product Viewed": (_l("Product viewed"), "eye", ""),
    "Product List Viewed": (_l("Product list viewed"), "list", ""),
    "Products Searched": (_l("Search in the shop"), "search", ""),
    "Back In Stock Requested": (_l("Asked to be told when it is back"), "bell", ""),
    "Back In Stock Cancelled": (_l("No longer waits for it"), "x", ""),
    "Back In Stock Notified": (_l("Told that it is back"), "bell", "ok"),
    "Product Updated": (_l("Product described"), "package", ""),
    "Product Stock Changed": (_l("Stock changed"), "package", ""),
    "Product Price Changed": (_l("Price changed"), "tag", ""),
    "Product Back In Stock": (_l("What they wanted is back in stock"), "package", "ok"),
    "Product Price Dropped": (_l("What they wanted got cheaper"), "tag", "ok"),
    "Product Added": (_l("Product added to the cart"), "shopping-cart-plus", "acc"),
    "Product Removed": (_l("Product removed from the cart"), "shopping-cart-minus", ""),
    "Product Added to Wishlist": (_l("Product added to the wish list"), "heart", ""),
    "Cart Viewed": (_l("Cart viewed"), "shopping-cart", ""),
    "Cart Updated": (_l("Cart updated"), "shopping-cart", ""),
    "Cart Cleared": (_l("Cart emptied"), "shopping-cart-off", ""),
    "Checkout Started": (_l("Checkout started"), "credit-card", "acc"),
    "Order Completed": (_l("Order placed"), "receipt", "ok"),
    "Order Updated": (_l("Order updated"), "receipt", ""),
    "Order Cancelled": (_l("Order cancelled"), "receipt-off", ""),
    "Order Changed": (_l("Somebody else's event changed the order"), "receipt", ""),
    "Order Refunded": (_l("Order refunded"), "receipt-refund", ""),
    "Order Delivered": (_l("Order delivered"), "package", "ok"),
    "Signed Up": (_l("Signed up"), "user-plus", "acc"),
    "Email Sent": (_l("E-mail sent"), "mail", ""),
    "Email Opened": (_l("E-mail opened"), "mail-opened", ""),
    "Email Link Clicked": (_l("Link in an e-mail followed"), "link", ""),
    "Email Bounced": (_l("E-mail bounced"), "mail-x", "bad"),
    "Email Failed": (_l("E-mail failed"), "alert-circle", "bad"),
    "Email Outcome Unknown": (_l("E-mail with an uncertain outcome"), "help-octagon", ""),
    "Unsubscribed": (_l("Unsubscribed"), "mail-off", "bad"),
    "Consent Granted": (_l("Consent given"), "circle-check-filled", "ok"),
    "Consent Refused": (_l("Consent refused"), "ban", ""),
    "Journey Started": (_l("Journey began"), "route", ""),
    "Journey Ended": (_l("Run ended"), "route", ""),
    "Journey Held Out": (_l("Left out of a journey, to measure its effect"), "route", ""),
    "Audience Reached": (_l("Brought in with everybody in a segment"), "users-group", ""),
    "NPS Answered": (_l("Recommendation score given"), "heart", ""),
    "Webhook Answered": (_l("Webhook answered"), "plug-connected", ""),
    "Journey Requested": (_l("Journey asked for"), "route", ""),
    "Date Reached": (_l("Date reached"), "calendar", ""),
    "Lead Created": (_l("Came as a lead"), "user-plus", "acc"),
    "Lead Status Changed": (_l("Lead: status changed"), "phone", ""),
    "Lead Assigned": (_l("Lead given to somebody"), "user-plus", ""),
    "Call Logged": (_l("Call"), "phone", "acc"),
    "Call Withdrawn": (_l("A logged call was taken back"), "arrow-back-up", ""),
    "Task Done": (_l("Task done"), "list-check", "ok"),
    "Task Late": (_l("Task late"), "alarm", "bad"),
    "Score Band Changed": (_l("Score moved to another band"), "chart-bar", ""),
    "Score Band Given": (_l("Score given"), "chart-bar", ""),
    "Deal Stage Changed": (_l("Deal moved"), "credit-card", "acc"),
    "Deal Won": (_l("Deal won"), "circle-check-filled", "ok"),
    "Deal Lost": (_l("Deal lost"), "circle-x-filled", "bad"),
}
STATUSES = {  # message status -> (words, tone, icon)
    "queued": (_l("Pending"), "", "clock"),
    "held": (_l("Held"), "warn", "clock-pause"),
    "sending": (_l("Sending"), "", "send"),
    "sent": (_l("Sent"), "ok", "check"),
    "dropped": (_l("Dropped"), "", "ban"),
    "failed": (_l("Failed"), "bad", "alert-circle"),
    "unknown": (_l("Unknown"), "acc", "help-octagon"),
}
STATUS_COUNTS = {  # behind a number
    "queued": _l("pending"),
    "held": _l("held"),
    "sending": _l("being sent"),
    "sent": _l("sent"),
    "dropped": _l("dropped"),
    "failed": _l("failed"),
    "unknown": _l("unknown"),
}
OWN_REASONS = {
    "": _l("No reason was needed."),
    "suppressed": _l("Nothing may be sent to this address."),
    "bounced": _l("The address does not exist; nothing is sent to it."),
    "holdout": _l("Kept aside in the holdout, to measure the effect."),
    "finished": _l("It came to its end."),
    "cart_closed": _l("The cart was ordered or emptied."),
    "new_version": _l("A new version of the journey ended it."),
    "dropped": _l("It came due while the journey was paused, and was dropped when it went on."),
    "too_many_steps": _l("It went in circles and was stopped."),
    "not_written": _l("It could not be written down and was stopped."),
    "merged": _l("Two runs of one person became one."),
    "stopped": _l("Somebody stopped the journey."),
    "erased": _l("The person asked to be erased."),
    "too_late": _l("The event came too late to start anything."),
    "already_in": _l("A run for the same thing is already going on."),
    "history": _l("It came from an import; the past starts nothing."),
    "too_large": _l("The event is larger than 32 KB."),
    "no_identity": _l("It names nobody: no userId, no anonymousId, no usable e-mail or phone."),
    "no_name": _l("The event has no name."),
    "reserved_name": _l("Only Kesher itself says this."),
    "bad_json": _l("It is not valid JSON, or a field has the wrong type."),
    "bad_type": _l("The type is none of the Segment calls."),
    "bad_time": _l("Its time could not be read."),
    "too_old": _l("It happened too long ago for a live event."),
    "odd_value": _l("A sum, a price or a stock in it is not a number, or its currency is none, so nothing was counted."),
    "failed": _l("Processing it raised an error."),
}
REASONS = {**OWN_REASONS, **GATE_REASONS}
STAGES = {
    "queued": _l("Queued"),
    "cheap": _l("First check"),
    "final": _l("Final check, under the person's lock"),
    "channel": _l("Mail server"),
    "feedback": _l("What came back"),
}
ANSWERS = {
    "queue": _l("Queued"),
    "queued": _l("Queued"),
    "send": _l("May go"),
    "hold": _l("Hold"),
    "drop": _l("Drop"),
    "sent": _l("Accepted by the mail server"),
    "failed": _l("Refused for good"),
    "retry": _l("Try again later"),
    "unknown": _l("Outcome unknown"),
    "opened": _l("Opened"),
    "clicked": _l("Link followed"),
    "bounced": _l("Bounced"),
    "unsubscribed": _l("Unsubscribed"),
}
ROLES = {"admin": _l("Admin"), "marketer": _l("Marketing"), "sales": _l("Sales"), "agent": _l("Service"), "viewer": _l("Viewer")}
ROLE_MEANS = {
    "admin": _l("everything, also users and keys"),
    "marketer": _l("people, journeys, messages and sources"),
    "sales": _l("people and their messages"),
    "agent": _l("people and their messages"),
    "viewer": _l("looks at everything but settings, changes nothing"),
}
CHANNELS = {"email": _l("E-mail"), "sms": _l("SMS"), "whatsapp": _l("WhatsApp"), "webhook": _l("Webhook"), "push": _l("Web push")}
CHANNEL_ICONS = {"email": "mail", "sms": "device-mobile-message", "whatsapp": "brand-whatsapp"}
NO_ADDRESS = {"email": _l("not an e-mail address; nothing is sent to it"), "phone": _l("not a phone number; nothing is sent to it")}
PURPOSES = {"marketing": _l("Marketing"), "transactional": _l("Service")}
IDENTITIES = {
    "email": (_l("E-mail"), "mail"),
    "phone": (_l("Phone"), "phone"),
    "wa_id": (_l("WhatsApp"), "brand-whatsapp"),
    "user_id": (_l("User id"), "id"),
    "anonymous_id": (_l("Browser"), "device-laptop"),
}
TRAITS = {
    "email": _l("E-mail"),
    "phone": _l("Phone"),
    "name": _l("Name"),
    "firstName": _l("First name"),
    "lastName": _l("Last name"),
    "first_name": _l("First name"),
    "last_name": _l("Last name"),
    "city": _l("City"),
    "country": _l("Country"),
    "language": _l("Language"),
    "locale": _l("Language"),
    "birthday": _l("Birthday"),
    "timezone": _l("Time zone"),
    "gender": _l("Gender"),
    "company": _l("Company"),
    "address": _l("Address"),
    "age": _l("Age"),
}
ACCOUNT_TRAITS = {
    "price_list": _l("Price list"),
    "priceList": _l("Price list"),
    "terms": _l("Payment terms"),
    "payment_terms": _l("Payment terms"),
    "contract_end": _l("Contract ends"),
    "contractEnd": _l("Contract ends"),
    "industry": _l("Industry"),
    "employees": _l("Employees"),
}
COMPUTED = {
    "orders": _l("Orders"),
    "revenue": _l("Revenue"),
    "average_order": _l("Average order"),
    "order_every_days": _l("Days between orders"),
    "last_order": _l("Last order"),
    "shrinking_basket": _l("Basket shrinks"),
    "last_seen": _l("Last seen"),
    "last_open": _l("Last opened a message"),
    "last_click": _l("Last followed a link"),
    "preferred_channel": _l("Preferred channel"),
    "preferred_hour": _l("Preferred hour"),
    "category_affinity": _l("Likes, by category"),
    "brand_affinity": _l("Likes, by brand"),
    "lifecycle": _l("Stage"),
    "silent": _l("Silent"),
    "rfm": _l("RFM (recency, frequency, money; 5 is best)"),
}
STAGES_OF_LIFE = {
    "visitor": _l("Never ordered"),
    "first_order": _l("First order"),
    "repeat": _l("Ordered again"),
    "loyal": _l("Loyal"),
    "at_risk": _l("At risk"),
    "lost": _l("Lost"),
}
AGGREGATES = {
    "count": _l("How many"),
    "sum": _l("Sum"),
    "avg": _l("Average"),
    "min": _l("Smallest"),
    "max": _l("Largest"),
    "first": _l("First value"),
    "last": _l("Latest value"),
    "distinct": _l("How many different"),
}
CONSENTS = {"granted": _l("agreed"), "refused": _l("refused")}
CART_STATES = {"open": (_l("Open"), "acc"), "ordered": (_l("Ordered"), "ok"), "emptied": (_l("Emptied"), ""), "expired": (_l("Expired"), "")}
LINKS = {
    "identified": _l("Signed in or left details on another device"),
    "alias": _l("The source said that both are one person"),
    "by_hand": _l("Joined by hand"),
    "suggested": _l("Suggested, and confirmed by a person"),
}
EVIDENCE = {
    "name": _l("name"),
    "birthday": _l("birthday"),
    "address": _l("address"),
    "city": _l("city"),
    "phone": _l("phone"),
    "email": _l("e-mail name"),
    "user_id": _l("user id"),
}
GUARDS = {
    "limit": _l("Too many identities of one kind: kept apart"),
    "shared": _l("Three people used this device: it joins nobody any more"),
    "two_users": _l("Two user ids: kept apart"),
    "unproven": _l("Said by a browser, proven by nobody: kept apart"),
    "apart": _l("Taken apart by a person: kept apart"),
}


def event_title(name: str) -> str:
    """An event in words; one we have no words for keeps the name its source gave it."""
    return _(EVENTS[name][0]) if name in EVENTS else name


def event_icon(name: str) -> tuple[str, str]:
    """Icon and tone of an event."""
    found = EVENTS.get(name)
    return (found[1], found[2]) if found else ("bolt", "")


def reason(code: str | None) -> str:
    """A reason as a sentence; codes may carry a detail after a colon (`exit:Order Completed`)."""
    code = code or ""
    head, _colon, rest = code.partition(":")
    if head in {"exit", "goal"} and rest:
        return str(_("The run ended: %(event)s.", event=event_title(rest)))
    return str(_(REASONS[head])) if head in REASONS else code


def status_word(code: str) -> tuple[str, str, str]:
    """Words, tone and icon of a message's status."""
    title, tone, sign = STATUSES[code]
    return _(title), tone, sign


def word(table: dict[str, str], code: str) -> str:
    """A code of one of the tables above in words; an unknown one as it is."""
    return str(_(table[code])) if code in table else code


def refusal(error: KesherError) -> str:
    """Why something cannot be done, in the page's language."""
    said = str(_(error.sentence))
    return said % {name: mistake(value) if isinstance(value, Mistake) else value for name, value in error.values.items()} if error.values else said


def mistake(found: Mistake) -> str:
    """What is wrong with a value, in the page's language."""
    return str(_(found.text)) % found.values
