"""Where a page is from: hosts, top-level domains and beginnings of addresses."""

import re
from functools import cached_property
from itertools import chain
from urllib.parse import urlsplit

from preprocessing.document import Document
from preprocessing.step import Filter
from preprocessing.text.word_lists import read_words, word_list_problems

_SCHEME = re.compile(r"\A(?:https?:)?//", re.IGNORECASE)
_END_OF_HOST = re.compile(r"[/?#\\]")
_STANDARD_PORT = re.compile(r":(?:80|443)?\Z")
_BEGINNING = re.compile("(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")


class UrlFilter(Filter):
    """Drops `host`, `prefix`, `top_level_domain` and, if asked, `no_host`, by the address in `meta`.

    Swallow drops the hosts 5ch.net and wikipedia.org. llm-jp keeps the top-level domains jp, com, net, org, work, info,
    xyz, biz, me, tv, site, tokyo and cc (scripts/dict/ja_valid_domains.txt).
    """

    field: str = "url"
    """Key of the address in `meta`."""
    hosts: tuple[str, ...] = ()
    """Hosts that are dropped, each with everything under it: wikipedia.org is ja.wikipedia.org too."""
    host_files: tuple[str, ...] = ()
    """Files of more such hosts, one per line, as in the `domains` files of UT1; lines that begin with # are remarks."""
    prefixes: tuple[str, ...] = ()
    """Beginnings of addresses that are dropped. http://, https:// and // are the same and may be left out, as may the
    ports 80 and 443; the host is in any case."""
    top_level_domains: tuple[str, ...] = ()
    """The only ones that are kept; empty keeps all."""
    drop_without_host: bool = False
    """Also drop pages with no address, or one without a host."""

    def files(self) -> tuple[str, ...]:
        return self.host_files

    def problems(self) -> list[str]:
        return [problem for path in self.host_files for problem in word_list_problems("host_files", path)]

    def reason(self, document: Document) -> str | None:
        url = document.meta.get(self.field)
        host = host_of(url) if isinstance(url, str) else None
        if host is None:
            return "no_host" if self.drop_without_host else None
        if self._dropped and any(suffix in self._dropped for suffix in _suffixes(host)):
            return "host"
        if self._prefixes and _without_scheme(str(url)).startswith(self._prefixes):
            return "prefix"
        if self._kept_domains and host.rpartition(".")[2] not in self._kept_domains:
            return "top_level_domain"
        return None

    @cached_property
    def _dropped(self) -> frozenset[str]:
        listed = (host for path in self.host_files for host in read_words(path) if not host.startswith("#"))
        return frozenset(_normal(host) for host in chain(self.hosts, listed))

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        return tuple(_without_scheme(prefix) for prefix in self.prefixes)

    @cached_property
    def _kept_domains(self) -> frozenset[str]:
        return frozenset(_normal(domain) for domain in self.top_level_domains)


def host_of(url: str) -> str | None:
    """Host of an address in lower case, with or without a scheme before it; None where there is none."""
    try:
        host = urlsplit(url if _BEGINNING.match(url) else f"//{url}").hostname
    except ValueError:
        return None
    return _normal(host) or None if host else None


def _suffixes(host: str) -> list[str]:
    """a.b.c: itself, b.c and c."""
    labels = host.split(".")
    return [".".join(labels[first:]) for first in range(len(labels))]


def _normal(host: str) -> str:
    return host.strip().strip(".").lower()


def _without_scheme(url: str) -> str:
    """Without what makes no difference: scheme, user, case of the host, standard port."""
    rest = _SCHEME.sub("", url.strip())
    end = match.start() if (match := _END_OF_HOST.search(rest)) else len(rest)
    host = _STANDARD_PORT.sub("", rest[:end].rpartition("@")[2].lower())
    return (host if end == len(rest) else host.rstrip(".")) + rest[end:]
