"""Every table of a profile by its name, and the files that they are written to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from siftfunnel.lab.reports.pages import file_stem, index_markdown, page_files, to_csv, to_json, to_markdown
from siftfunnel.lab.reports.study.fronts import ablations_table, budgets_table, front_table, others_table
from siftfunnel.lab.reports.study.further import (
    equal_table,
    figure2_table,
    information_table,
    references_table,
)
from siftfunnel.lab.reports.study.paper import PAPER_TABLES
from siftfunnel.lab.reports.study.results import Study
from siftfunnel.lab.reports.study.sections import before_table, paper_table
from siftfunnel.lab.reports.study.speed import speed_table
from siftfunnel.lab.reports.table import Page


def _predictors(study: Study) -> Page | None:
    # the only table that needs SciPy, which takes a second to load
    from siftfunnel.lab.reports.study.predictors import predictors_table

    return predictors_table(study)


MAKERS: Mapping[str, Callable[[Study], Page | None]] = {
    "figure2": figure2_table,
    "others": others_table,
    "ablations": ablations_table,
    "front": front_table,
    "equal": equal_table,
    "budgets": budgets_table,
    "before": before_table,
    "references": references_table,
    "information": information_table,
    "predictors": _predictors,
    "speed": speed_table,
}
"""The tables beside the paper's."""


def make_pages(study: Study, table: str) -> list[Page]:
    """The pages of one profile that have something to show, of one table or of ``all``."""
    names = (*PAPER_TABLES, *MAKERS) if table == "all" else (table,)
    made = (paper_table(study, name) if name in PAPER_TABLES else MAKERS[name](study) for name in names)
    return [page for page in made if page is not None]


def with_drawings(study: Study, page: Page) -> Page:
    """The page with what is drawn of the same results."""
    # drawing takes matplotlib, which whoever prints tables does without
    from siftfunnel.lab.reports.study.drawings import figure2_drawings, table_drawings
    from siftfunnel.lab.reports.study.lines import table_lines

    if page.table == "figure2":
        return replace(page, drawings=figure2_drawings(study))
    if page.table in PAPER_TABLES:
        return replace(page, drawings=table_drawings(study, page.table, table_lines(study, page.table)))
    return page


def rendered(pages: Sequence[Page], wanted: str) -> str:
    """Pages as text: ``markdown``, ``csv`` or ``json``."""
    if wanted == "csv":
        return to_csv(pages)
    if wanted == "json":
        return to_json(pages)
    return "\n".join(map(to_markdown, pages))


def written(studies: Mapping[str, Study], pages: Mapping[str, Sequence[Page]], wanted: str) -> dict[str, str]:
    """One file per profile and table; Markdown with its drawings and an index of all.

    Args:
        studies: By profile.
        pages: Of some of them.
        wanted: As in ``rendered``.
    """
    files: dict[str, str] = {}
    for profile, made in pages.items():
        for page in made:
            stem = file_stem(page.table)
            if wanted == "markdown":
                own = page_files(with_drawings(studies[profile], page), stem)
            else:
                own = {f"{stem}.{wanted}": rendered([page], wanted)}
            files |= {f"{profile}/{name}": text for name, text in own.items()}
    if wanted == "markdown":
        files["README.md"] = index_markdown([page for made in pages.values() for page in made])
    return files
