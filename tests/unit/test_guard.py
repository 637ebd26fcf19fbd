"""The address guard: what is public, how a callback may be spelled, and names that change their mind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.webhooks import guard as guard_module
from worker.webhooks.guard import CallbackRefused, Guard, NameServersSilent
from worker.webhooks.names import Names, NoSuchName

pytestmark = pytest.mark.anyio

PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")

NOT_PUBLIC_V4 = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
)  # fmt: skip
PUBLIC_V4 = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "168.63.129.15", "169.253.255.255", "172.15.255.255", "172.32.0.0",
    "192.0.1.0", "192.88.98.255", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "223.255.255.255",
)  # fmt: skip
NOT_PUBLIC_V6 = (
    "::", "::1", "::7f00:1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1::808:808", "64:ff9b:0:1::1",
    "100::1", "100:0:0:1::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::1", "2002:808:808::1",
    "2620:4f:8000::1", "3fff::1", "3fff:fff:ffff::1", "4000::1", "5f00::1", "8000::1", "fc00::1",
    "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "feff::1", "ff00::1",
    "ff02::1", "ff0e::1",
)  # fmt: skip
PUBLIC_V6 = (
    "2001:200::1", "2001:4860:4860::8888", "2003::1", "2400:cb00::1", "2606:4700:4700::1111", "2a00:1450::1",
    "3ffe::1", "3fff:1000::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b::808:808",
)  # fmt: skip


def answers(*addresses: str):
    """A resolver that knows these addresses for every name."""

    async def resolve(_: str) -> list[str]:
        return list(addresses)

    return resolve


async def nowhere(name: str) -> list[str]:
    """A resolver that knows nothing."""
    raise NoSuchName(name)


def judge(guard: Guard, url: str) -> None:
    """Judge a callback as when an order is posted."""
    asyncio.run(guard.judge(url))


def refusal(guard: Guard, url: str) -> str:
    """The code with which the guard refuses a callback when an order is posted."""
    with pytest.raises(CallbackRefused) as caught:
        judge(guard, url)
    return caught.value.code.value


@pytest.mark.parametrize("address", NOT_PUBLIC_V4 + NOT_PUBLIC_V6)
def test_what_is_not_public_is_refused(address: str):
    """No webhook reaches loopback, private, link-local, metadata, reserved or tunnelled addresses."""
    assert not Guard().allows(address)


@pytest.mark.parametrize("address", PUBLIC_V4 + PUBLIC_V6)
def test_what_is_public_is_allowed(address: str):
    """The neighbours of every closed range stay reachable, and so does IPv4 through DNS64."""
    assert Guard().allows(address)


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "0x7f000001", "8.8.8.8.8", "1.2.3.4/8", "::g"])
def test_what_is_no_address_is_refused(address: str):
    """The gate at the socket fails closed."""
    assert not Guard().allows(address)


@given(st.ip_addresses(v=4))
def test_wrapped_address_is_judged_as_the_one_inside(address: IPv4Address):
    """IPv4 inside ::ffff:0:0/96 and 64:ff9b::/96 gains and loses nothing by its wrapping."""
    guard = Guard()
    for prefix in ("::ffff:", "64:ff9b::"):
        assert guard.allows(IPv6Address(f"{prefix}{address}")) == guard.allows(address)


@given(st.ip_addresses())
def test_nothing_python_calls_private_is_allowed(address: IPv4Address | IPv6Address):
    """Our table is nowhere wider than the standard library's, but for the two wrappings it cannot judge."""
    wrapped = address.version == 6 and (address.ipv4_mapped is not None or address.packed[:4] == b"\0\x64\xff\x9b")
    assert wrapped or address.is_global or not Guard().allows(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "127.9.9.9", "fd12::1"])
def test_allowed_network_lets_its_addresses_through(address: str):
    """Private networks and tests are opened by name, whichever way an address is written."""
    assert Guard(allowed_networks=["127.0.0.1/8", "fd12::/16"]).allows(address)


