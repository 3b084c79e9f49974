import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.data.cifar10 import CIFAR10_CLASSES
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.data.unpack import download, require_sha256, unpack_cifar10
from tests.lab.pictures import coloured_set, write_class_folders


def quiet(text: str) -> None:
    pass


def batch(labels: list[int], value: int) -> bytes:
    return b"".join(bytes([label]) + bytes([value]) * 3072 for label in labels)


def write_binary_archive(path: Path, leave_out: str = "") -> Path:
    members = {f"data_batch_{i}.bin": batch([i], 10 * i) for i in range(1, 6)}
    members |= {"test_batch.bin": batch([0, 9], 99), "readme.html": b"<p>"}
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            if name != leave_out:
                entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return path


def test_the_binary_archive_becomes_class_folders_of_png(tmp_path: Path) -> None:
    archive = write_binary_archive(tmp_path / "c.tar.gz")
    count = unpack_cifar10(archive, tmp_path / "out", quiet, verify=False)
    assert count == 7
    train = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out/train").rglob("*.png")
    )
    assert train == [f"train/{CIFAR10_CLASSES[i]}/{i - 1:05d}.png" for i in range(1, 6)]
    assert np.asarray(Image.open(tmp_path / "out/test/truck/00001.png"))[3, 3].tolist() == [99, 99, 99]


def test_a_tar_of_class_folders_keeps_every_pixel(tmp_path: Path) -> None:
    images = coloured_set(6)
    write_class_folders(images, tmp_path / "in")
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(tmp_path / "in", arcname=".")
    lines: list[str] = []
    assert unpack_cifar10(tmp_path / "in.tar", tmp_path / "out", lines.append) == 6
    for path in (tmp_path / "in").rglob("*.png"):
        stored = tmp_path / "out" / path.relative_to(tmp_path / "in")
        np.testing.assert_array_equal(np.asarray(Image.open(stored)), np.asarray(Image.open(path)))
    assert "unpacked as they are" in lines[0]
    assert lines[1:] == ["in.tar: 6 pictures"]


def write_tar(path: Path, members: dict[str, int]) -> Path:
    """A tar of one-pixel pictures; the number is their grey level."""
    with tarfile.open(path, "w") as archive:
        for name, grey in members.items():
            stored = io.BytesIO()
            Image.new("RGB", (1, 1), (grey, grey, grey)).save(stored, format="BMP")
            entry = tarfile.TarInfo(name)
            entry.size = len(stored.getvalue())
            archive.addfile(entry, io.BytesIO(stored.getvalue()))
    return path


def grey_of(path: Path) -> int:
    with Image.open(path) as image:
        return int(np.asarray(image)[0, 0, 0])


@pytest.mark.parametrize("name", ["../evil.bmp", "cat/../../evil.bmp", "cat/../evil.bmp", "/cat/evil.bmp"])
def test_a_tar_cannot_write_outside_of_its_folder(name: str, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "in.tar", {"cat/1.bmp": 1, name: 2})
    with pytest.raises(DataError, match="outside of the archive"):
        unpack_cifar10(archive, tmp_path / "deep" / "out", quiet)
    assert list(tmp_path.rglob("*.png")) == []


def test_parts_of_a_tar_stay_apart_and_every_picture_is_written_once(tmp_path: Path) -> None:
    members = {"train/cat/1.bmp": 1, "test/cat/1.bmp": 2, "train/cat/2.bmp": 3, "train/cat/2.jpg": 4}
    assert unpack_cifar10(write_tar(tmp_path / "in.tar", members), tmp_path / "out", quiet) == 4
    found = {p.relative_to(tmp_path / "out").as_posix(): grey_of(p) for p in tmp_path.rglob("*.png")}
    assert found == {
        "train/cat/1.png": 1,
        "test/cat/1.png": 2,
        "train/cat/2.bmp.png": 3,
        "train/cat/2.jpg.png": 4,
    }


def test_unpacking_again_is_harmless_and_never_replaces_another_picture(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "in.tar", {"cat/1.bmp": 1})
    assert unpack_cifar10(archive, tmp_path / "out", quiet) == 1
    assert unpack_cifar10(archive, tmp_path / "out", quiet) == 1
    with pytest.raises(DataError, match="there already"):
        unpack_cifar10(write_tar(tmp_path / "b.tar", {"cat/1.bmp": 9}), tmp_path / "out", quiet)
    assert grey_of(tmp_path / "out/cat/1.png") == 1


def test_an_archive_that_is_not_the_official_one_is_refused(tmp_path: Path) -> None:
    archive = write_binary_archive(tmp_path / "c.tar.gz")
    with pytest.raises(DataError, match="delete the file and fetch it again"):
        unpack_cifar10(archive, tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    archive = write_binary_archive(tmp_path / "c.tar.gz", leave_out="test_batch.bin")
    with pytest.raises(DataError, match=r"test_batch\.bin is missing"):
        unpack_cifar10(archive, tmp_path / "out", quiet, verify=False)


def test_a_file_that_is_no_archive_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(DataError, match="cannot be read as a tar"):
        unpack_cifar10(tmp_path / "x.tar.gz", tmp_path / "out", quiet)
    (tmp_path / "z.tar.gz").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(DataError, match=r"cannot be read as a tar.*\)$") as told:
        unpack_cifar10(tmp_path / "z.tar.gz", tmp_path / "out", quiet)
    assert "\n" not in str(told.value)
    with pytest.raises(DataError, match="is a folder"):
        unpack_cifar10(tmp_path, tmp_path / "out", quiet)
    with pytest.raises(DataError, match="no such file"):
        unpack_cifar10(tmp_path / "y.tar.gz", tmp_path / "out", quiet)


def test_the_checksum_of_hello_is_known(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    require_sha256(tmp_path / "f", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    with pytest.raises(DataError, match="2cf24dba"):
        require_sha256(tmp_path / "f", hashlib.sha256(b"other").hexdigest())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a web server with one file of 1,000 bytes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 1000)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/file"
        server.shutdown()
        thread.join()


def test_a_download_appears_whole(served: str, tmp_path: Path) -> None:
    lines: list[str] = []
    download(served, tmp_path / "deep/file", 1000, lines.append)
    assert (tmp_path / "deep/file").read_bytes() == b"x" * 1000
    assert lines


@pytest.mark.parametrize("expected_bytes", [999, 1001])
def test_a_download_of_another_length_leaves_no_file(
    served: str, tmp_path: Path, expected_bytes: int
) -> None:
    with pytest.raises(DataError, match="bytes arrived"):
        download(served, tmp_path / "file", expected_bytes, quiet)
    assert not (tmp_path / "file").exists()


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--archive FILE"):
        download("http://127.0.0.1:1/file", tmp_path / "file", 10, quiet)
