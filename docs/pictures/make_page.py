"""Makes docs/pictures/page.png: the attacker's page, photographed while the demo runs.

    python docs/pictures/make_page.py        (or: make page-picture)

Plays the drawn faces through each of the demo's bundles, one after the other, and puts what the page shows of
them below one another. Needs Chromium and the `dev` extra.
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

from shared.children import python_module
from siftfunnel.demo.ports import get_json

PICTURE = Path(__file__).with_name("page.png")
WIDTH, HEIGHT, GAP = 1120, 760, 12
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


def scored_frames(address: str, bundle: str) -> int:
    """How many of a bundle's frames the attacker has rebuilt and compared with the original."""
    books: dict[str, Any] = (get_json(f"{address}summary") or {"bundles": {}})["bundles"]
    return int(books.get(bundle, {}).get("frames_scored", 0))


def show_bundle(page: Page, address: str, bundle: str, frames: int) -> None:
    """Switch the demo to a bundle and wait until so many more of its frames have been rebuilt."""
    page.locator("#pick-bundle label", has_text=bundle).click()
    wanted = scored_frames(address, bundle) + frames
    deadline_s = time.monotonic() + PATIENCE_S
    while (
        scored_frames(address, bundle) < wanted
        or bundle not in page.locator("#reconstruction-note").inner_text()
    ):
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{bundle}: fewer than {wanted} frames rebuilt within {PATIENCE_S:.0f} s")
        page.wait_for_timeout(200)


def photograph(page: Page, whole: bool) -> Image.Image:
    """The top of the page down to the three pictures; from the headline on where not `whole`."""
    top, stage = page.locator("#verdict").bounding_box(), page.locator("#stage").bounding_box()
    assert top is not None
    assert stage is not None
    start = 0 if whole else top["y"] - GAP
    end = stage["y"] + stage["height"] + GAP
    clip = {"x": 0, "y": start, "width": WIDTH, "height": end - start}
    return Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB")


def stack(pictures: list[Image.Image]) -> Image.Image:
    """The pictures below one another."""
    whole = Image.new("RGB", (WIDTH, sum(picture.height for picture in pictures)))
    y = 0
    for picture in pictures:
        whole.paste(picture, (0, y))
        y += picture.height
    return whole


def main() -> None:
    """Run the demo, photograph every bundle, store the picture."""
    parser = argparse.ArgumentParser(description="Photograph the attacker's page while the demo runs.")
    parser.add_argument("--out", type=Path, default=PICTURE, metavar="FILE", help="(default: %(default)s)")
    parser.add_argument(
        "--frames", type=int, default=60, metavar="N", help="frames of each bundle first (%(default)s)"
    )
    args = parser.parse_args()
    with running_demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("#pick-bundle label")
        pictures = []
        for bundle in page.locator("#pick-bundle label").all_inner_texts():
            show_bundle(page, address, bundle, args.frames)
            page.locator("#hold").click()
            pictures.append(photograph(page, whole=not pictures))
            page.locator("#hold").click()
        browser.close()
    stack(pictures).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
