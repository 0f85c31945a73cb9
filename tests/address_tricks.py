"""Addresses that lead, by one trick or another, to where nobody from outside has any business."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

_PRIVATE = (
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "198.18.0.1",
)  # fmt: skip
_MORE = (
    "127.255.255.254", "10.255.255.255", "172.31.255.255", "192.0.0.8", "192.0.0.9", "192.0.2.1",
    "192.88.99.1",
    "198.51.100.7", "203.0.113.5", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
)  # fmt: skip

# names that a resolver under someone else's control points inside
REBOUND = {
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "inside.example": ["10.1.2.3"],
    "both.example": ["93.184.216.34", "192.168.0.7"],  # one good address does not make up for it
    "six.example": ["::1"],
    "mixed.example": ["2606:2800:220:1::1", "fd00::7"],
    "mapped.example": ["::ffff:10.0.0.1"],
}


def _written(address: str) -> list[str]:
    """An IPv4 address in the forms that some parser or other takes it in."""
    one, two, three, four = map(int, address.split("."))
    number = int(IPv4Address(address))
    wide = str.maketrans("0123456789.", "０１２３４５６７８９．")
    return [
        address,
        str(number),
        hex(number),
        f"0{number:o}",
        f"{one}.{number & 0xFFFFFF}",
        f"{one}.{two}.{number & 0xFFFF}",
        f"{one:#x}.{two:#x}.{three:#x}.{four:#x}",
        f"0{one:o}.0{two:o}.0{three:o}.0{four:o}",
        f"{address}.",
        address.translate(wide),
        f"[::ffff:{address}]",
        f"[{IPv6Address(number)}]",
        f"[{IPv6Address((0x64FF9B << 96) | number)}]",
        f"[{IPv6Address((0x2002 << 112) | (number << 80))}]",
        f"[{IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF))}]",
        f"[2001:db8::5efe:{number >> 16:x}:{number & 0xFFFF:x}]",
    ]


_HOSTS = [
    *(form for address in _PRIVATE for form in _written(address)),
    *_MORE,
    *REBOUND,
    "localhost", "LOCALHOST", "localhost.", "lOcAlHoSt.localdomain", "%6cocalhost", "127%2e0.0.1",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]",
    "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]", "[2001:db8::1]", "[100::1]",
    "[2001:20::1]", "[2001:1::1]", "[2002:808:808::1]", "[3fff::1]", "[64:ff9b:1::808:808]",
    "[4000::1]",
]  # fmt: skip

TRICKS: tuple[str, ...] = (
    *(f"http://{host}/" for host in _HOSTS),
    *(f"https://{host}/" for host in ("127.0.0.1", "localhost", "[::1]", "inside.example")),
    "http://example.com@127.0.0.1/", "http://127.0.0.1@example.com/", "http://a:b@10.0.0.1/",
    "http://example.com\\@127.0.0.1/", "http://127.0.0.1\\.example.com/", "http://:@localhost/",
    "http://127.0.0.1#@example.com/", "http://127.0.0.1?@example.com/", "http://127.0.0.1;/",
    "http://example.com:22/", "http://example.com:8080/", "http://example.com:0/",
    "http://example.com:65536/", "http://example.com:-1/", "https://example.com:80/",
    "file:///etc/passwd", "FILE:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_x",
    "dict://127.0.0.1:11211/", "ldap://127.0.0.1/", "javascript:alert(1)", "data:text/html,x",
    "ws://127.0.0.1/", "http+unix://%2fvar%2frun%2fdocker.sock/info", "jar:http://127.0.0.1!/",
    "//127.0.0.1/", "http:/127.0.0.1/", "http:127.0.0.1/", "http:///127.0.0.1/", "127.0.0.1", "",
    "http://127.0.0.1\t/", "http://127.0.0.1\n.example.com/", " http://127.0.0.1/", "http://\x00/",
    "http://[::1/", "http://]/", "http://\u200b127.0.0.1/", "http://127.0.0.1\u3002example/",
)  # fmt: skip
