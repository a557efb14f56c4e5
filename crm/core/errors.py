"""Errors are sentences for the person who meets them, with an HTTP status."""

from __future__ import annotations


class KesherError(Exception):
    """Something asked of Kesher cannot be done; the sentence says what is wrong and what to do, `values` fill its slots."""

    status = 400

    def __init__(self, sentence: str = "", /, **values: object) -> None:
        super().__init__(sentence % values if values else sentence)
        self.sentence, self.values = sentence, values


class InvalidError(KesherError):
    """What was sent is not understood; the text names the place, and `field`, where it is one of a form."""

    def __init__(self, sentence: str = "", /, *, field: str = "", **values: object) -> None:
        super().__init__(sentence, **values)
        self.field = field


class UnauthorizedError(KesherError):
    """The key or token is missing or unknown."""

    status = 401


class ForbiddenError(KesherError):
    """The role may not do this."""

    status = 403


class NotFoundError(KesherError):
    """There is no such thing."""

    status = 404


class SaidError(ValueError):
    """A value that may not be: `said` is a sentence that can be translated, `values` fill its slots."""

    def __init__(self, said: str, **values: object) -> None:
        super().__init__(said % values)
        self.said, self.values = said, values


class TooLargeError(KesherError):
    """More bytes than the limit."""

    status = 413


class BusyError(KesherError):
    """Come back later."""

    status = 503
