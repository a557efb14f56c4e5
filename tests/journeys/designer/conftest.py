"""A browser for every test of this folder."""

from tests.journeys.browsing import bundle, site  # noqa: F401  fixtures
