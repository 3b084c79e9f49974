"""Results as pages of Markdown, from the templates in ``pages``."""

from collections.abc import Iterable, Mapping
from typing import Any


def render(page: str, **values: Any) -> str:
    """One page.

    Args:
        page: Name of a template in ``pages``, without ending.
        values: What it shows.

    Raises:
        jinja2.UndefinedError: a result lacks what the page shows.
    """
    from siftfunnel.lab.reports.pages import templates_of

    environment = templates_of("siftfunnel.bench", "pages")
    environment.filters |= {"row": _row, "quartiles": _quartiles, "figure": format, "plain": _plain}
    environment.globals["zip"] = zip
    return environment.get_template(f"{page}.md").render(values)


def _row(cells: Iterable[object]) -> str:
    """One line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _quartiles(times_ms: Mapping[str, float]) -> str:
    """Median, and lower and upper quartile in brackets."""
    return f"{times_ms['p50']:.3f} [{times_ms['p25']:.3f}, {times_ms['p75']:.3f}]"


def _plain(text: str) -> str:
    """On one line, with nothing that would end a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def render_serving(result: Mapping[str, Any]) -> str:
    """What `siftfunnel bench serving` has measured, from its JSON object."""
    return render("serving", **result)


def render_fairness(result: Mapping[str, Any]) -> str:
    """What `siftfunnel bench fairness` has measured, from its JSON object."""
    return render("fairness", **result)
