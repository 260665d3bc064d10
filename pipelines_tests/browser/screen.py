"""What a person does in the UI, and what must never be on the screen meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, expect

# The UI's messages go by themselves: each is noted as it comes.
_NOTE_TOASTS = """new MutationObserver(() => {
    for (const toast of document.querySelectorAll('[class*="Toaster_toastInner"]:not([data-noted])')) {
        toast.setAttribute('data-noted', '');
        window.noteToast(toast.innerText);
    }
}).observe(document, {childList: true, subtree: true});"""
_GOOD_TOASTS = re.compile(r"Launched run [0-9a-f]{8}|Created backfill \w+")


class Screen:
    """A page, as one person uses it. ``toasts`` are the messages that came up, ``faults`` what nobody should see."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.toasts: list[str] = []
        self.faults: list[str] = []
        page.expose_function("noteToast", self._note_toast)
        page.add_init_script(_NOTE_TOASTS)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("console", self._note_console)
        page.on("request", self._note_request)

    def _note_toast(self, text: str) -> None:
        self.toasts.append(text)
        if not _GOOD_TOASTS.match(text):
            self.faults.append(f"toast: {text}")

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text}")

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.faults.append(f"request outside: {request.url}")

    def go(self, path: str) -> None:
        self.page.goto(path)

    def shoot(self, picture: Path, *parts: Locator) -> None:
        """A picture of the page, or of the smallest part of it that holds these."""
        boxes = [box for part in parts if (box := part.bounding_box())]
        assert len(boxes) == len(parts)
        if not boxes:
            self.page.screenshot(path=picture)
            return
        left, top = min(box["x"] for box in boxes) - 12, min(box["y"] for box in boxes) - 12
        right = max(box["x"] + box["width"] for box in boxes) + 12
        bottom = max(box["y"] + box["height"] for box in boxes) + 12
        clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        self.page.screenshot(path=picture, clip=clip)  # type: ignore[arg-type]  # a FloatRect, which has no public name

    def open_lineage(self, groups: Mapping[str, Collection[str]]) -> Locator:
        """The lineage of everything, these groups of assets unfolded, all of it in sight; returns the graph's nodes."""
        self.page.get_by_role("link", name="Lineage").click()
        nodes = self.page.locator("foreignObject")
        for group in groups:
            nodes.get_by_text(group, exact=True).click()
            self.page.wait_for_url(re.compile(f"expanded=.*{group}"))
        self.page.reload()  # unfolding moves to the group; a fresh page shows all
        names = [member for members in groups.values() for member in members]
        for name in set(names):
            shown = nodes.get_by_text(name, exact=True)
            expect(shown).to_have_count(names.count(name))
            for one in shown.all():
                expect(one).to_be_in_viewport()
        expect(nodes.filter(has_text="Latest event")).to_have_count(len(names))
        expect(nodes.filter(has_text=re.compile("Loading|fetching"))).to_have_count(0)
        return nodes

    def launch_partitions(self, text: str) -> None:
        """In the dialog that asks for partitions: these, and off they go."""
        dialog = self.page.locator("[class*='ialog']").filter(has=self.page.get_by_text("Partition selection"))
        field = dialog.locator("input:not([type=checkbox])").first
        field.fill(text)
        field.press("Enter")
        launch = dialog.get_by_role("button", name=re.compile("^Launch")).last
        expect(launch).to_be_enabled()
        launch.click()

    def follow_toast(self, text: str) -> None:
        """Take the link in the message that says that something was begun."""
        toast = self.page.locator("[class*='Toaster_toastInner']").filter(has_text=text)
        toast.get_by_role("link", name="View").click()

    def expect_success(self) -> None:
        """Wait until the page of a run says that it succeeded."""
        expect(self.page.get_by_text("Success", exact=True).first).to_be_visible(timeout=90_000)

    def fill_launchpad(self, job: str, config: str) -> None:
        """Go to a job and write its config; it can be launched then."""
        self.page.get_by_role("link", name="Jobs").first.click()
        self.page.get_by_role("link", name=job).first.click()
        tab = self.page.get_by_role("tab", name="Launchpad")
        tab.or_(self.page.get_by_role("link", name="Launchpad")).first.click()
        editor = self.page.locator(".CodeMirror").first
        expect(editor).to_contain_text("config:")  # what the UI puts there by itself, or what stood there last
        editor.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(config)
        expect(self.page.get_by_role("button", name="Launch Run")).to_be_enabled()

    def launch_job(self, job: str, config: str) -> None:
        """Run a job with this config, and wait until its page says that it succeeded."""
        self.fill_launchpad(job, config)
        self.page.get_by_role("button", name="Launch Run").click()
        self.page.wait_for_url("**/runs/*")
        self.expect_success()

    def expect_tick(self, sensor: str, said: re.Pattern[str]) -> None:
        """Look at the newest tick of a sensor until it says this."""
        self.page.get_by_role("link", name="Automation").click()
        self.page.get_by_role("link", name=sensor).first.click()
        ends_at = time.monotonic() + 90
        while True:
            row = self.page.get_by_role("row").filter(has_text="View logs").first
            row.get_by_text("0 runs requested").last.click()
            dialog = self.page.locator("[class*='ialog']").filter(has_text="Tick")
            expect(dialog.first).to_be_visible()
            if said.search(dialog.first.inner_text()):
                return
            assert time.monotonic() < ends_at, f"no tick says {said.pattern}: {dialog.first.inner_text()}"
            self.page.reload()

    def expect_check(self, asset: str, check: str, verdict: str) -> None:
        """Look at the checks of an asset until the one says this."""
        self.go(f"/assets/{asset}?view=checks&checkDetail={check}")
        ends_at = time.monotonic() + 90
        result = self.page.get_by_text("Evaluation result", exact=True).locator("..")
        while True:
            expect(result).to_contain_text(re.compile("Passed|Failed"))
            if verdict in result.inner_text():
                return
            assert time.monotonic() < ends_at, f"{check} of {asset} does not say {verdict}"
            self.page.reload()
