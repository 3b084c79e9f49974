"""Measures the running service: ratios are taken side by side in one run, results name the machine.

| module | what it does |
| --- | --- |
| ``children``, ``cores`` | processes under measurement: started, told ready, watched, ended; on which cores |
| ``halves`` | a bundle's halves under measurement: features, the bare cloud half, one that does nothing |
| ``stored`` | dataclasses as JSON and back, read by their declared types |
| ``pages``, ``output`` | results as pages, and what every command says and writes |
| ``cli`` | `siftfunnel bench`, whose verbs the rooms below bring |
"""
