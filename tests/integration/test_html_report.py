"""A run's report and its live page in a real browser: no error, no word to anybody else.

Chromium is driven over its own DevTools protocol, so nothing between it and us hides what it does.
"""

import asyncio
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from fleet_sim import cli
from fleet_sim.meter import Moment, Row
from fleet_sim.watching.server import RunServer

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-sync", "--disable-extensions",
    "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip
#: A device, a scenario and a problem that want to be more than words.
HOSTILE: Final = '"><img src=http://evil.example/x onerror="fetch(\'//evil.example\')"><script>x('
SCENARIO: Final = """\
description: Half an hour, in which locks hang.
hours: 0.5
pace: 50
fleet: {ratgdo: 6, nuki: 6}
acts:
  - {at: 10m, for: 5m, vendor: nuki, fault: hang}
"""


@pytest.fixture(scope="module")
def browser(need: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a browser of our own is driven from."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None) or need(PROGRAMS[0])
    home = tmp_path_factory.mktemp("browser")
    port_file = home / "DevToolsActivePort"
    process = subprocess.Popen(
        [program, *OPTIONS, f"--user-data-dir={home}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline_s = time.monotonic() + 30
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert process.poll() is None, f"{program} ended with {process.returncode}"
            assert time.monotonic() < deadline_s, f"{program} did not start within 30 s"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text().split()[0]}"
    finally:
        process.terminate()
        process.wait(10)


class Tab:
    """One page, and everything that it said and asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.errors: list[str] = []
        self.asked_for: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
                continue
            what, about = told["method"], told.get("params", {})
            if what == "Network.requestWillBeSent":
                self.asked_for.append(about["request"]["url"])
            elif what == "Page.loadEventFired":
                self._loaded.set()
            elif (
                what == "Runtime.exceptionThrown"
                or (what == "Log.entryAdded" and about["entry"]["level"] != "verbose")
                or (what == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"))
            ):
                self.errors.append(json.dumps(about))

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(20):
            told = await answer
        assert "error" not in told, told
        return told["result"]

    async def value(self, expression: str) -> Any:
        """Of an expression; a promise is waited for."""
        told = await self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def show(self, url: str, scheme: str, width: int = 1200) -> None:
        """Open a page, as somebody sees it who prefers this colour scheme."""
        self.asked_for.clear()
        self._loaded.clear()
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.ask("Emulation.setEmulatedMedia", features=features)
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        await self.ask("Page.navigate", url=url)
        async with asyncio.timeout(20):
            await self._loaded.wait()


@asynccontextmanager
async def a_tab(browser: str) -> AsyncIterator[Tab]:
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{browser}/json/new?about:blank") as answer:
            target = await answer.json()
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            listening = asyncio.create_task(tab.listen())
            for domain in ("Page", "Network", "Log", "Runtime"):
                await tab.ask(f"{domain}.enable")
            yield tab
            await socket.close()
            await listening


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run's page, and that of the same run had a liar made it."""
    folder = tmp_path_factory.mktemp("reports")
    scenario, plain = folder / "half_hour.yaml", folder / "plain.json"
    scenario.write_text(SCENARIO)
    pages = {name: folder / f"{name}.html" for name in ("plain", "hostile")}
    run = ["run", str(scenario), "--seed", "3", "--no-ui"]
    assert cli.main([*run, "--json", str(plain), "--html", str(pages["plain"])]) == cli.OK

    lie = json.loads(plain.read_text())
    for part in (lie["vendors"], lie["cells"], lie["timeline"]["vendors"]):
        part[HOSTILE] = part.pop("nuki")
    lie["acts"][0].update(vendor=HOSTILE, fault=HOSTILE)
    lie |= {"verdict": "fail", "problems": [HOSTILE], "evidence": [HOSTILE], "scenario": HOSTILE}
    lied = folder / "lie.json"
    lied.write_text(json.dumps(lie))
    assert cli.main(["report", str(lied), "--html", str(pages["hostile"])]) == cli.FAILED
    return pages


_OVER_THE_DAY: Final = """(() => {
  const chart = document.querySelector(".day svg .area").ownerSVGElement;
  chart.scrollIntoView({block: "center"});
  const box = chart.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
})()"""


@pytest.mark.parametrize("name", ["plain", "hostile"])
async def test_a_report_is_shown_without_an_error_or_a_request(
    browser: str, reports: dict[str, Path], name: str
) -> None:
    url, papers = reports[name].as_uri(), set()
    async with a_tab(browser) as tab:
        for scheme, width in (("light", 1200), ("dark", 1200), ("light", 360)):
            await tab.show(url, scheme, width)
            papers.add(await tab.value("getComputedStyle(document.body).backgroundColor"))

            x, y = await tab.value(_OVER_THE_DAY)
            await tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
            tip = await tab.value("document.querySelector('.tip:not([hidden])')?.textContent")
            too_wide = await tab.value("document.documentElement.scrollWidth - innerWidth")

            assert tip.startswith("15:00deeds"), tip
            assert too_wide <= 0
            assert [each for each in tab.asked_for if not each.startswith("data:")] == [url]
        assert tab.errors == []
    assert len(papers) == 2  # light and dark


async def test_a_verdict_is_shown_without_an_error_or_a_request(
    browser: str, tmp_path: Path
) -> None:
    experiment, page = tmp_path / "half_hour.yaml", tmp_path / "verdict.html"
    # Nuki was not to be touched, so there is something to say.
    experiment.write_text(f"{SCENARIO}blast_radius: {{nuki: []}}\n")
    run = ["chaos", str(experiment), "--workers", "1", "--html", str(page)]
    assert await asyncio.to_thread(_typed, *run) == cli.FAILED
    papers = set()
    async with a_tab(browser) as tab:
        for scheme, width in (("light", 1200), ("dark", 1200), ("light", 360)):
            await tab.show(page.as_uri(), scheme, width)
            papers.add(await tab.value("getComputedStyle(document.body).backgroundColor"))
            too_wide = await tab.value("document.documentElement.scrollWidth - innerWidth")
            broken = await tab.value("document.querySelectorAll('.matrix td.broken').length")

            assert too_wide <= 0
            assert broken >= 1
            assert [each for each in tab.asked_for if not each.startswith("data:")] == [
                page.as_uri()
            ]
        assert tab.errors == []
    assert len(papers) == 2


def _typed(*words: str) -> int:
    code = "import sys; from fleet_sim.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *words], check=False).returncode


def moment(elapsed_s: float) -> Moment:
    row = Row("nuki", 3, 3, "up", "", 0, 0, 4.0, 9.0, events=int(elapsed_s))
    course = {"bucket_s": 1.0, "vendors": {}}
    return Moment("half_hour", 7, elapsed_s, 100.0, 5.0, virtual=True, rows=[row], timeline=course)


async def test_the_live_page_keeps_up_and_asks_its_own_server_alone(browser: str) -> None:
    with RunServer("127.0.0.1", 0) as server:
        server.show(moment(10))
        async with a_tab(browser) as tab:
            await tab.show(server.url, "light")
            before = await tab.value("document.querySelector('.top .note').textContent")
            server.show(moment(50))
            after = await tab.value(
                "new Promise((done) => new MutationObserver(() => {"
                " const text = document.querySelector('.top .note')?.textContent;"
                " if (text?.startsWith('50 s')) done(text); })"
                ".observe(document.body, {childList: true, subtree: true}))"
            )

            assert before.startswith("10 s of 1:40 min")
            assert after.startswith("50 s of 1:40 min")
            assert {each for each in tab.asked_for if not each.startswith("data:")} == {server.url}
            assert tab.errors == []


async def test_the_live_page_keeps_what_it_said_last_when_another_run_has_its_port(
    browser: str,
) -> None:
    async with a_tab(browser) as tab:
        with RunServer("127.0.0.1", 0) as server:
            server.show(moment(10))
            await tab.show(server.url, "light")
            port = int(server.url.rstrip("/").rpartition(":")[2])
        with RunServer("127.0.0.1", port):  # 503: that run has not begun
            said = await tab.value(
                "new Promise((done) => { const look = () => {"
                " const text = document.body.textContent;"
                " if (text.includes('Nothing was fetched') && document.querySelector('.top'))"
                " setTimeout(look, 20); else done(text); }; look(); })"
            )

    assert "10 s of 1:40 min" in said
    assert "this is what it said last" in said
