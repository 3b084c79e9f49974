"""The attacks: one interface ``fit / reconstruct``, one registry (``lab.attacks.registry``)."""
