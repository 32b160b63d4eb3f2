// The page of `worldgen play`: keys go out as JSON, frames come in as bytes (see worldgen_core/play/protocol.py).

import { Latency, milliseconds } from "./latency.js";
import { HEADER_BYTES, unpack } from "./frames.js";
import { keyName, makeTouch } from "./controls.js";
import { Models } from "./models.js";

const $ = (id) => document.getElementById(id);
const UI_KEYS = { KeyP: "pause", KeyN: "step", KeyR: "reset", KeyV: "record", KeyG: "toggle", KeyB: "both", KeyC: "context" };
const RETRY_MS = [300, 600, 1200, 2500, 5000];
const IDLE = 4000, RUDE = 4001, WRONG = 4002, BROKEN = 4003, FULL = 1013, FORBIDDEN = 1008;

const state = {
  socket: null, isIn: false, hello: null, view: "dream", paused: false, recording: false, over: false, wasHidden: false,
  held: [], press: 0, start: null, retries: 0, isOut: false, newest: null, isDrawing: false, shown: 0,
  notice: "", warning: "", warningTimer: 0,
};
const latency = new Latency();
const models = new Models(send);

// Connection

function connect() {
  state.isOut = state.isIn = false;
  const url = new URL("play" + location.search, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => (typeof event.data === "string" ? hear(JSON.parse(event.data)) : receive(event.data));
  socket.onclose = (event) => state.socket === socket && lost(event.code);
  state.socket = socket;
}

// Whoever says something before the greeting loses the place in line.
function send(message) {
  if (state.isIn && state.socket?.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify(message));
}

function lost(code) {
  state.socket = null;
  state.held = [];
  models.lost();
  warn("");
  state.newest = null; // a hidden tab draws its last frame when it is looked at again, over what is said here
  const reasons = {
    [IDLE]: "You were away for a while, so the game has stopped. Press a key or tap to come back.",
    [RUDE]: "That was too much at once. Press a key or tap to come back.",
    [WRONG]: "Page and server do not understand each other. Reload the page.",
    [BROKEN]: "This model has failed. Press a key or tap to go on with the first one.",
    [FULL]: "All places and the waiting line are taken. Press a key or tap to try again.",
    [FORBIDDEN]: "This page's address has another token than the server. Open the address that worldgen play printed.",
  };
  if (code in reasons) {
    state.isOut = true;
    if (code === BROKEN) models.forget();
    notice(reasons[code]);
    return;
  }
  notice(state.hello ? "Connection lost. Trying again …" : "The server does not answer. Trying again …");
  setTimeout(connect, RETRY_MS[Math.min(state.retries++, RETRY_MS.length - 1)]);
}

function hear(message) {
  if (message.type === "hello") greet(message);
  else if (message.type === "wait") {
    const ahead = message.ahead ? `${message.ahead} ahead of you` : "you are next";
    $("model").textContent = "waiting for a place";
    notice(`Somebody is playing. A place will be yours as soon as one is free: ${ahead}.`);
  } else if (message.type === "model") {
    models.show(message.model);
    listStarts(message.starts);
  } else if (message.type === "loading") models.loading(message.name);
  else if (message.type === "refused") models.refused(message.text);
  else if (message.type === "recorded") offer(message);
  else if (message.type === "error") warn(message.text);
}

function greet(hello) {
  state.hello = hello;
  state.isIn = true;
  state.retries = 0;
  state.newest = null;
  state.shown = 0;
  document.body.classList.remove("outside");
  $("title").textContent = hello.title;
  document.title = `${hello.title} · worldgen`;
  models.greet(hello.choices);
  $("views").hidden = !hello.has_game;
  $("chance-line").hidden = !hello.has_game;
  $("seed").value = hello.seed;
  listKeys(hello);
  makeTouch($("touch"), hello, press, release);
  notice("");
  sayShow();
  saySpeed();
}

// Frames

function receive(data) {
  if (data.byteLength < HEADER_BYTES) return;
  state.newest = data;
  if (!state.isDrawing) {
    state.isDrawing = true;
    requestAnimationFrame(draw);
  }
}

function draw() {
  state.isDrawing = false;
  if (!state.newest) return;
  const frame = unpack(state.newest);
  state.newest = null;
  $("dream-figure").hidden = !frame.dream;
  $("game-figure").hidden = !frame.game;
  for (const world of ["dream", "game"]) if (frame[world]) paint($(world), frame[world], frame.width, frame.height);
  $("dream-figure").classList.toggle("over", frame.dreamOver);
  $("game-figure").classList.toggle("over", frame.gameOver);
  caption(frame);
  strip(frame);
  fit(frame);
  figures(frame);
  if (frame.isPaused && !state.paused) latency.forget();
  state.paused = frame.isPaused;
  state.over = frame.isEnded;
  setRecording(frame.isRecording);
  $("pause").firstElementChild.textContent = frame.isPaused ? "Go on" : "Pause";
  $("pause").setAttribute("aria-pressed", frame.isPaused);
  notice(frame.isEnded && !frame.isPaused ? "This life is over. Press a key to play again." : "");
  document.body.dataset.frame = frame.number;
  document.body.dataset.action = frame.action;
  send({ type: "shown", serial: frame.serial });
  requestAnimationFrame((now) => latency.seen(frame.press, now));
}

function paint(canvas, pixels, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0, j = 0; i < pixels.length; i += 3, j += 4) {
    image.data[j] = pixels[i];
    image.data[j + 1] = pixels[i + 1];
    image.data[j + 2] = pixels[i + 2];
    image.data[j + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Every pixel of the game covers the same whole number of pixels of the screen, as many as leave all in view.
function fit(frame) {
  const ratio = devicePixelRatio || 1, shown = [frame.dream && $("dream"), frame.game && $("game")].filter(Boolean);
  const gaps = parseFloat(getComputedStyle($("screen")).columnGap) * (shown.length - 1);
  const wide = ($("screen").clientWidth - gaps) / shown.length, tall = innerHeight - heightBeside(shown[0]);
  const scale = Math.max(1, Math.floor(ratio * Math.min(wide / frame.width, tall / frame.height)));
  for (const { style } of shown) {
    style.width = `${(frame.width * scale) / ratio}px`;
    style.height = `${(frame.height * scale) / ratio}px`;
  }
}

// What of the page's height, down to the end of the stage, is not the picture's.
function heightBeside(picture) {
  const ends = [...$("stage").children].map((part) => part.getBoundingClientRect().bottom + scrollY);
  return Math.max(...ends) + parseFloat(getComputedStyle($("stage")).paddingBottom) - picture.clientHeight;
}

function caption(frame) {
  const words = (name, isOver) => (isOver ? `${name}: life over` : name);
  $("dream-figure").lastElementChild.textContent = words("dream", frame.dreamOver);
  $("game-figure").lastElementChild.textContent = words("true game", frame.gameOver);
}

function strip(frame) {
  const box = $("strip");
  box.hidden = !frame.context.length;
  while (box.children.length > frame.context.length) box.lastChild.remove();
  while (box.children.length < frame.context.length) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "a frame that the model sees");
    figure.append(canvas, document.createElement("figcaption"));
    box.append(figure);
  }
  frame.context.forEach(({ pixels, action }, i) => {
    const [canvas, text] = box.children[i].children;
    paint(canvas, pixels, frame.smallWidth, frame.smallHeight);
    canvas.style.height = "80px";
    text.textContent = state.hello.actions[action] ?? "";
  });
}

function figures(frame) {
  $("rate").textContent = frame.rate ? frame.rate.toFixed(1) : "–";
  $("cost").textContent = frame.p50 ? milliseconds(frame.p50, frame.p95) : "–";
  $("latency").textContent = latency.isEmpty ? "press a key" : milliseconds(latency.p50, latency.p95);
}

function notice(text) {
  state.notice = text;
  const shown = state.warning || text;
  if ($("notice-text").textContent !== shown) $("notice-text").textContent = shown;
}

// Stays for a while over what each frame has to say.
const WARNING_MS = 5000;
function warn(text) {
  clearTimeout(state.warningTimer);
  state.warning = text;
  if (text) state.warningTimer = setTimeout(warn, WARNING_MS, "");
  notice(state.notice);
}

// Keys: the newest key that is still down counts.

function press(action) {
  if (comeBack()) return;
  state.held = [...state.held.filter((other) => other !== action), action];
  state.press += 1;
  if (!state.paused && !state.over) latency.pressed(state.press, performance.now());
  send({ type: "hold", action, press: state.press });
}

function release(action) {
  state.held = state.held.filter((other) => other !== action);
  send({ type: "hold", action: state.held.at(-1) ?? 0, press: state.press });
}

function comeBack() {
  if (!state.isOut) return false;
  notice("Connecting …");
  connect();
  return true;
}

const TYPING = "input[type=number], select";
const CONTROLS = ":is(aside, #buttons, #views, #saved) :is(button, input, a):focus-visible";
const CONTROL_KEYS = /^(Space|Enter|NumpadEnter|Arrow.*)$/;
const isTyping = ({ target }) => target.matches?.(TYPING) ?? false;
// Who has walked to a control with Tab works it with these keys; Escape gives them back to the game.
const isWorking = ({ target, code }) => CONTROL_KEYS.test(code) && (target.matches?.(CONTROLS) ?? false);

addEventListener("keydown", (event) => {
  if (event.code === "Escape" && event.target.matches?.(CONTROLS)) return event.target.blur();
  if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isWorking(event) && !state.isOut) return;
  const action = state.hello?.keymap[event.code];
  // A button that was clicked must not be pressed by a key of the game.
  if (action !== undefined || event.code in UI_KEYS) event.preventDefault();
  if (event.repeat) return;
  if (action !== undefined) press(action);
  else if (event.code in UI_KEYS) command(UI_KEYS[event.code]);
  else comeBack();
});

