"""Which source the word after `--source` means."""

from pathlib import Path

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.settings import SourceChoice
from siftfunnel.edge_client.sources.source import IterableSource, Limited, Paced, Source
from siftfunnel.shared.showing import without_credentials


def open_source(choice: SourceChoice) -> Source:
    """Open what was chosen.

    Raises:
        SourceError: it is not there, empty, not what it seems, or needs an extra.
    """
    source = _open_place(choice)
    if choice.frames is not None:
        # what a live source leaves out for its rate does not count as a frame
        return Limited(_paced(source, choice.rate_fps), choice.frames)
    return _paced(source, choice.rate_fps)


def _paced(source: Source, rate_fps: float | None) -> Source:
    return source if rate_fps is None else Paced(source, rate_fps)


def _open_place(choice: SourceChoice) -> Source:
    from siftfunnel.edge_client.sources.directory import DirectorySource, WatchedDirectory
    from siftfunnel.shared.pictures import is_picture_name

    place = choice.place
    if place == "demo" and not Path(place).exists():
        if choice.demo_pictures is None or not choice.demo_pictures.is_dir():
            raise SourceError("demo: this installation ships no pictures; give a directory")
        place = str(choice.demo_pictures)
    if Path(place).is_dir():
        if choice.watch:
            return WatchedDirectory(Path(place))
        return DirectorySource(
            Path(place),
            shuffle_seed=choice.shuffle_seed,
            cycling=choice.frames is not None,
            remarking=choice.place != "demo",
        )
    if choice.watch or choice.shuffle_seed is not None:
        raise SourceError(f"{without_credentials(place)}: not a directory, which --watch and --shuffle need")
    if place == "-":
        from siftfunnel.edge_client.sources.paths import PathLines

        return PathLines()
    if place == "jsonl:-":
        from siftfunnel.edge_client.sources.pushed import PushedPictures

        return PushedPictures()
    if is_picture_name(Path(place).name) and Path(place).is_file():
        return IterableSource([place])
    return _open_video(place)


def _open_video(place: str) -> Source:
    from siftfunnel.edge_client.sources.video import VideoSource

    kind, _, number = place.partition(":")
    if kind == "camera" and (number.isdigit() or not number):
        return VideoSource(int(number or 0))
    if not Path(place).exists() and "://" not in place:
        raise SourceError(
            f"{place}: no such file or directory; a source is a directory, a picture, a video file or URL, "
            "camera:N, demo, - for paths on standard input, or jsonl:- for pictures there"
        )
    return VideoSource(place)
