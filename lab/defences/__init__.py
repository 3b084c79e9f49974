"""The defences: one file each, one small interface, one registry (``lab.defences.registry``)."""
