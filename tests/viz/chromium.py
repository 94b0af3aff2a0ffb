"""A headless Chromium with software WebGL, driven over its debugging port."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

FLAGS = (
    "--headless=new", "--no-sandbox", "--ignore-gpu-blocklist", "--use-gl=angle",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--remote-debugging-port=0",
    "--window-size=1280,900", "--no-first-run", "--disable-background-networking",
)  # fmt: skip
EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """One page of a browser of its own."""

    def __init__(self, address: str):
        from websockets.sync.client import connect

        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [EXECUTABLE, *FLAGS, f"--user-data-dir={self._profile.name}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._socket = connect(self._target(), max_size=None)
        self._id = 0

    def call(self, method: str, **params: object) -> dict:
        """One command of the DevTools protocol."""
        self._id += 1
        self._socket.send(json.dumps({"id": self._id, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script: str) -> object:
        """Value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    def text(self) -> str:
        """All that is written on the page."""
        return str(self.run("document.body.innerText"))

    def wait_for(self, script: str, seconds: float = 60) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"never: {script}\n{self.text()}"
            time.sleep(0.1)

    def click(self, x: float, y: float) -> None:
        """Of the left button, at pixels of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)
            time.sleep(0.1)

    def press(self, label: str) -> None:
        """Clicks the button whose label starts so."""
        self.run(
            f"[...document.querySelectorAll('button')]"
            f".find(b => b.innerText.startsWith({json.dumps(label)})).click()"
        )

    def screenshot(self, path: Path) -> Path:
        """Writes a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        return path

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=20)
        self._profile.cleanup()

    def _target(self) -> str:
        """Where its page listens."""
        port_file = Path(self._profile.name) / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not port_file.exists() or not port_file.read_text().strip():
            assert self._process.poll() is None and time.monotonic() < end, "Chromium did not start"
            time.sleep(0.1)
        port = port_file.read_text().split()[0]
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                pages = [p for p in json.load(answer) if p["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
            assert time.monotonic() < end
            time.sleep(0.1)
