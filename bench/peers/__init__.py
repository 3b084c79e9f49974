"""Other model servers with the same cloud half, for comparisons and as remote engines.

| module | what it does |
| --- | --- |
| ``catalogue`` | every peer as data: ours, the floor, Triton, Ray Serve, LitServe, MLServer |
| ``environment`` | a virtual environment of its own for each, so that their requirements meet nobody else's |
| ``peer`` | what a peer is: how it is started, when it is ready, how all its processes are paused and ended |
| ``wires``, ``http`` | how clients speak to each |
| ``runtimes`` | what runs inside those environments; imports nothing of ours |
| ``contender``, ``comparison`` | the comparison: clients, turns, rounds |
| ``table``, ``cli`` | medians and ratios as Markdown, `siftfunnel bench peers` |
"""
