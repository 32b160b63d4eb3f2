"""The page in headless Chromium: keys, views, pause, recording, reconnection, and nothing on the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.chromium import INSTALL, find_chromium
from tests.play_fakes import make_theatre
from tests.unit.test_play_server import enter, play_at
from worldgen_core.play.serve import BackgroundServer
from worldgen_core.play.server import make_app
from worldgen_core.play.settings import ServerSettings

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    found = find_chromium()
    if found is None:
        pytest.skip(f"no browser test has run: chromium and chromedriver are missing; as root: {INSTALL}")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
    yield driver
    driver.quit()


def until(claim: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def text(browser: WebDriver, name: str) -> str:
    return browser.find_element("id", name).text


def pixel(browser: WebDriver, world: str) -> list[int]:
    script = f"return [...document.getElementById('{world}').getContext('2d').getImageData(5, 5, 1, 1).data]"
    return browser.execute_script(script)


def frame(browser: WebDriver) -> int:
    return int(browser.execute_script("return document.body.dataset.frame ?? -1"))


def press(browser: WebDriver, keys: str) -> None:
    browser.find_element("tag name", "body").send_keys(keys)


SPY = """
window.said = [];
window.WebSocket = class extends WebSocket {
  constructor(url) { super(url); window.socket = this; }
  send(text) { window.said.push(JSON.parse(text)); super.send(text); }
};
"""


@pytest.fixture
def spied(browser: WebDriver) -> Iterator[WebDriver]:
    """Pages that keep what they say and their socket."""
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SPY})
    yield browser
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


@pytest.fixture
def address() -> Iterator[str]:
    settings = ServerSettings(port=0, max_players=1)
    with BackgroundServer(make_app(make_theatre(), settings), settings) as port:
        yield f"127.0.0.1:{port}"


def open_page(browser: WebDriver, address: str) -> None:
    browser.get(f"http://{address}/")
    until(lambda: frame(browser) > 5, "frames come")


def test_the_page_plays(browser: WebDriver) -> None:
    settings = ServerSettings(port=0)
    server = BackgroundServer(make_app(make_theatre(), settings), settings)
    with server as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: frame(browser) > 5, "frames come")
        assert text(browser, "title") == "Flappy Bird"

        red = pixel(browser, "dream")[0]
        press(browser, " ")
        until(lambda: pixel(browser, "dream")[0] == red + 1, "a key reaches the model, once")
        until(lambda: "ms" in text(browser, "latency"), "key to picture is measured")

        press(browser, "g")
        until(lambda: browser.find_element("id", "game-figure").is_displayed(), "the true game is shown")
        assert not browser.find_element("id", "dream-figure").is_displayed()
        press(browser, "b")
        until(lambda: browser.find_element("id", "dream-figure").is_displayed(), "both are shown")

        press(browser, "p")
        until(lambda: text(browser, "pause").startswith("Go on"), "paused")
        time.sleep(0.2)
        before = frame(browser)
        press(browser, "n")
        until(lambda: frame(browser) == before + 1, "one step")
        press(browser, "p")
        until(lambda: frame(browser) > before + 3, "goes on")

        press(browser, "v")
        until(lambda: text(browser, "record").startswith("Stop"), "records")
        until(lambda: frame(browser) > before + 10, "goes on")
        press(browser, "v")
        until(lambda: "action file" in text(browser, "saved"), "the recording is offered")

        press(browser, "c")
        until(
            lambda: len(browser.find_elements("css selector", "#strip canvas")) == 3, "the context is shown"
        )
        browser.find_element("css selector", "#starts button").click()
        until(lambda: pixel(browser, "dream")[2] < 60 and frame(browser) < 60, "begins at the held-out start")
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    until(lambda: "Trying again" in text(browser, "notice-text"), "says that the connection is lost")

    again = ServerSettings(port=port)
    with BackgroundServer(make_app(make_theatre(), again), again):
        until(lambda: text(browser, "notice-text") == "", "reconnects by itself")
        before = frame(browser)
        until(lambda: frame(browser) != before, "and plays on")


def choose(browser: WebDriver, name: str, words: str) -> None:
    [option] = browser.find_elements("xpath", f"//select[@name='{name}']/option[starts-with(., '{words}')]")
    option.click()


def test_models_and_steps_are_switched_while_one_plays(browser: WebDriver) -> None:
    settings = ServerSettings(port=0)
    browser.get_log("browser")  # what other tests left
    gate = threading.Event()
    theatre = make_theatre(gate=gate)
    with BackgroundServer(make_app(theatre, settings), settings) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: frame(browser) > 5, "frames come")
        assert "counter" in text(browser, "model")
        choose(browser, "model", "stepper")
        until(lambda: "loading stepper" in text(browser, "switching"), "says what is loading")
        until(lambda: "2 s" in text(browser, "switching"), "and for how long")
        before = frame(browser)
        until(lambda: frame(browser) > before, "the old one goes on meanwhile")
        gate.set()
        until(lambda: "stepper" in text(browser, "model"), "the new model plays")
        until(lambda: pixel(browser, "dream")[2] == 102, "its own steps")
        choose(browser, "denoiser steps", "7")
        until(lambda: pixel(browser, "dream")[2] == 107, "other steps")
        press(browser, " ")
        until(lambda: pixel(browser, "dream")[0] == 1, "keys belong to the game again")
        choose(browser, "model", "broken")
        until(lambda: "no such kernel" in text(browser, "switching"), "says why not")
        until(lambda: pixel(browser, "dream")[2] == 107, "the old model plays on")
        assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    again = ServerSettings(port=port)
    with BackgroundServer(make_app(make_theatre(), again), again):
        until(lambda: "stepper" in text(browser, "model"), "after a reconnection what was chosen is played")
        until(lambda: pixel(browser, "dream")[2] == 107, "in the steps that were chosen")


def test_who_finds_no_place_sees_why_and_comes_in_when_one_is_free(browser: WebDriver) -> None:
    settings = ServerSettings(port=0, max_players=1, idle_s=3.0)
    with BackgroundServer(make_app(make_theatre(), settings), settings) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: frame(browser) > 5, "frames come")
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: "you are next" in text(browser, "notice-text"), "says that somebody plays")
        assert not browser.find_element("id", "buttons").is_displayed(), "nothing to press that does nothing"
        until(lambda: frame(browser) > 0, "comes in when the other has been away for a while")
        assert browser.find_element("id", "buttons").is_displayed()
        browser.close()
        browser.switch_to.window(first)
        until(lambda: "You were away" in text(browser, "notice-text"), "who was away is told so")


def test_the_page_fits_a_phone(browser: WebDriver) -> None:
    settings = ServerSettings(port=0)
    with BackgroundServer(make_app(make_theatre(), settings), settings) as port:
        metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: frame(browser) > 5, "frames come")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        bottom = browser.execute_script(
            "return document.getElementById('buttons').getBoundingClientRect().bottom"
        )
        assert bottom <= 844, "picture and buttons are seen without scrolling"


LAYOUT = """
const canvas = document.getElementById('dream'), end = document.getElementById('buttons');
return [canvas.clientHeight / canvas.height, canvas.height, end.getBoundingClientRect().bottom, innerHeight];
"""


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1600, 1200)])
def test_the_picture_is_as_large_as_whole_pixels_in_view_allow(
    browser: WebDriver, width: int, height: int
) -> None:
    settings = ServerSettings(port=0)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    with BackgroundServer(make_app(make_theatre(), settings), settings) as port:
        browser.get(f"http://127.0.0.1:{port}/")
        until(lambda: frame(browser) > 5, "frames come")
        scale, pixels, bottom, room = browser.execute_script(LAYOUT)
        assert scale == int(scale)
        assert bottom <= room < bottom + pixels + 20  # 20: the margin below
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_who_waits_says_nothing(spied: WebDriver, address: str) -> None:
    with play_at(address) as first:
        enter(first)
        spied.get(f"http://{address}/")
        until(lambda: "you are next" in text(spied, "notice-text"), "waits")
        press(spied, " p")
        spied.execute_script("window.dispatchEvent(new Event('blur'))")
        assert spied.execute_script("return window.said") == []
    until(lambda: frame(spied) > 5, "keeps the place in line")


def test_what_the_server_refuses_stays_to_be_read(spied: WebDriver, address: str) -> None:
    open_page(spied, address)
    begin = {"type": "begin", "seed": 0, "start": "gone"}
    spied.execute_script("window.socket.send(JSON.stringify(arguments[0]))", begin)
    until(lambda: "no such start" in text(spied, "notice-text"), "says why not")
    before = frame(spied)
    until(lambda: frame(spied) > before + 20, "plays on")
    assert "no such start" in text(spied, "notice-text")
    until(lambda: text(spied, "notice-text") == "", "but not for ever")


def test_a_pause_is_no_latency(browser: WebDriver, address: str) -> None:
    open_page(browser, address)
    both = "for (const code of ['KeyP', 'Space']) dispatchEvent(new KeyboardEvent('keydown', {code}))"
    browser.execute_script(both)
    until(lambda: text(browser, "pause").startswith("Go on"), "paused")
    press(browser, " ")
    time.sleep(1)
    before = frame(browser)
    press(browser, "p")
    until(lambda: frame(browser) > before + 10, "goes on")
    assert text(browser, "latency") == "press a key"


def walk_to(browser: WebDriver, name: str) -> None:
    """Press Tab until a control has the focus."""
    for _ in range(60):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        if browser.execute_script("return document.activeElement.id") == name:
            return
    raise AssertionError(f"{name} is out of reach")


def keys(browser: WebDriver, *words: str) -> None:
    """Press keys wherever the focus is."""
    ActionChains(browser).send_keys(*words).perform()


def test_every_control_works_by_keyboard_alone(spied: WebDriver, address: str) -> None:
    open_page(spied, address)
    walk_to(spied, "pause")
    keys(spied, " ")
    until(lambda: text(spied, "pause").startswith("Go on"), "Space presses a button")
    keys(spied, Keys.ENTER)
    until(lambda: text(spied, "pause").startswith("Pause"), "and so does Enter")
    walk_to(spied, "speed")
    keys(spied, Keys.ARROW_UP)
    until(lambda: text(spied, "speed-text") == "110 %", "an arrow moves the slider")
    walk_to(spied, "context")
    keys(spied, " ")
    until(lambda: spied.find_elements("css selector", "#strip canvas"), "Space ticks a box")
    assert pixel(spied, "dream")[0] == 0, "the game has got none of these keys"
    keys(spied, Keys.ESCAPE, " ")
    until(lambda: pixel(spied, "dream")[0] == 1, "Escape gives the keys back")
    unnamed = "canvas:not([role=img][aria-label])"
    assert spied.find_elements("css selector", unnamed) == []


def test_after_a_click_keys_belong_to_the_game(browser: WebDriver, address: str) -> None:
    open_page(browser, address)
    for name in ("context", "speed", "reset"):
        browser.find_element("id", name).click()
    browser.find_element("xpath", "//label[contains(., 'what the model sees')]/span").click()
    until(lambda: pixel(browser, "dream")[0] == 0, "begins anew")
    keys(browser, " ")
    until(lambda: pixel(browser, "dream")[0] == 1, "Space flaps")
    assert not browser.find_element("id", "context").is_selected()
    browser.find_element("id", "seed").click()
    keys(browser, Keys.END, "7")
    assert (browser.find_element("id", "seed").get_attribute("value") or "").endswith("7")
    browser.find_element("id", "screen").click()
    keys(browser, "c")
    until(lambda: browser.find_element("id", "context").is_selected(), "the picture takes them back")


def test_a_key_let_go_in_a_field_is_let_go(spied: WebDriver, address: str) -> None:
    open_page(spied, address)
    ActionChains(spied).key_down(" ").perform()
    spied.execute_script("document.getElementById('seed').focus()")
    ActionChains(spied).key_up(" ").perform()
    holds = "return window.said.filter(({type}) => type === 'hold').map(({action}) => action)"
    until(lambda: spied.execute_script(holds) == [1, 0], "the server is told")


def test_a_seed_that_is_none_ends_no_session(browser: WebDriver, address: str) -> None:
    open_page(browser, address)
    browser.execute_script("document.getElementById('seed').value = '-1.5'")
    browser.find_element("css selector", "#starts button").click()
    until(lambda: frame(browser) < 5, "begins at the held-out start")
    until(lambda: frame(browser) > 20, "and plays on")
