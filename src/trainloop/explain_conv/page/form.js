// The form: from its fields to a problem, and back.

const MODULES = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"];
const MODES = ["zeros", "reflect", "replicate", "circular"];
const PAIRS = [
  ["kernel_size", "kernel"], ["stride", "stride"], ["padding", "padding"], ["dilation", "dilation"],
  ["output_padding", "output_padding"], ["input_sizes", "input size"],
];

class Form {
  // changed: called with a problem, or with null and the message about a field that is not a whole number.
  constructor(form, changed) {
    this.form = form;
    this.fields = {};
    this.select("module", "module", MODULES);
    for (const name of ["in_channels", "out_channels", "groups"]) this.number(name, name);
    for (const [name, label] of PAIRS) this.pair(name, label);
    this.select("padding_word", "padding as", [["", "numbers"], "same", "valid"]);
    this.select("padding_mode", "padding_mode", MODES);
    const bias = element("input", { type: "checkbox", id: "f-bias", name: "bias" });
    this.fields.bias = bias;
    form.append(element("label", {}, bias, " bias"));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      this.reveal();
      changed(...this.read());
    });
  }

  labelled(label, field) {
    this.form.append(element("label", { text: label }, element("br"), field));
  }

  select(name, label, options) {
    const made = options.map((option) => {
      const [value, text] = Array.isArray(option) ? option : [option, option];
      return element("option", { value, text });
    });
    this.fields[name] = element("select", { id: `f-${name}`, name }, ...made);
    this.labelled(label, this.fields[name]);
  }

  integer(id, label) {
    const field = element("input", { type: "number", id, name: id, step: "1", "aria-label": label, inputmode: "numeric" });
    this.fields[id.slice(2)] = field;
    return field;
  }

  number(name, label) {
    this.labelled(label, this.integer(`f-${name}`, label));
  }

  pair(name, label) {
    const fields = ["H", "W"].map((letter) => this.integer(`f-${name}-${letter}`, `${label} along ${letter}`));
    const set = element("fieldset", { id: `set-${name}` }, element("legend", { text: label }), fields[0], " ", fields[1]);
    this.form.append(set);
  }

  // Show the fields that the module has.
  reveal() {
    const module = this.fields.module.value, transposed = module.includes("Transpose"), flat = module.endsWith("1d");
    for (const [name] of PAIRS) this.fields[`${name}-H`].hidden = flat;
    this.form.querySelector("#set-output_padding").hidden = !transposed;
    for (const name of ["padding_word", "padding_mode"]) this.fields[name].parentElement.hidden = transposed;
    const word = transposed ? "" : this.fields.padding_word.value;
    for (const letter of "HW") this.fields[`padding-${letter}`].disabled = word !== "";
  }

  // [problem, ""], or [null, what is wrong].
  read() {
    const wrong = [];
    const whole = (name) => {
      const field = this.fields[name], text = field.value.trim(), fits = /^-?\d{1,6}$/.test(text);
      field.setAttribute("aria-invalid", String(!fits));
      if (!fits) {
        const expected = /^-?\d+$/.test(text) ? `at most ${commas(LARGEST)}` : "a whole number";
        wrong.push(`${field.getAttribute("aria-label")}: expected ${expected}`);
      }
      return Number(text);
    };
    const module = this.fields.module.value, transposed = module.includes("Transpose"), flat = module.endsWith("1d");
    const word = transposed ? "" : this.fields.padding_word.value;
    const pair = (name) => {
      if ((name === "padding" && word) || (name === "output_padding" && !transposed)) return [0, 0];
      return [flat ? NEUTRAL[name] : whole(`${name}-H`), whole(`${name}-W`)];
    };
    const problem = { module, bias: this.fields.bias.checked, padding_word: word };
    for (const name of COUNTS) problem[name] = whole(name);
    for (const [name] of PAIRS) problem[name] = pair(name);
    problem.padding_after = problem.padding;
    problem.padding_mode = transposed ? "zeros" : this.fields.padding_mode.value;
    if (wrong.length) return [null, wrong.join("; ")];
    return [withPaddingWord(problem), ""];
  }

  write(problem) {
    for (const name of ["module", ...COUNTS, "padding_word", "padding_mode"]) this.fields[name].value = problem[name];
    for (const [name] of PAIRS) ["H", "W"].forEach((letter, axis) => (this.fields[`${name}-${letter}`].value = problem[name][axis]));
    this.fields.bias.checked = problem.bias;
    for (const field of Object.values(this.fields)) field.setAttribute("aria-invalid", "false");
    this.reveal();
  }
}
