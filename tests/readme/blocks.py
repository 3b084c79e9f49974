"""The code blocks of pages. Each names the story it belongs to in a comment that readers do not see:

<!-- test: service, in the background -->
```sh
siftfunnel cloud --listen 127.0.0.1:50051
```
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = (
    README,
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("split", "demo", "parts", "deciding", "operating", "access", "containers")
    ),
)
"""Pages whose stories are executed by `test_readme.py`, in order; the long guides have tests of their own."""

_FENCE = re.compile(
    r"(?:^<!-- test: (?P<story>\w+)(?P<background>, in the background)? -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
        story: blocks of one story are executed one after the other, in one folder; None where it names none.
        background: each command is a process of its own that goes on while the next one starts.
        language: what stands behind the backticks.
        text: what the reader copies.
    """

    story: str | None
    background: bool
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, without comments."""
        return [line for line in self.text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def blocks(markdown: str) -> list[Block]:
    """All fenced blocks of a text, in order.

    >>> blocks("<!-- test: tour -->\\n```sh\\nls\\n```\\n")
    [Block(story='tour', background=False, language='sh', text='ls\\n')]
    """
    return [
        Block(found["story"], found["background"] is not None, found["language"], found["text"])
        for found in _FENCE.finditer(markdown)
    ]


def story(name: str) -> list[Block]:
    """The pages' blocks of one story, in order."""
    return [block for page in PAGES for block in blocks(page.read_text("utf-8")) if block.story == name]
