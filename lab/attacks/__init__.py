"""The attacks: one interface ``fit / reconstruct``, one registry (``siftfunnel.lab.attacks.registry``)."""
