// A plane of numbers as a grid of cells, of which at most a window around the chosen cell is drawn.

const MOST_ROWS = 14, MOST_COLUMNS = 16;

const byId = (name) => document.getElementById(name);

function element(name, { text, className, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

class Grid {
  // parent: where it goes; name: its id; handlers: {over, leave, pick} with (row, column), or nothing.
  constructor(parent, name, handlers = null) {
    this.name = name;
    this.caption = element("figcaption");
    this.body = element("div", { className: "grid", id: name, role: "grid", "aria-readonly": "true" });
    this.figure = element("figure", {}, this.caption, this.body);
    parent.append(this.figure);
    this.window = [0, 0];
    this.shape = "";
    if (handlers) this.listen(handlers);
  }

  listen({ over, leave, pick }) {
    this.body.classList.add("pointed");
    this.body.tabIndex = 0;
    const placed = (event, act) => {
      const cell = event.target.closest(".cell");
      if (cell) act(Number(cell.dataset.row), Number(cell.dataset.column));
    };
    // A pointer that rests while the numbers change under it points at nothing new: the keys may move on.
    let place = "";
    this.body.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      placed(event, (row, column) => {
        if (place !== (place = `${row},${column}`)) over(row, column);
      });
    });
    this.body.addEventListener("pointerleave", () => {
      place = "";
      leave();
    });
    this.body.addEventListener("click", (event) => placed(event, pick));
  }

  // plane: {caption, size: [rows, columns], near: [row, column] to be seen, hold: keep the window, text(r, c), mark(r, c),
  // label(i, axis), limits: the most rows and columns to draw}
  show({ caption, size, near, hold = false, text, mark, label = (i) => i, limits = [MOST_ROWS, MOST_COLUMNS] }) {
    const shown = size.map((count, axis) => Math.max(0, Math.min(count, limits[axis])));
    this.window = shown.map((count, axis) => this.moved(axis, size[axis], count, near[axis], hold));
    this.build(shown);
    const [top, left] = this.window, cut = shown[0] < size[0] || shown[1] < size[1];
    const [rows, columns] = [0, 1].map((axis) => [0, shown[axis] - 1].map((i) => label(this.window[axis] + i, axis)));
    const part = cut ? `, rows ${rows.join(" to ")} and columns ${columns.join(" to ")}` : "";
    this.caption.textContent = caption + part;
    this.body.setAttribute("aria-label", caption + part);
    this.body.setAttribute("aria-rowcount", size[0]);
    this.body.setAttribute("aria-colcount", size[1]);
    this.heads.forEach((head, j) => (head.textContent = label(left + j, 1)));
    this.sides.forEach((side, i) => (side.textContent = label(top + i, 0)));
    let active = "";
    this.cells.forEach((row, i) =>
      row.forEach((cell, j) => {
        const r = top + i, c = left + j, marks = mark(r, c);
        cell.textContent = text(r, c);
        cell.className = `cell ${marks}`;
        cell.dataset.row = r;
        cell.dataset.column = c;
        cell.setAttribute("aria-selected", marks.includes("chosen"));
        if (marks.includes("chosen")) active = cell.id;
      }),
    );
    if (active) this.body.setAttribute("aria-activedescendant", active);
    else this.body.removeAttribute("aria-activedescendant");
    if (!hold) this.reveal();
  }

  // Scroll a grid that is wider than its place to what is marked on it.
  reveal() {
    const width = this.body.clientWidth;
    if (this.body.scrollWidth <= width) return;
    const marked = this.body.querySelectorAll(".chosen, .related"), cell = marked[marked.length >> 1];
    if (cell) this.body.scrollLeft += cell.getBoundingClientRect().left - this.body.getBoundingClientRect().left - width / 2;
  }

  // Where the window begins along an axis: where it was, unless what is to be seen lies outside.
  moved(axis, size, count, near, hold) {
    const last = size - count, before = Math.min(this.window[axis] ?? 0, last);
    if (hold || (near >= before + (last ? 1 : 0) && near < before + count - (last ? 1 : 0))) return before;
    return Math.max(0, Math.min(last, near - Math.floor(count / 2)));
  }

  build(shown) {
    if (this.shape === `${shown}`) return;
    this.shape = `${shown}`;
    const [rows, columns] = shown;
    this.heads = range(columns).map(() => element("span", { className: "label", role: "columnheader" }));
    this.sides = range(rows).map(() => element("span", { className: "label", role: "rowheader" }));
    this.cells = range(rows).map((i) =>
      range(columns).map((j) => element("span", { className: "cell", role: "gridcell", id: `${this.name}-${i}-${j}` })),
    );
    const corner = element("span", { className: "label", role: "columnheader", "aria-label": "row" });
    const lines = this.cells.map((cells, i) => element("div", { role: "row" }, this.sides[i], ...cells));
    this.body.style.gridTemplateColumns = `repeat(${columns + 1}, max-content)`;
    this.body.replaceChildren(element("div", { role: "row" }, corner, ...this.heads), ...lines);
  }
}
