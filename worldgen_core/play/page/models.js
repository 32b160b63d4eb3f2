// What dreams, and the lists from which another model, device, backend or number of sampler steps is chosen.

const $ = (id) => document.getElementById(id);

export class Models {
  #choices = null;
  #about = null;
  #wanted = null;
  #timer = 0;
  #send;

  constructor(send) { this.#send = send; }

  // After the connection was lost, what was chosen is chosen again.
  greet(choices) {
    this.#choices = choices;
    this.#about = null;
    this.#say("");
  }

  show(about) {
    const isFirst = this.#about === null;
    this.#about = about;
    const millions = (about.parameters / 1e6).toFixed(1);
    $("model").textContent = `dreamt by ${about.name}, ${millions}M parameters, on ${about.device} by ${about.backend}`;
    $("parameters").textContent = `${millions} M`;
    const cores = `${about.threads} ${about.threads === 1 ? "thread" : "threads"}`;
    $("runs-on").textContent = about.device === "cpu" ? `${about.device}, ${cores}` : about.device;
    $("sees").textContent = `${about.context} ${about.context === 1 ? "frame" : "frames"}`;
    $("loaded-in").textContent = `${about.load_s.toFixed(1)} s`;
    this.#say("");
    this.#list();
    if (isFirst && this.#wanted) this.#ask(this.#wanted);
    else this.#wanted = isFirst ? null : this.#current();
  }

  loading(name) {
    this.#say(`loading ${name} … `);
    // Seconds are to be seen, and not to be read out twice a second.
    const seconds = $("switching").appendChild(document.createElement("span"));
    seconds.ariaHidden = "true";
    const began = performance.now();
    const tell = () => { seconds.textContent = `${((performance.now() - began) / 1000).toFixed(0)} s`; };
    tell();
    this.#timer = setInterval(tell, 500);
  }

  // Nothing loads any more for a page that has lost its place.
  lost() { this.#say(""); }

  refused(text) {
    this.#wanted = this.#current();
    this.#say(text, true);
    this.#list();
  }

  forget() { this.#wanted = null; }

  #say(text, isError = false) {
    clearInterval(this.#timer);
    $("switching").textContent = text;
    $("switching").classList.toggle("wrong", isError);
  }

  #current() {
    const { id, asked_device: device, asked_backend: backend, num_steps } = this.#about;
    return { model: id, device, backend, num_steps };
  }

  #ask(choice) {
    this.#wanted = choice;
    this.#send({ type: "switch", ...choice });
  }

  #list() {
    const { models, devices, backends, max_steps: most } = this.#choices, now = this.#current();
    const lines = [
      line("model", models.map((model) => [model.id, describe(model)]), now.model, (model) =>
        this.#ask({ ...now, model, num_steps: {} })),
      line("device", devices.map((name) => [name, name]), now.device, (device) => this.#ask({ ...now, device })),
      line("backend", backends.map((name) => [name, name]), now.backend, (backend) => this.#ask({ ...now, backend })),
      ...Object.entries(now.num_steps).map(([part, steps]) =>
        line(`${part} steps`, Array.from({ length: most }, (_, i) => [i + 1, String(i + 1)]), steps, (number) =>
          this.#ask({ ...now, num_steps: { ...now.num_steps, [part]: Number(number) } }))),
    ];
    $("choices").replaceChildren(...lines);
  }
}

function describe({ name, standing, built_at: builtAt, frames_per_s: rate }) {
  const when = builtAt && new Date(builtAt).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return [name, standing, when, rate && `${rate.toFixed(0)} frames/s`].filter(Boolean).join(" · ");
}

// A list of one is shown as words.
function line(words, options, value, onChange) {
  const label = Object.assign(document.createElement("label"), { className: `line of-${words.replace(" ", "-")}` });
  const name = Object.assign(document.createElement("span"), { textContent: words });
  if (options.length < 2) {
    const only = Object.assign(document.createElement("span"), { className: "only", textContent: options[0][1] });
    label.append(name, only);
    return label;
  }
  const list = Object.assign(document.createElement("select"), { name: words });
  list.append(...options.map(([id, text]) => new Option(text, id, false, String(id) === String(value))));
  list.addEventListener("change", () => {
    list.blur();
    onChange(list.value);
  });
  label.append(name, list);
  return label;
}
