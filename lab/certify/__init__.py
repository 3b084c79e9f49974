"""Certificates: errors that no attacker can beat on what a bundle sends, and an attack beside them.

| module | what it does |
| --- | --- |
| ``ruler`` | Gaussian pictures with a data set's mean and covariance: a prior that is wholly known |
| ``distortion`` | from information to the error that is left; information of bytes, and through noise |
| ``van_trees`` | from gradients to the error that noise leaves |
| ``sender`` | the device's own way of a picture; the cells of a codec, the noise of a bundle |
| ``twins``, ``natural`` | pictures that send equal bytes; among natural ones |
| ``equal_bytes`` | the same as figures, and a sheet |
| ``identification`` | which picture of a gallery was sent |
| ``published`` | what other guarantees are worth on the same bundle |
| ``opponent`` | the attack beside, which must never do better |
| ``request``, ``scene``, ``case`` | what is asked; the pictures; everything that a part is made from |
| ``bounds``, ``certify``, ``cli`` | the parts, their order, the command |
| ``claims`` | a stated number that ``lab audit --claim`` tries to falsify |

How to read a certificate: ``docs/certify.md``.
"""
