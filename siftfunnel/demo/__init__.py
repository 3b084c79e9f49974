"""The demo: cloud, attacker and edge as processes on loopback, and a conductor that plays bundles in turn."""