addEventListener("keyup", (event) => {
  const action = state.hello?.keymap[event.code];
  if (!state.held.includes(action)) return;
  event.preventDefault();
  release(action);
});

// After a click the keys are the game's; a field to type in keeps them.
let isPointing = false;
addEventListener("pointerdown", () => { isPointing = true; }, true);
addEventListener("keydown", () => { isPointing = false; }, true);
for (const end of ["click", "change"]) {
  addEventListener(end, (event) => isPointing && !isTyping(event) && document.activeElement?.blur());
}

addEventListener("blur", () => {
  state.held = [];
  send({ type: "hold", action: 0, press: state.press });
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden && !state.paused) {
    state.wasHidden = true;
    send({ type: "do", what: "pause" });
  } else if (!document.hidden && state.wasHidden) {
    state.wasHidden = false;
    send({ type: "do", what: "resume" });
  }
});

$("screen").addEventListener("pointerdown", (event) => {
  event.preventDefault();
  const taps = state.hello?.taps ?? [];
  if (state.isOut || !taps.length) return void comeBack();
  press(taps[0]);
  addEventListener("pointerup", () => release(taps[0]), { once: true });
});

// Buttons

function command(what) {
  if (what === "toggle") setView(state.view === "dream" ? "game" : "dream");
  else if (what === "both") setView(state.view === "both" ? "dream" : "both");
  else if (what === "context") $("context").click();
  else if (what === "pause") send({ type: "do", what: state.paused ? "resume" : "pause" });
  else if (what === "record") send({ type: "do", what: state.recording ? "stop" : "record" });
  else send({ type: "do", what });
}

