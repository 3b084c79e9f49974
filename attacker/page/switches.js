// Bundle, codec and TLS of the running demo. The conductor decides; until it confirms, a wish is shown as a wish.

import { find, make, refill, show, text } from "./format.js";

const PATIENCE_MS = 30000;

export class Switches {
  constructor(look) {
    this.look = look; // bundle name -> css class of its series
    this.wish = null;
    this.error = "";
  }

  /** Takes the conductor's latest state: {reachable, bundle, codec, tls, bundles, codecs, tls_available}. */
  update(state) {
    show(find("switches"), true);
    this.state = state;
    if (this.wish && Object.entries(this.wish.fields).every(([name, value]) => state[name] === value)) this.wish = null;
    if (this.wish && performance.now() - this.wish.since > PATIENCE_MS) {
      this.wish = null;
      this.error = "The conductor has not done it yet; it may still.";
    }
    this.render();
  }

  render() {
    const state = this.state;
    const wished = this.wish ? this.wish.fields : {};
    const bundles = (state.bundles || []).map((entry) => (typeof entry === "string" ? entry : entry.name));
    this.segments("pick-bundle", "bundle", bundles.map((name) => [name, name, this.look(name)]), wished.bundle ?? state.bundle, "bundle" in wished);
    this.segments("pick-codec", "codec", (state.codecs || []).map((name) => [name, name]), wished.codec ?? state.codec, "codec" in wished);
    const channels = state.tls_available === false ? [[false, "plain"]] : [[false, "plain"], [true, "TLS"]];
    this.segments("pick-tls", "tls", channels, wished.tls ?? state.tls, "tls" in wished);
    const line = find("wish");
    line.classList.toggle("bad", Boolean(this.error) || state.reachable === false);
    text(line, this.error || (state.reachable === false ? state.error : this.wish ? "Asked the conductor; waiting until it has switched…" : state.detail || ""));
  }

  segments(id, field, choices, chosen, waiting) {
    const box = find(id);
    box.classList.toggle("waiting", waiting);
    refill(box, choices, () => choices.map(([value, name, css]) => {
      const input = make("input", { type: "radio", name: field, value: String(value) });
      input.addEventListener("change", () => this.ask({ [field]: value }));
      // Bundles may play in turn: choosing what happens to play now means to stay with it.
      input.addEventListener("click", () => { if (box.dataset.chosen === String(value)) this.ask({ [field]: value }); });
      return make("label", {}, input, make("span", {}, css ? make("i", { class: `swatch ${css}`, "aria-hidden": "true" }) : null, name));
    }));
    box.dataset.chosen = String(chosen);
    for (const input of box.querySelectorAll("input")) input.checked = input.value === String(chosen);
  }

  async ask(fields) {
    this.wish = { fields, since: performance.now() };
    this.error = "";
    this.render();
    try {
      const answer = await fetch("switch", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields) });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error || `the server answered ${answer.status}`);
    } catch (error) {
      this.wish = null;
      this.error = `Not switched: ${error.message}`;
      this.render();
    }
  }
}
