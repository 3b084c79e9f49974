"""Emulated links: what a network does to packets, on one machine.

| module | what it does |
| --- | --- |
| ``profiles`` | named links with their numbers and where those come from |
| ``pipe`` | one direction of a link as a pure function of time: rate, queue, delay, jitter, loss |
| ``namespaces`` | two network namespaces, the device's and the cloud's, and netem between them |
| ``tun`` | a link between two namespaces through this process, for kernels without netem |
| ``relay`` | rate and delay for a single TCP port, without privileges; cannot lose packets |
| ``probe`` | measures what the link in place really does |
| ``link``, ``cli`` | picks the best emulation that this machine offers and calibrates it |
"""
