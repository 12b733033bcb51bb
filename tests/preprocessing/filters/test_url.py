import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.filters.url import UrlFilter, host_of


def page(url):
    found = document("本文")
    if url is not None:
        found.meta["url"] = url
    return found


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://ja.wikipedia.org/wiki/%E6%97%A5", "ja.wikipedia.org"),
        ("HTTP://User:Pass@WWW.Example.JP:8080/a?b=http://other.com", "www.example.jp"),
        ("example.jp./a", "example.jp"),
        ("//example.jp", "example.jp"),
        ("https:///path", None),
        ("", None),
        ("http://[::1", None),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("https://日本語.jp/", "日本語.jp"),
    ],
)
def test_host(url, host):
    assert host_of(url) == host


@given(st.text() | st.text(alphabet="htp:/[]@.?#%a "))
def test_no_address_stops_the_run(url):
    UrlFilter(hosts=("example.jp",), top_level_domains=("jp",), prefixes=("a",)).reason(page(url))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://wikipedia.org/", "host"),
        ("https://ja.m.wikipedia.org/", "host"),
        ("https://notwikipedia.org/", None),
        ("https://wikipedia.org.example.jp/", None),
        ("https://mevius.5ch.net/test/read.cgi", "host"),
        (None, None),
        ("https:///nothing", None),
        (42, None),
    ],
)
def test_hosts_and_all_under_them(url, reason):
    assert UrlFilter(hosts=("wikipedia.org", ".5CH.net")).reason(page(url)) == reason


def test_prefixes_with_and_without_scheme():
    for prefix in ("https://ja.wikipedia.org/wiki/", "ja.wikipedia.org/wiki/"):
        found = UrlFilter(prefixes=(prefix,))
        assert found.reason(page("http://ja.wikipedia.org/wiki/a")) == "prefix"
        assert found.reason(page("http://ja.wikipedia.org/about")) is None


@pytest.mark.parametrize("prefix", ["https://ja.wikipedia.org/wiki/", "HTTP://JA.wikipedia.org:80/wiki/"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("HTTP://ja.wikipedia.org/wiki/a", "prefix"),
        ("https://JA.Wikipedia.ORG/wiki/a", "prefix"),
        ("//ja.wikipedia.org/wiki/a", "prefix"),
        ("https://ja.wikipedia.org:443/wiki/a", "prefix"),
        ("https://ja.wikipedia.org./wiki/a", "prefix"),
        ("https://user@ja.wikipedia.org/wiki/a", "prefix"),
        ("https://ja.wikipedia.org/WIKI/a", None),
        ("https://ja.wikipedia.org:8080/wiki/a", None),
        ("https://example.jp/?https://ja.wikipedia.org/wiki/a", None),
    ],
)
def test_prefixes_do_not_depend_on_how_a_host_is_written(prefix, url, reason):
    assert UrlFilter(prefixes=(prefix,)).reason(page(url)) == reason


def test_only_some_top_level_domains():
    found = UrlFilter(top_level_domains=("jp", "com"), drop_without_host=True)
    assert found.reason(page("https://a.co.jp/x.cn")) is None
    assert found.reason(page("https://a.cn/x.jp")) == "top_level_domain"
    assert found.reason(page(None)) == "no_host"


def test_lists_of_hosts(tmp_path):
    listed = tmp_path / "domains"
    listed.write_text("# bad ones\nbad.example\r\n\n worse.example \n")
    found = UrlFilter(host_files=(str(listed),), field="address")
    assert found.files() == (str(listed),)
    bad = document("本文")
    bad.meta["address"] = "https://www.worse.example/"
    assert found.reason(bad) == "host"
    assert found.problems() == []
    assert "No such file" in UrlFilter(host_files=("nowhere",)).problems()[0]


def test_a_list_with_a_byte_order_mark_and_one_in_another_encoding(tmp_path):
    listed = tmp_path / "domains"
    listed.write_text("first.example\nsecond.example\n", encoding="utf-8-sig")
    assert UrlFilter(host_files=(str(listed),)).reason(page("https://first.example/")) == "host"
    listed.write_bytes("first.example\n日本.example\n".encode("cp932"))
    (problem,) = UrlFilter(host_files=(str(listed),)).problems()
    assert problem.startswith(f"host_files: {listed}: cannot be read")
