import base64
import io

from PIL import Image

from siftfunnel.attacker.intake import KEPT_RECORDS, Leftovers
from siftfunnel.attacker.tap.events import Opaque, Traffic
from siftfunnel.attacker.views import ciphertext_view
from tests.attacker.service import Transcript, overhear


def test_real_tls_leaves_samples_that_are_bytes_of_the_wire(secure_transcript: Transcript) -> None:
    passed = {
        way: b"".join(data for direction, data in secure_transcript if direction == way)
        for way in ("up", "down")
    }
    opaque = [event for event in overhear(secure_transcript) if isinstance(event, Opaque)]
    records = [event for event in opaque if event.reason == "tls"]
    assert records
    for event in records:
        assert len(event.sample) == event.byte_count - 5
        assert event.sample in passed[event.direction]
    assert all(event.sample == b"" for event in opaque if event.reason != "tls")


def test_leftovers_keep_the_latest_records_and_count_all_bytes() -> None:
    leftovers = Leftovers()
    for number in range(KEPT_RECORDS + 5):
        leftovers.heard(Opaque("c", float(number), "up", 10, "tls", Traffic()))
    told = leftovers.as_json()
    assert len(told["records"]) == KEPT_RECORDS
    assert told["records"][-1] == [0.0, "up", 10]
    assert told["total_bytes"] == 10 * (KEPT_RECORDS + 5)


def test_nothing_left_is_told_as_nothing() -> None:
    assert Leftovers().as_json() == {"reason": None, "total_bytes": 0, "latest_s": 0.0, "records": []}


def test_a_record_is_shown_as_bytes_and_grey_pixels() -> None:
    record = Opaque("c", 0.0, "up", 105, "tls", Traffic(), bytes(range(100)))
    view = ciphertext_view("relay", record)
    assert view["hex"] == "00 01 02 03 04 05 06 07 08 09 0a 0b"
    picture = Image.open(io.BytesIO(base64.b64decode(view["picture"].split(",")[1])))
    assert (picture.size, picture.getpixel((3, 2))) == ((10, 10), 23)
