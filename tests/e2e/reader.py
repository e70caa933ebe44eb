"""A reader at a real browser: keyboard in, picture and page state out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.conftest import PASSWORD
from tests.e2e.conftest import Watch
from tests.e2e.patience import until
from tests.live import Site

NOTICE = "() => document.querySelector('.rv-notice')?.innerText ?? ''"
READ_CANVAS = """() => {
  const canvas = document.querySelector(".rv-pane canvas");
  const { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const grey = new Uint8Array(width * height);
  for (let i = 0; i < grey.length; i++) grey[i] = data[4 * i];
  let text = "";
  for (let i = 0; i < grey.length; i += 32768) {
    text += String.fromCharCode(...grey.subarray(i, i + 32768));
  }
  return [width, height, btoa(text)];
}"""


class Reader:
    """One browser context of one reader."""

    def __init__(
        self, browser: Any, site: Site, email: str, *, size: tuple[int, int] = (1280, 900),
        allowed: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.site = site
        self.email = email
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        self.page = self.context.new_page()
        self.watch = Watch(self.page, allowed)

    # -------------------------------------------------------------------------------- the page
    def sign_in(self) -> None:
        self.page.goto(f"{self.site.url}/accounts/login/")
        self.fill_sign_in()

    def fill_sign_in(self) -> None:
        self.page.locator("input[name=login]").fill(self.email)
        self.page.locator("input[name=password]").fill(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/accounts/login" not in url)

    def open_case(self, slug: str = "liver") -> None:
        self.page.goto(f"{self.site.url}/read/{slug}/case/")
        self.wait("ready")

    def give_consent(self, slug: str = "liver") -> None:
        """From the instructions to the first case, by keyboard alone."""
        self.page.goto(f"{self.site.url}/read/{slug}/")
        assert self.page.url.endswith("/instructions/")
        self.page.get_by_role("link", name="Continue to the consent").focus()
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/consent/")
        self.page.locator("#agree").focus()
        self.press("Space", "Enter")
        self.page.wait_for_url("**/case/")

    # ------------------------------------------------------------------------------- its state
    def state(self, name: str) -> Any:
        return self.page.evaluate(f"() => window.__viewer?.{name} ?? null")

    def wait(self, name: str, value: Any = True, seconds: float = 30) -> None:
        self.until(lambda: self.state(name) == value, f"{name} to be {value!r}", seconds)

    def wait_open(self, seconds: float = 30) -> None:
        """Until keys count: all slices in, the draft restored, the form open.

        A case is `loaded` before that when it came as the case ahead; a key pressed then is lost.
        """
        opened = lambda: self.state("ready") and self.state("locked") is False  # noqa: E731
        self.until(opened, "an open form", seconds)

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
        until(holds, what, seconds)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def answer(self, rating: int) -> None:
        """Choose and save, once all slices are in; returns when another step is reached."""
        self.wait_open()
        token = self.state("token")
        self.press(str(rating))
        self.wait("rating", rating)
        self.press("Enter")
        self.until(
            lambda: (
                not self.page.url.endswith("/case/")
                or self.state("token") not in {token, None}
                or (
                    # None: the old case is gone and no next one is here. While it is still up the
                    # notice may be there already, and a key pressed now would go to the old case.
                    self.state("token") is None
                    and "Waiting for the connection" in self.page.evaluate(NOTICE)
                )
            ),
            "the next case",
        )

    # ----------------------------------------------------------------------------- its picture
    def canvas(self) -> np.ndarray:
        """Grey levels of the axial canvas, (rows, columns)."""
        import base64

        width, height, data = self.page.evaluate(READ_CANVAS)
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width)

    def close(self) -> None:
        self.context.close()


def grey(hu: np.ndarray, center: float, width: float) -> np.ndarray:
    """DICOM's linear window (PS3.3 C.11.2.1.2.1) as real grey levels 0..255."""
    return np.clip(((hu - (center - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)
