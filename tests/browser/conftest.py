"""Fixtures of the browser's tests: a lively stack and Debian's Chromium, once per run; nothing reaches the outside."""

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc
import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright

from services.local.stack import Stack
from services.runtime.grpc_client import open_channel
from tests.browser.lively import Lively
from tests.integration.api.world import Client, World
from tests.support.stacks import ROOT, fresh_stack

SHOTS = Path(ROOT, "build", "screenshots")
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@dataclass(frozen=True, slots=True)
class Site:
    """The console of a lively account."""

    stack: Stack
    channel: grpc.aio.Channel
    lively: Lively
    world: World

    @property
    def client(self) -> Client:
        return self.lively.client

    def url(self, path: str) -> str:
        return f"{self.stack.gateway_url}{path}"

    async def sign_in(self, page: Page, path: str = "/console/", key: str = "") -> None:
        """Signs in on the way to a page."""
        await page.goto(self.url(path))
        await page.get_by_label("API key").fill(key or self.client.key)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(self.url(path))


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        problem = "chromium is not installed (apt-get install chromium)"
        if os.environ.get("WAYFARER_REQUIRE_TOOLS") == "1":
            pytest.fail(problem)
        pytest.skip(problem)
    return found


@pytest.fixture(scope="session")
async def site(chromium: str) -> AsyncIterator[Site]:
    async with (
        fresh_stack(postgres_settings={"shared_buffers": "64MB"}) as stack,
        open_channel(stack.address) as channel,
        asyncpg.create_pool(stack.prepared.dsns["wayfarer_owner"], min_size=1, max_size=2) as owner,
    ):
        lively = Lively(stack, Client(stack.prepared.account_id, stack.api_key, channel))
        await lively.begin()
        yield Site(stack, channel, lively, World(stack, channel, owner))
        log = (stack.state_dir / "logs" / "gateway.log").read_text(encoding="utf-8")
        assert "Traceback" not in log, log[-4000:]


@pytest.fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport=DESK, timezone_id="Asia/Tokyo", locale="en-GB")  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext, site: Site) -> AsyncIterator[Page]:
    """A page in which no script fails, nothing breaks the policy, and nothing is asked of anybody else."""
    page = await context.new_page()
    problems: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((site.stack.gateway_url, "data:")):
            problems.append(f"asked {request.url}")

    page.on("request", asked)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda told: problems.append(told.text) if "Content Security Policy" in told.text else None,
    )
    yield page
    assert not problems


@pytest.fixture
async def signed_in(page: Page, site: Site) -> Page:
    await site.sign_in(page)
    return page
