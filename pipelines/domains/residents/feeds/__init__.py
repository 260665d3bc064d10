"""The feeds of residents. Another one is one more table, and its name here."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.domains.residents.feeds.contact_tracing import CONTACT_TRACING
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.generic import GENERIC
from pipelines.domains.residents.feeds.nsss import NSSS
from pipelines.domains.residents.feeds.self_isolation import SELF_ISOLATION
from pipelines.domains.residents.feeds.spl import SPL

FEEDS: Mapping[str, Feed] = {feed.name: feed for feed in (CONTACT_TRACING, NSSS, SPL, SELF_ISOLATION, GENERIC)}
