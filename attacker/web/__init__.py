"""The attacker's face over HTTP: one page, its events, the summary."""
