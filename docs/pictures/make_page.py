"""Makes docs/pictures/page.png: the attacker's page, photographed while the demo runs.

    python docs/pictures/make_page.py        (or: make page-picture)

Plays the drawn faces through the demo's first two networks, and takes the page's top down to the pictures.
Needs Chromium and the `dev` extra.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from siftfunnel.demo.ports import get_json
from siftfunnel.shared.children import python_module

PICTURE = Path(__file__).with_name("page.png")
WIDTH, HEIGHT, GAP = 1280, 800, 12
PATIENCE_S = 180.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser_path() -> str:
    """Chromium's executable.

    Raises:
        SystemExit: there is none.
    """
    found = os.environ.get("PLAYWRIGHT_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit("no Chromium: install one (apt-get install chromium) or set PLAYWRIGHT_CHROMIUM")
    return found


@contextmanager
def running_demo() -> Iterator[str]:
    """The address of the page of a demo that runs until the end of the block."""
    command = python_module("siftfunnel", "demo", "--http-port", "0")
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if address := re.search(r"http://\S+", line):
                yield address.group()
                return
        raise SystemExit(f"the demo ended with {demo.wait()} before its page was there")
    finally:
        demo.terminate()
        demo.communicate()


def scored_frames(address: str) -> int:
    """How many pictures of each network, at least, the attacker has rebuilt and compared."""
    books: dict[str, Any] = (get_json(f"{address}summary") or {"bundles": {}})["bundles"]
    return min((tally["frames_scored"] for tally in books.values()), default=0) if len(books) > 1 else 0


def wait_for_frames(page: Page, address: str, frames: int) -> None:
    """Wait until so many pictures have been rebuilt of each network, and two of them are on the page."""
    deadline_s = time.monotonic() + PATIENCE_S
    while scored_frames(address) < frames or page.locator("#lanes .lane").count() < 2:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"fewer than {frames} pictures rebuilt within {PATIENCE_S:.0f} s")
        page.wait_for_timeout(200)


def photograph(page: Page) -> Image.Image:
    """The top of the page down to the pictures, held still."""
    page.locator("#hold").click()
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": stage["y"] + stage["height"] + GAP}
    return Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB")


def main() -> None:
    """Run the demo, photograph its page, store the picture."""
    parser = argparse.ArgumentParser(description="Photograph the attacker's page while the demo runs.")
    parser.add_argument("--out", type=Path, default=PICTURE, metavar="FILE", help="(default: %(default)s)")
    parser.add_argument(
        "--frames",
        type=int,
        default=60,
        metavar="N",
        help="pictures through each network first (%(default)s)",
    )
    args = parser.parse_args()
    with running_demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        wait_for_frames(page, address, args.frames)
        picture = photograph(page)
        browser.close()
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
