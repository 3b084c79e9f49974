"""From a tap's configuration to the feed that does it."""

from attacker.feeds.config import CloudConfig, FeedConfig, PcapConfig, RelayConfig
from attacker.tap.events import Feed, Settle


def open_feed(config: FeedConfig, settle: Settle | None = None) -> Feed:
    """The feed for `config`, not yet started; `settle` tells the bundle of a connection joined midway.

    The kinds are imported when used: sniffing needs Linux, the rest does not.
    """
    if isinstance(config, RelayConfig):
        from attacker.feeds.relay import RelayFeed

        return RelayFeed(config, settle)
    if isinstance(config, PcapConfig):
        from attacker.feeds.pcap import PcapFeed

        return PcapFeed(config, settle)
    if isinstance(config, CloudConfig):
        from attacker.feeds.cloud import CloudFeed

        return CloudFeed(config, settle)
    from attacker.feeds.sniff import SniffFeed

    return SniffFeed(config, settle)
