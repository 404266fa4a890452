"""robots.txt as RFC 9309 has it: what a site asks programs to leave alone, kept to before a page is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit, urlunsplit

from evergreen.errors import SourceError
from evergreen.sources.http_auth import Access, origin_of
from evergreen.sources.http_client import AGAIN, Client

LONGEST = 500 << 10  # bytes of robots.txt that are read
LONGEST_DELAY = 60.0  # seconds between two pages, whatever it asks for
NO_RULES = [status for status in range(400, 500) if status not in AGAIN]  # there is no robots.txt: all is allowed


@dataclass
class Rules:
    """One site's rules for one program: patterns, and the pause that it asks for."""

    patterns: list[tuple[str, bool]] = field(default_factory=list)
    delay: float = 0.0

    def allow(self, path: str) -> bool:
        """Whether the longest pattern that fits the path allows it; what none fits is allowed."""
        fitting = [(len(pattern), allowed) for pattern, allowed in self.patterns if _fits(pattern, unquote(path))]
        return max(fitting, default=(0, True))[1]


@dataclass
class Robots:
    """Asks each site's robots.txt once, as the client that it is made for, without its credentials."""

    client: Client
    sites: dict[tuple[str, str, int | None], Rules] = field(default_factory=dict)

    def check(self, url: str) -> None:
        """Raise SourceError where the site asks not to fetch this address."""
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if not self.rules(url).allow(path or "/"):
            raise SourceError(
                f"{self.client.show(url)}: the site's robots.txt asks {product(self.client.agent)} not to read this "
                f"page. Ask its owner for leave (and a rule for this name), or for the data in another way"
            )

    def asked_before(self, url: str) -> bool:
        """Whether a page of this site was asked for already: the site may want a pause before the next."""
        return origin_of(url) in self.sites

    def rules(self, url: str) -> Rules:
        """The rules of the site of `url` for this client's name."""
        site = origin_of(url)
        if site not in self.sites:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
            place = urlunsplit((parts.scheme, host, "/robots.txt", "", ""))
            plain = Access(site, place, verify=self.client.access.verify, secrets=self.client.access.secrets)
            with replace(self.client, access=plain, max_bytes=LONGEST, allow=_all, _client=None) as client:
                answer = client.get(place, fine=NO_RULES)
            text = answer.content.decode("utf-8", "replace") if answer.status == 200 else ""
            self.sites[site] = parse(text, product(self.client.agent))
        return self.sites[site]


def product(agent: str) -> str:
    """The name by which robots.txt knows a User-Agent: `evergreen` of `evergreen/0.1 (...)`."""
    match = re.match(r"[A-Za-z_-]+", agent)
    return match[0].lower() if match else agent.lower()


def parse(text: str, name: str) -> Rules:
    """The rules of the groups for `name`, else of those for `*`."""
    groups: dict[str, Rules] = {}
    current: list[Rules] = []
    heading = False
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        key = key.lower()
        if key == "user-agent":
            current = [
                *(current if heading else []),
                groups.setdefault(product(value) if value != "*" else "*", Rules()),
            ]
            heading = True
        elif key in ("allow", "disallow", "crawl-delay"):
            heading = False
            for rules in current:
                _add(rules, key, value)
    return groups.get(name, groups.get("*", Rules()))


def _add(rules: Rules, key: str, value: str) -> None:
    if key == "crawl-delay":
        if re.fullmatch(r"\d+(\.\d+)?", value):
            rules.delay = min(float(value), LONGEST_DELAY)
    elif value:
        rules.patterns.append((value, key == "allow"))


def _fits(pattern: str, path: str) -> bool:
    """Whether the parts between the pattern's stars come one after the other; each is looked for once."""
    first, *rest = unquote(pattern.removesuffix("$")).split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    last = rest.pop() if pattern.endswith("$") and rest else None
    for part in rest:
        place = path.find(part, place)
        if place < 0:
            return False
        place += len(part)
    if last is not None:
        return path.endswith(last) and len(path) - len(last) >= place
    return not pattern.endswith("$") or place == len(path)


def _all(url: str) -> None:
    """robots.txt itself may always be asked for."""
