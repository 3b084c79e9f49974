"""Pages and drawings in ``docs/tables/bench`` and ``docs/bench.md``, from the JSON that is committed.

| module | what it does |
| --- | --- |
| ``registry`` | every kind of result: its file, and what turns it into pages |
| ``pages`` | the renderers of this package, and how another package's is found |
| ``prose`` | puts figures, tables and drawings into a template's text |
| ``cli`` | ``siftfunnel bench tables`` |
"""
