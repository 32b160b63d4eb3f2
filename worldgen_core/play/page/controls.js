// Names of keys for people, and buttons for fingers made from the game's own actions.

const ARROWS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→" };
const WAYS = { up: "↑", down: "↓", left: "←", right: "→" };

export const keyName = (code) => ARROWS[code] ?? (code === "Escape" ? "Esc" : code.replace(/^Key|^Digit/, ""));

export function makeTouch(box, hello, press, release) {
  const pad = Object.assign(document.createElement("div"), { id: "pad" });
  const acts = Object.assign(document.createElement("div"), { id: "acts" });
  const played = new Set(Object.values(hello.keymap));
  hello.action_names.forEach((name, action) => {
    if (!played.has(action) || action === 0) return;
    const button = document.createElement("button");
    button.textContent = WAYS[name] ?? hello.actions[action].split(":")[0];
    button.setAttribute("aria-label", hello.actions[action]);
    button.dataset.action = action;
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      button.setPointerCapture(event.pointerId);
      button.classList.add("down");
      press(action);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      button.addEventListener(end, () => {
        button.classList.remove("down");
        release(action);
      });
    }
    if (name in WAYS) {
      button.dataset.way = name;
      pad.append(button);
    } else acts.append(button);
  });
  acts.classList.toggle("alone", !pad.children.length);
  box.replaceChildren(...(pad.children.length ? [pad, acts] : [acts]));
}
