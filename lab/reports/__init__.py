"""The only place that draws and writes pages; needs no PyTorch, and bench uses it too.

| module | what it does |
| --- | --- |
| ``table`` | the one table: cells, tables, pages |
| ``pages`` | pages as Markdown, terminal text, CSV and JSON; ``templates/`` |
| ``sheet`` | axes drawn by matplotlib, stored as SVG |
| ``charts``, ``bars`` | the drawings: named lines over numbers, rows of bars or boxes |
| ``prose`` | text whose figures, tables and drawings are those of results |
| ``study/`` | the paper's tables beside ours |
| ``audit_page`` | the audit's report |
| ``certificates``, ``contact_sheet`` | what no attacker can beat; rows of pictures |
| ``own_networks``, ``own_front`` | networks that people bring |
"""
