"""The browser that the attacker's page is tried in tries this one too."""

from tests.attacker.web.conftest import browser as browser
