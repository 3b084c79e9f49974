"""The defences: one file each, one small interface, one registry (``siftfunnel.lab.defences.registry``)."""