function setView(view) {
  if (!state.hello?.has_game) return;
  state.view = view;
  sayShow();
}

function sayShow() {
  for (const button of $("views").children) button.setAttribute("aria-pressed", button.dataset.view === state.view);
  send({ type: "show", view: state.view, context: $("context").checked, same_chance: $("chance").checked });
}

function saySpeed() {
  $("speed-text").textContent = `${$("speed").value} %`;
  send({ type: "speed", factor: $("speed").value / 100 });
}

function begin(start) {
  state.start = start;
  const seed = $("seed").validity.valid ? Number($("seed").value) : 0; // what is no seed is no message either
  send({ type: "begin", seed, start });
  for (const button of $("starts").children) button.setAttribute("aria-pressed", button.dataset.start === start);
}

function setRecording(isRecording) {
  state.recording = isRecording;
  $("record").setAttribute("aria-pressed", isRecording);
  $("record").firstElementChild.textContent = isRecording ? "Stop" : "Record";
}

function offer({ frames, files }) {
  const words = { mp4: "video", gif: "GIF", txt: "action file" };
  const links = files.map(({ name, url }) => {
    const link = document.createElement("a");
    Object.assign(link, { href: url, download: name, textContent: words[name.split(".").at(-1)] });
    return link;
  });
  $("saved").replaceChildren(`${frames} frames:`, ...links);
  $("saved").hidden = false;
}

for (const id of ["pause", "step", "reset", "record"]) $(id).addEventListener("click", () => command(id));
for (const button of $("views").children) button.addEventListener("click", () => setView(button.dataset.view));
$("context").addEventListener("change", sayShow);
$("chance").addEventListener("change", sayShow);
$("speed").addEventListener("input", saySpeed);
$("seed-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("seed").blur();
  begin(null);
});

function listKeys(hello) {
  const rows = hello.actions.map((words, action) => {
    const keys = Object.keys(hello.keymap).filter((code) => hello.keymap[code] === action);
    return [keys.map(keyName), words];
  });
  if (hello.has_game) rows.push([["G"], "dream or true game"], [["B"], "side by side"]);
  rows.push([["C"], "what the model sees"]);
  $("keys").replaceChildren(
    ...rows.filter(([keys]) => keys.length).flatMap(([keys, words]) => {
      const names = document.createElement("dt"), text = document.createElement("dd");
      names.append(...keys.map((key) => Object.assign(document.createElement("kbd"), { textContent: key })));
      text.textContent = words;
      return [names, text];
    }),
  );
}

function listStarts(starts) {
  const isListed = starts.map(({ id }) => id).join() === [...$("starts").children].map((one) => one.dataset.start).join();
  if (isListed) return;
  $("starts").replaceChildren(
    ...starts.map(({ id, label }) => {
      const button = document.createElement("button"), image = document.createElement("img");
      Object.assign(image, { src: `starts/${encodeURIComponent(id)}.png`, alt: `held-out episode ${label}` });
      button.title = label;
      button.dataset.start = id;
      button.append(image);
      button.addEventListener("click", () => begin(id));
      return button;
    }),
  );
}

connect();
