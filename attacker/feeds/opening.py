"""From a tap's configuration to the feed that does it."""

from siftfunnel.attacker.feeds.config import CloudConfig, PcapConfig, RelayConfig, SniffConfig, TapConfig
from siftfunnel.attacker.tap.events import Feed, Settle


def open_feed(config: TapConfig, settle: Settle | None = None) -> Feed:
    """The feed for `config`, not yet started; `settle` tells the bundle of a connection joined midway.

    The kinds are imported when used: packets need a parser of their own.
    """
    if isinstance(config, RelayConfig):
        from siftfunnel.attacker.feeds.relay import RelayFeed

        return RelayFeed(config, settle)
    if isinstance(config, PcapConfig):
        from siftfunnel.attacker.feeds.captured import PcapFeed

        return PcapFeed(config, settle)
    if isinstance(config, CloudConfig):
        from siftfunnel.attacker.feeds.cloud import CloudFeed

        return CloudFeed(config, settle)
    from siftfunnel.attacker.feeds.captured import SniffFeed

    assert isinstance(config, SniffConfig)
    return SniffFeed(config, settle)