def test_allowed_network_opens_nothing_else():
    """One network named is one network opened."""
    guard = Guard(allowed_networks=["127.0.0.0/8"])
    assert not guard.allows("10.0.0.1")
    assert not guard.allows("::1")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/in",
        "https://hooks.example.com",
        "https://hooks.example.com?token=1",
        "HTTPS://HOOKS.Example.COM:443/in?token=a%20b&c=/?@:",
        "https://xn--bcher-kva.example/in",
        "https://my_receiver.example/in",
        "https://93.184.216.34/in",
        "https://[2606:2800:220:1:248:1893:25c8:1946]:443/in",
    ],
)
def test_plain_https_callback_passes(url: str):
    """What a caller would reasonably write is accepted."""
    judge(Guard(resolve=answers(*PUBLIC)), url)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example.com/", "not_https"),
        ("ftp://hooks.example.com/", "not_https"),
        ("file:///etc/passwd", "not_https"),
        ("javascript://hooks.example.com/", "not_https"),
        ("gopher://127.0.0.1:6379/_x", "not_https"),
        ("", "bad_url"),
        ("hooks.example.com/in", "bad_url"),
        ("//hooks.example.com/in", "bad_url"),
        ("https:/hooks.example.com/in", "bad_url"),
        ("https:hooks.example.com", "bad_url"),
        (" https://hooks.example.com/", "bad_url"),
        ("https://hooks.example.com/ ", "bad_url"),
        ("https://hooks.example.com/\n", "bad_url"),
        ("https://hooks.example.com/a\r\nHost: x", "bad_url"),
        ("https://hooks.example.com/\x00", "bad_url"),
        ("https://hooks.example.com\\@127.0.0.1/", "bad_url"),
        ("https:\\\\hooks.example.com/", "bad_url"),
        ("https://hooks\t.example.com/", "bad_url"),
        ("https://hooks.example.com/ü", "bad_url"),
        ("https://bücher.example/", "bad_url"),
        ("https://\uff11\uff12\uff17.0.0.1/", "bad_url"),
        ("https://ⓛocalhost/", "bad_url"),
        ("https://127。0。0。1/", "bad_url"),
        ("https://hooks.example.com/#top", "fragment"),
        ("https://user@hooks.example.com/", "credentials"),
        ("https://user:pass@hooks.example.com/", "credentials"),
        ("https://hooks.example.com@127.0.0.1/", "credentials"),
        ("https://@hooks.example.com/", "credentials"),
        ("https:///in", "bad_host"),
        ("https://:443/in", "bad_host"),
        ("https://hooks.example.com:/in", "bad_host"),
        ("https://hooks.example.com:x/in", "bad_host"),
        ("https://hooks.example.com:0443/in", "bad_host"),
        ("https://hooks.example.com:443:443/in", "bad_host"),
        ("https://hooks.example.com./in", "bad_host"),
        ("https://hooks..example.com/in", "bad_host"),
        ("https://.example.com/in", "bad_host"),
        ("https://-hooks.example.com/in", "bad_host"),
        ("https://hooks-.example.com/in", "bad_host"),
        ("https://%31%32%37.0.0.1/", "bad_host"),
        ("https://hooks%2eexample.com/", "bad_host"),
        ("https://ho*oks.example.com/", "bad_host"),
        ("https://a,b.example.com/", "bad_host"),
        (f"https://{'a' * 64}.example.com/", "bad_host"),
        (f"https://{'a.' * 130}example.com/", "bad_host"),
        ("https://[::1", "bad_host"),
        ("https://[::1]x/", "bad_host"),
        ("https://[fe80::1%25eth0]/", "bad_host"),
        ("https://[::ffff:127.0.0.1]/", "bad_host"),
        ("https://[v1.a]/", "bad_host"),
        ("https://[1:2:3]/", "bad_host"),
        ("https://hooks.example.com:99999/", "port"),
        ("https://hooks.example.com:8443/", "port"),
        ("https://hooks.example.com:80/", "port"),
        ("https://hooks.example.com:6379/", "port"),
        ("https://hooks.example.com/" + "a" * 2048, "too_long"),
    ],
)
def test_odd_callback_is_refused_with_its_reason(url: str, code: str):
    """Whatever two parsers could read in two ways never gets as far as a look-up."""
    assert refusal(Guard(resolve=answers(*PUBLIC)), url) == code


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "127.0.1", "2130706433", "0177.0.0.1", "017700000001", "0x7f000001", "0x7f.0.0.1", "0x7f.1",
        "0X7F.1", "127.0.0.0x1", "00127.0.0.1", "127.0.0.01", "127.0.0.1.", "1.2.3.4.5", "1.2.3", "0",
        "256.1.1.1", "999999999999", "0x", "hooks.example.1", "8.8.8.010", "134744072",
    ],
)  # fmt: skip
def test_odd_spelling_of_an_address_is_refused(host: str):
    """Decimal, octal, hexadecimal, short and mixed forms are refused, public or not."""
    assert refusal(Guard(resolve=answers(*PUBLIC)), f"https://{host}/") == "bad_host"


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:7f00:1]", "[fd00:ec2::254]"])
def test_address_in_the_url_is_judged(host: str):
    """Without a look-up there is still a judgement."""
    assert refusal(Guard(), f"https://{host}/") == "blocked_address"


