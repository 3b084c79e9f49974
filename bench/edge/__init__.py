"""The device's share: how long the edge half takes, where, and what the device must carry for it."""
