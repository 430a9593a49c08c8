from __future__ import annotations

import socket
from typing import Any

import pytest

from gateway.adapters.alert_targets import (
    Forbidden,
    checked_url,
    display_url,
    find_target,
)
from gateway.adapters.directory_values import DirectoryError

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "224.0.0.1",
    "0.0.0.0",
    "[::]",
]


@pytest.mark.parametrize("host", METADATA)
def test_metadata_is_out_of_reach_even_where_it_is_listed(host: str) -> None:
    listed = (host.strip("[]"),)
    for hosts in ((), listed):
        with pytest.raises(DirectoryError, match="link-local, metadata or multicast"):
            checked_url(f"https://{host}/latest/meta-data/", hosts)
        with pytest.raises(Forbidden, match="link-local, metadata or multicast"):
            find_target(f"https://{host}/latest/meta-data/", hosts)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.9.9.9", "[::ffff:127.0.0.1]"])
def test_this_machine_is_out_of_reach_unless_it_is_listed(host: str) -> None:
    with pytest.raises(DirectoryError, match="to this machine only where"):
        checked_url(f"https://{host}/", ())
    assert find_target(f"http://{host}/", (host.strip("[]"),)).address == host.strip("[]")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001"])
def test_other_ways_to_write_an_address_are_seen_through(host: str) -> None:
    with pytest.raises(Forbidden, match="to this machine only where"):
        find_target(f"https://{host}/", ())


def answering(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Names stand for each of ``answers`` in turn."""
    left = list(answers)

    def look_up(host: str, port: int, **_options: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_that_stands_for_metadata_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["93.184.216.34", "169.254.169.254"], ["127.0.0.1"])
    with pytest.raises(Forbidden, match="link-local"):
        find_target("https://hooks.acme.example/", ())
    with pytest.raises(Forbidden, match="this machine"):
        find_target("https://hooks.acme.example/", ())


def test_the_address_that_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once, so that a second answer cannot be another."""
    answering(monkeypatch, ["93.184.216.34"])
    target = find_target("https://hooks.acme.example:8443/a?b=c#d", ())
    assert target.connected == "https://93.184.216.34:8443/a?b=c"
    assert target.host == "hooks.acme.example"
    answering(monkeypatch, ["2001:db8::1%eth0"])
    assert find_target("https://hooks.acme.example/", ()).connected == "https://[2001:db8::1]/"


def test_private_networks_are_reached_by_https(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["10.1.2.3"])
    assert find_target("https://alerts.acme.internal/", ()).address == "10.1.2.3"
    with pytest.raises(DirectoryError, match=r"list 10\.1\.2\.3 in FAREGATE_ALERT_HOSTS"):
        checked_url("http://10.1.2.3/", ())


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("hooks.acme.example", True),
        ("HOOKS.acme.example", True),
        ("a.b.acme.test", True),
        ("acme.test", False),
        ("evilacme.test", False),
        ("hooks.acme.example.evil.test", False),
        ("other.example", False),
    ],
)
def test_a_list_of_hosts_is_all_there_is(host: str, allowed: bool) -> None:
    hosts = ("hooks.acme.example", ".acme.test")
    for scheme in ("http", "https"):
        url = f"{scheme}://{host}/x"
        if allowed:
            assert checked_url(url, hosts) == url
        else:
            with pytest.raises(DirectoryError, match="FAREGATE_ALERT_HOSTS does not list it"):
                checked_url(url, hosts)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.acme.example",
        "ftp://hooks.acme.example/",
        "file:///etc/passwd",
        "gopher://hooks.acme.example/",
        "https://",
        "https:///x",
        "https://hooks.acme.example:99999/",
        "https://hooks.acme.example:0/",
        "https://hooks acme.example/",
        "https://hooks.acme.example/\r\nx: y",
        "https://hooks.acmé.example/",
        "https://user:secret@hooks.acme.example/",
        "https://user@hooks.acme.example/",
        "https://hooks.acme.example\\@127.0.0.1/",
        "https://[::1/",
        "https://hooks.acme.example/" + "x" * 1024,
    ],
)
def test_what_is_no_target(url: str) -> None:
    with pytest.raises(DirectoryError, match="a target m") as raised:
        checked_url(url, ())
    assert "secret" not in str(raised.value)


def test_what_a_url_may_be_secret_in_is_not_shown() -> None:
    assert display_url("https://hooks.slack.com/services/T0/B0/x") == "https://hooks.slack.com/..."
    assert display_url("https://acme.example:8443?token=x") == "https://acme.example:8443/..."
    assert display_url("https://acme.example/") == "https://acme.example"
