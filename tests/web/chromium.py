"""A headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)  # fmt: skip


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab: commands are sent from the test's thread and answered on the loop's."""

    def __init__(self, address: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._open = threading.Event()
        self.messages: list[str] = []
        """Console messages, exceptions and what the security policy refused."""
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._talk(address),), daemon=True)
        self._thread.start()
        assert self._open.wait(20.0), "Chromium does not answer"

    async def _talk(self, address: str) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as self._socket:
            self._open.set()
            async for received in self._socket:
                message = json.loads(received.data)
                if "id" in message and message["id"] in self._answers:
                    self._answers.pop(message["id"]).set_result(message)
                elif message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
                    self.messages.append(json.dumps(message["params"])[:600])

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._ids)
        answer = self._answers[number] = self._loop.create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, 30.0)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol; its result."""
        answer = asyncio.run_coroutine_threadsafe(self._call(method, parameters), self._loop).result(40.0)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 20.0) -> Any:
        """The value of an expression as soon as it is truthy."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"{expression} stays {value!r}; the page says {self.messages}"
            time.sleep(0.05)
        return value

    def size(self, width: int, height: int, *, scale: float = 1.0, mobile: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)

    def go(self, url: str) -> None:
        """Open an address, and return when it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def screenshot(self, path: Path | None = None, **clip: float) -> bytes:
        """PNG of the page, or of the part given by x, y, width, height."""
        more = {"clip": {**clip, "scale": 1}} if clip else {}
        picture = base64.b64decode(self.call("Page.captureScreenshot", format="png", **more)["data"])
        if path is not None:
            path.write_bytes(picture)
        return picture

    def close(self) -> None:
        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop)
        self._thread.join(5.0)


@contextmanager
def open_page(program: str) -> Iterator[Page]:
    """A page of a fresh browser with a profile of its own; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pose-rt-chromium-", ignore_cleanup_errors=True) as profile:
        log = Path(profile, "log")
        with log.open("wb") as output:
            process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stdout=output, stderr=output)
        try:
            page = Page(_page_address(Path(profile), process, log))
            for domain in ("Page", "Runtime", "Log"):
                page.call(f"{domain}.enable")
            try:
                yield page
            finally:
                page.close()
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _page_address(profile: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    """The WebSocket of the first tab, by the port that Chromium writes into its profile."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Chromium has ended: {log.read_text(errors='replace')[-800:]}"
        with suppress(OSError, ValueError, IndexError):
            port = int((profile / "DevToolsActivePort").read_text().splitlines()[0])
            return asyncio.run(_first_tab(port))
        time.sleep(0.1)
    raise AssertionError(f"Chromium did not start: {log.read_text(errors='replace')[-800:]}")


async def _first_tab(port: int) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        return next(str(tab["webSocketDebuggerUrl"]) for tab in await answer.json() if tab["type"] == "page")
