// The question which parameters map one size to another: its fields, its answers, and what a click on an answer does.

class Solver {
  // take: puts a problem into the form, and returns what is said against it.
  constructor(parent, take) {
    this.take = take;
    this.asked = "";
    const described = { spellcheck: "false", size: "16", "aria-describedby": "solve-hint" };
    this.text = element("input", { type: "text", id: "solve", ...described });
    this.transposed = element("input", { type: "checkbox", id: "solve-transposed" });
    this.reset = element("button", { type: "button", id: "solve-reset", text: "as in the form" });
    this.said = element("p", { id: "solve-said", role: "status" });
    // How many answers there are is told when it changes; the tables are there to be looked at.
    this.head = element("div", { role: "status" });
    this.lists = element("div");
    const hint = "Sizes of input and output, such as 7x7:14x14 or 7:14. A click on an answer puts it into the form.";
    const fields = element("form", { className: "controls", autocomplete: "off" });
    fields.append(
      element("label", { text: "from : to " }, this.text),
      element("label", {}, this.transposed, " transposed"),
      this.reset,
    );
    const answers = element("div", { id: "solutions" }, this.head, this.lists);
    parent.append(element("p", { id: "solve-hint", className: "hint", text: hint }), fields, this.said, answers);
    fields.addEventListener("submit", (event) => event.preventDefault());
    fields.addEventListener("input", () => {
      this.reset.hidden = false;
      this.answer();
    });
    this.reset.addEventListener("click", () => {
      this.ask(this.problem);
      this.text.focus();
    });
    this.reset.hidden = true;
  }

  // Ask for the sizes of another problem, unless a question of one's own stands there.
  follow(problem) {
    this.problem = problem;
    this.said.textContent = "";
    if (this.reset.hidden) this.ask(problem);
    else this.answer();
  }

  ask(problem) {
    const text = (sizes) => own(problem, sizes).join("x");
    this.text.value = `${text(problem.input_sizes)}:${text(outputSizes(problem))}`;
    this.transposed.checked = isTransposed(problem);
    this.reset.hidden = true;
    this.answer();
  }

  // Draw the answers, but not again where the question is the same: a button that was pressed keeps its place.
  answer() {
    const asked = `${this.text.value} ${this.transposed.checked}`;
    if (asked !== this.asked) {
      this.asked = asked;
      this.said.textContent = "";
      this.draw(parseSolve(this.text.value));
    }
    this.mark();
  }

  draw({ broken, input_sizes, output_sizes }) {
    this.text.setAttribute("aria-invalid", String(Boolean(broken)));
    this.rows = [];
    if (broken) {
      const text = `${broken.what}: found ${broken.found || "nothing"}; expected ${broken.expected}`;
      this.head.replaceChildren(element("p", { className: "message", text }));
      this.lists.replaceChildren();
      return;
    }
    this.solved = solve(input_sizes, output_sizes, this.transposed.checked);
    const words = solveWords(this.solved), paragraph = (text, className) => element("p", { text, className });
    const parts = [paragraph(words.tried, "hint")];
    const lists = words.lists.map((list) => {
      const title = list.title ? [element("h3", { text: list.title })] : [], more = list.more ? [paragraph(list.more, "")] : [];
      return element("div", { className: "list" }, ...title, this.table(words.heads, list), ...more);
    });
    parts.push(element("div", { className: "lists" }, ...lists));
    parts.push(...words.nearest.map((text) => paragraph(text, "")));
    if (words.lists.some((list) => list.more)) parts.push(this.command());
    this.head.replaceChildren(element("h3", { text: words.title }));
    this.lists.replaceChildren(...parts);
  }

  // What lists those that are left out.
  command() {
    const sizes = [this.solved.input_sizes, this.solved.output_sizes].map((size) => size.join("x")).join(":");
    const text = `trainloop explain-conv --solve ${sizes}${this.solved.transposed ? " --transpose" : ""} --json -`;
    return element("p", { className: "hint", text: "All of them: " }, element("code", { text }));
  }

  table(heads, list) {
    // A name of two words may be broken between them.
    const broken = (head) => head.split(/(?<=_)/).flatMap((part, i) => (i ? [element("wbr"), part] : [part]));
    const titles = heads.map((head) => element("th", { scope: "col" }, ...broken(head)));
    const head = element("tr", {}, element("td"), ...titles, element("td"));
    const body = list.rows.map((_, i) => this.row(heads, list, i));
    const table = element("table", { className: "solutions" }, element("thead", {}, head), element("tbody", {}, ...body));
    table.setAttribute("aria-label", list.title || "solutions, the simplest first");
    return element("div", { className: "scrolled" }, table);
  }

  row(heads, list, i) {
    const solution = list.solutions[i], numbers = heads.map((head, at) => `${head} ${list.rows[i][at]}`).join(", ");
    const button = element("button", { type: "button", text: "take it", "aria-label": `take ${numbers}` });
    const cells = list.rows[i].map((text, at) => element("td", { text, className: at === heads.length ? "note" : "" }));
    const row = element("tr", {}, element("td", {}, button), ...cells);
    row.addEventListener("click", () => this.use(solution, list.axis));
    this.rows.push({ row, solution, axis: list.axis });
    return row;
  }

  use(solution, axis) {
    const problem = solvedProblem(this.problem, this.solved, solution, axis), refused = this.take(problem);
    this.said.textContent = refused || `In the form now, and drawn above: ${problemText(problem)}`;
  }

  // Mark the answers that the form has.
  mark() {
    for (const { row, solution, axis } of this.rows) {
      const places = axis === null ? range(this.solved.input_sizes.length) : [axis];
      const here = places.every((at) => {
        const numbers = answerOf(this.problem, this.solved, at);
        return numbers && sameNumbers(numbers, solution);
      });
      if (here) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }
}
