"""The text form of taps."""

from pathlib import Path

import pytest

from siftfunnel.attacker.feeds.captured import PcapFeed, SniffFeed
from siftfunnel.attacker.feeds.cloud import CloudFeed
from siftfunnel.attacker.feeds.config import (
    CloudConfig,
    PcapConfig,
    RelayConfig,
    SniffConfig,
    TapConfig,
    TapError,
)
from siftfunnel.attacker.feeds.relay import RelayFeed
from siftfunnel.attacker.serving import open_feed
from siftfunnel.shared.ports import Endpoint

LOCAL = "127.0.0.1"
GOOD = {
    "sniff:eth0:50051": SniffConfig("eth0", 50051),
    "sniff:br-1:x:80": SniffConfig("br-1:x", 80),
    "relay:7000:50051": RelayConfig(Endpoint(LOCAL, 7000), Endpoint(LOCAL, 50051)),
    "relay:0:cloud:50051": RelayConfig(Endpoint(LOCAL, 0), Endpoint("cloud", 50051)),
    "relay:0.0.0.0:7000:cloud:50051": RelayConfig(Endpoint("0.0.0.0", 7000), Endpoint("cloud", 50051)),
    "relay:[::]:7000:[fd00::1]:50051": RelayConfig(Endpoint("::", 7000), Endpoint("fd00::1", 50051)),
    "relay:localhost:7000:50051": RelayConfig(Endpoint("localhost", 7000), Endpoint(LOCAL, 50051)),
    "pcap:a:b.pcap": PcapConfig(Path("a:b.pcap")),
    "pcap:a.pcap:50052": PcapConfig(Path("a.pcap"), 50052),
    "cloud:flows.jsonl": CloudConfig(Path("flows.jsonl")),
}


@pytest.mark.parametrize("text", GOOD)
def test_a_form_is_read(text: str) -> None:
    assert TapConfig.parse(text) == GOOD[text]
    assert TapConfig.parse(str(GOOD[text])) == GOOD[text]


BAD = {
    "": "unknown kind ''",
    "tcpdump:eth0": "unknown kind 'tcpdump'",
    "sniff": "nothing follows 'sniff:'",
    "sniff:eth0": "an interface and a port are needed",
    "sniff:eth0:http": "'http' is not a port between 1 and 65535",
    "sniff:eth0:0": "'0' is not a port between 1 and 65535",
    "relay:7000": "LISTEN and TARGET are PORT or HOST:PORT each",
    "relay:7000:cloud:0": "'0' is not a port between 1 and 65535",
    "relay:70000:50051": "'70000' is not a port between 0 and 65535",
    "relay:1:2:3": "three numbers in a row are ambiguous",
    "relay:::1:7000:50051": "IPv6 addresses in brackets",
    "pcap:": "nothing follows 'pcap:'",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_form_is_explained_with_the_good_ones(text: str) -> None:
    with pytest.raises(TapError) as raised:
        TapConfig.parse(text)
    message = str(raised.value)
    assert BAD[text] in message
    for form in ("sniff:IFACE:PORT", "relay:LISTEN:TARGET", "pcap:FILE", "cloud:FLOWS"):
        assert form in message


def test_every_kind_has_its_feed() -> None:
    kinds = {config: type(open_feed(config)) for config in GOOD.values()}
    assert set(kinds.values()) == {SniffFeed, RelayFeed, PcapFeed, CloudFeed}
    assert {open_feed(config).state().phase for config in GOOD.values()} == {"idle"}