@pytest.mark.parametrize("found", [["127.0.0.1"], [PUBLIC[0], "10.0.0.1"], ["fe80::1%eth0"], ["nonsense"]])
def test_name_with_any_closed_address_is_refused(found: list[str]):
    """All of a name's addresses must pass: a connection could go to any."""
    assert refusal(Guard(resolve=answers(*found)), "https://hooks.example.com/") == "blocked_address"


def test_name_without_an_address_is_refused():
    """A typing mistake in a host shows before any money is spent."""
    assert refusal(Guard(resolve=nowhere), "https://hooks.example.com/") == "unresolvable"
    assert refusal(Guard(resolve=answers()), "https://hooks.example.com/") == "unresolvable"


async def test_look_up_has_a_time_limit(monkeypatch: pytest.MonkeyPatch):
    """What a dead name server is asked is given up, and is nothing against the callback."""
    monkeypatch.setattr(guard_module, "RESOLVE_TIMEOUT", 0.01)
    given_up = []

    async def stuck(_: str) -> list[str]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.append(True)
            raise
        return []

    with pytest.raises(NameServersSilent):
        await Guard(resolve=stuck).judge("https://hooks.example.com/")
    assert given_up


async def test_name_server_in_trouble_is_nothing_against_the_callback():
    """Only a name server's word refuses a name; its trouble does not."""

    async def troubled(_: str) -> list[str]:
        raise OSError("SERVFAIL for hooks.example.com")

    with pytest.raises(NameServersSilent) as caught:
        await Guard(resolve=troubled).judge("https://hooks.example.com/")
    assert "hooks.example.com" not in str(caught.value)


async def test_hosts_file_is_read_before_any_name_server_is_asked():
    """`localhost` resolves although the only name server there is cannot be reached."""
    assert "127.0.0.1" in await Names(["127.0.0.1:9"])("localhost")


def test_http_is_allowed_on_request():
    """`http://` is for those who ask for it, on port 80."""
    guard = Guard(allow_http=True, resolve=answers(*PUBLIC))
    judge(guard, "http://hooks.example.com/")
    assert refusal(guard, "http://hooks.example.com:8080/") == "port"


def test_further_ports_can_be_allowed():
    """Ports named in the settings come on top of the scheme's own."""
    guard = Guard(allowed_ports=[8443], resolve=answers(*PUBLIC))
    judge(guard, "https://hooks.example.com:8443/")
    judge(guard, "https://hooks.example.com/")


def test_allowed_network_is_open_on_any_port():
    """A test's receiver listens wherever it found a port."""
    guard = Guard(allow_http=True, allowed_networks=["127.0.0.0/8"], resolve=answers("127.0.0.1"))
    judge(guard, "http://127.0.0.1:49152/hook")
    judge(guard, "http://localhost:49152/hook")


def test_port_needs_every_address_in_the_allowed_network():
    """One public address among them, and an odd port would reach a stranger's."""
    guard = Guard(allowed_networks=["127.0.0.0/8"], resolve=answers("127.0.0.1", PUBLIC[0]))
    assert refusal(guard, "https://hooks.example.com:49152/") == "port"


async def test_name_that_changes_its_mind_is_refused_when_connecting():
    """DNS rebinding: public when an order is posted, loopback at the connect, and nothing is connected to."""
    replies = iter([PUBLIC, ("127.0.0.1",)])

    async def fickle(_: str) -> Sequence[str]:
        return next(replies)

    guard = Guard(resolve=fickle)
    await guard.judge("https://hooks.example.com/")
    with pytest.raises(CallbackRefused) as caught:
        await guard.resolve("hooks.example.com", 443)
    assert caught.value.code == "blocked_address"


async def test_judged_addresses_are_the_ones_handed_out():
    """What is connected to is what was judged."""
    assert await Guard(resolve=answers(*PUBLIC)).resolve("hooks.example.com", 443) == list(PUBLIC)


def test_refusal_never_repeats_the_url():
    """A callback's query may hold a secret, and refusals are logged."""
    with pytest.raises(CallbackRefused) as caught:
        judge(Guard(resolve=answers("127.0.0.1")), "https://hooks.example.com/?token=s3cret")
    told = repr(caught.value) + str(caught.value)
    assert "s3cret" not in told
    assert "hooks.example.com" not in told


def test_failed_look_up_leaves_no_trail():
    """The resolver's own error, which may repeat the name, is not chained to the refusal."""
    with pytest.raises(CallbackRefused) as caught:
        judge(Guard(resolve=nowhere), "https://hooks.example.com/")
    assert caught.value.__suppress_context__


def test_target_keeps_the_query_out_of_its_repr():
    """A target in a log line shows where to, not with what."""
    assert "s3cret" not in repr(Guard().target("https://hooks.example.com/?token=s3cret"))
