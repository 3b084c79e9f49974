"""The sans-IO tap: packets or TCP bytes in, what an eavesdropper understands out (see `events`)."""
