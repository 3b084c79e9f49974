"""Packets as a capture holds them, made from a transcript with dpkt."""

import socket

import dpkt

from siftfunnel.attacker.tap.packets import RAW, Ignored, PacketReader, Segment
from tests.attacker.service import Transcript

CLIENT, SERVER = ("10.0.0.2", 40000), ("10.0.0.3", 50051)
CLIENT6, SERVER6 = ("fd00::2", 40000), ("fd00::3", 50051)
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
UP_START, DOWN_START = 4_294_900_000, 7_000

End = tuple[str, int]


def segment_of(packet: bytes) -> Segment | Ignored:
    """The segment in a captured IP packet."""
    return PacketReader().read(RAW, packet, 0.0)


def tcp(
    source: End, destination: End, sequence: int, ack: int, flags: int, payload: bytes = b""
) -> dpkt.Packet:
    """An IPv4 or IPv6 packet."""
    segment = dpkt.tcp.TCP(
        sport=source[1],
        dport=destination[1],
        seq=sequence % (1 << 32),
        ack=ack % (1 << 32),
        flags=flags,
        off=5,
        data=payload,
    )
    if ":" in source[0]:
        addresses = [socket.inet_pton(socket.AF_INET6, end[0]) for end in (source, destination)]
        packet = dpkt.ip6.IP6(src=addresses[0], dst=addresses[1], nxt=6, plen=20 + len(payload), data=segment)
        packet.extension_hdrs, packet.all_extension_headers = {}, []
        return packet
    addresses = [socket.inet_pton(socket.AF_INET, end[0]) for end in (source, destination)]
    return dpkt.ip.IP(src=addresses[0], dst=addresses[1], p=6, len=40 + len(payload), data=segment)


def handshake(client: End = CLIENT, server: End = SERVER) -> list[bytes]:
    return [
        bytes(tcp(client, server, UP_START - 1, 0, SYN)),
        bytes(tcp(server, client, DOWN_START - 1, UP_START, SYN | ACK)),
        bytes(tcp(client, server, UP_START, DOWN_START, ACK)),
    ]


def packets(
    transcript: Transcript, client: End = CLIENT, server: End = SERVER, segment_bytes: int = 1448
) -> list[bytes]:
    """The data packets of a connection; the up direction's sequence numbers wrap around after 67 kB."""
    up, down = UP_START, DOWN_START
    made = []
    for direction, data in transcript:
        for at in range(0, len(data), segment_bytes):
            part = data[at : at + segment_bytes]
            if direction == "up":
                made.append(bytes(tcp(client, server, up, down, PSH | ACK, part)))
                up += len(part)
            else:
                made.append(bytes(tcp(server, client, down, up, PSH | ACK, part)))
                down += len(part)
    return made


def goodbye(transcript: Transcript, client: End = CLIENT, server: End = SERVER) -> list[bytes]:
    up = UP_START + sum(len(data) for direction, data in transcript if direction == "up")
    down = DOWN_START + sum(len(data) for direction, data in transcript if direction == "down")
    return [
        bytes(tcp(client, server, up, down, FIN | ACK)),
        bytes(tcp(server, client, down, up + 1, FIN | ACK)),
        bytes(tcp(client, server, up + 1, down + 1, ACK)),
    ]


def connection(
    transcript: Transcript, client: End = CLIENT, server: End = SERVER, segment_bytes: int = 1448
) -> list[bytes]:
    """A whole connection from SYN to the last ACK."""
    middle = packets(transcript, client, server, segment_bytes)
    return [*handshake(client, server), *middle, *goodbye(transcript, client, server)]
