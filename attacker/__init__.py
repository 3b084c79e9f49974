"""The adversary: tap, reassemble, decode, invert, show. Gets only what an eavesdropper would get."""
