"""What the worlds filter with: the recipes, before and after a fix, and two versions of the mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from pipelines.core.work import Item
from pipelines.domains.mobile.events.recipe import EventRecipe
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, Feed
from pipelines.domains.mobile.landed import Content, Recipe
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines_tests.crashes.landings import MARK
from pipelines_tests.domains.mobile.stages import SAMPLE


@dataclass(frozen=True)
class Mended:
    """A recipe after a fix: what was fussed about before is read as well."""

    recipe: Recipe

    @property
    def feed(self) -> Feed:
        return self.recipe.feed

    @property
    def at_once(self) -> int:
        return self.recipe.at_once

    def make(
        self, item: Item, mapping: PrivacyMapping, chunks: Iterator[bytes], output: IO[bytes], rejected: IO[bytes]
    ) -> Content:
        sound = (chunk.replace(MARK, b"") for chunk in chunks)
        return self.recipe.make(item, mapping, sound, output, rejected)


SPLIT = SAMPLE.replace(b'"QA10_QA11"', b'"QA10"', 1) + b'"ZZ8_","","TERMINATED"\n'
SPLIT_MAPPING = PrivacyMapping.parse(SPLIT)
"""Another mapping: outputs differ by the version that is written into them, or by a place."""

RECIPES: Mapping[str, Recipe] = {PACKAGES.queue: PackageRecipe(1 << 20), EVENTS.queue: EventRecipe(1 << 18)}
