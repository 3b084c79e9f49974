"""Where a report may lie: pictures of real people never go into a repository."""

import subprocess
from pathlib import Path

NOT_PEOPLE = ("drawnfaces",)
"""Data sets whose pictures may be published with a report: nobody real is in them, and they are ours."""


class PlaceError(ValueError):
    """A folder that a report must not be written to: says why and what to do."""


def default_out(name: str, digest: str) -> Path:
    """``runs/audit-NAME-DIGEST``, so that two bundles of one name do not meet; ``runs/`` is ignored by git.

    Example:
        >>> default_out("funnel", "a2453785614af13c").as_posix()
        'runs/audit-funnel-a2453785'
    """
    return Path("runs") / f"audit-{name}-{digest[:8]}"


def would_be_tracked(folder: Path) -> bool:
    """Whether files in ``folder``, which need not exist, lie in a git work tree that does not ignore them."""
    folder = folder.absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    if _git(there, "rev-parse", "--is-inside-work-tree") != (0, "true"):
        return False
    code, _ = _git(there, "check-ignore", "--quiet", str(folder / "report.html"))
    return code == 1


def _git(folder: Path, *arguments: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 128, ""
    return done.returncode, done.stdout.strip()


def require_private_place(folder: Path, dataset: str, *, is_own: bool = False, allow: bool = False) -> None:
    """Refuse a folder from which a report's pictures could be committed.

    Args:
        folder: Where the report is to lie.
        dataset: Whose pictures it shows.
        is_own: Whether that is the name of a user's folder, which may show anybody whatever it is called.
        allow: Write there all the same.

    Raises:
        PlaceError: the folder is tracked by git and the pictures are not drawn.
    """
    if allow or (dataset in NOT_PEOPLE and not is_own) or not would_be_tracked(folder):
        return
    raise PlaceError(
        f"{folder} lies in a git work tree that does not ignore it, and the report would hold pictures of "
        f"{dataset}; choose a folder that is ignored (the default is under runs/) or outside of the work "
        "tree, or say --allow-tracked-folder"
    )
