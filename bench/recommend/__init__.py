"""Which split and codec for which link: measured where there is a cell, predicted where there is none.

| module | what it does |
| --- | --- |
| ``prediction`` | latency over a link that was not measured, and how far such predictions were off |
| ``candidates`` | the ways there are over one link, each measured or predicted |
| ``verdicts`` | the best of them within limits, and why each other one lost |
| ``answers`` | verdicts of all tasks and links, as tables and JSON |
| ``cli`` | ``siftfunnel bench recommend`` |
"""
