// What the page says in sentences and tables: the size, the overlap, the cost, the program.

// --- the size ------------------------------------------------------------------------------------------------------------

// What is said about the axes: one text for both where they differ in nothing but the letter.
function perAxis(problem, text) {
  const texts = [0, 1].slice(2 - numAxes(problem)).map((axis) => ["HW"[axis], text(axis)]);
  const alike = texts.length > 1 && texts[0][1].replaceAll("H", "W") === texts[1][1];
  return (alike ? [["H and W", texts[0][1]]] : texts).filter(([, said]) => said);
}

function drawSize(model) {
  const { problem } = model, transposed = isTransposed(problem);
  const paragraph = (className, text) => element("p", { className, text });
  const sizes = perAxis(problem, (axis) => Object.values(sizeFormula(problem, axis)).join(" = "));
  const unread = perAxis(problem, (axis) => {
    const found = range(problem.input_sizes[axis]).filter((i) => !model.axes[axis].reach[i].length);
    return found.slice(0, 12).join(", ") + (found.length > 12 ? " …" : "");
  });
  const verb = transposed ? "go into no output" : "are never read";
  const shared = transposed ? perAxis(problem, (axis) => (problem.stride[axis] > 1 ? sharedText(problem, axis) : "")) : [];
  byId("size").replaceChildren(
    ...sizes.map(([letters, text]) => paragraph("numbers", `${letters} → ${text}`)),
    ...unread.map(([letters, list]) => paragraph("", `Along ${letters}, the input elements ${list} ${verb}.`)),
    ...shared.map(([letters, text]) => paragraph("", `Along ${letters}, ${text}`)),
  );
}

// Which sizes a convolution maps to this input's, and what output_padding says about it.
function sharedText(problem, axis) {
  const size = outputSize(problem, axis), more = problem.output_padding[axis], smallest = size - more;
  const shared = range(problem.stride[axis])
    .filter((i) => smallest + i > 0)
    .map((i) => `${i} → ${smallest + i}${i === more ? " (this one)" : ""}`);
  const kept = more ? ` The last ${more === 1 ? "one is" : `${more} are`} computed, not filled with zeros.` : "";
  return (
    `the convolution with these numbers maps several sizes to ${problem.input_sizes[axis]}; ` +
    `output_padding picks one: ${shared.join(", ")}.${kept}`
  );
}

// --- the overlap ---------------------------------------------------------------------------------------------------------

// take: puts a problem into the form.
function drawOverlapText(problem, take) {
  const lines = [];
  for (const [letters, why] of perAxis(problem, (axis) => overlapReason(problem, axis))) {
    lines.push(element("p", { text: `${letters}: ${why}` }));
  }
  const score = overlapScore(problem), rounded = Number(score.toFixed(3));
  const meaning = score === 0 ? "even" : score === 1 ? "some places are left out altogether" : "a checkerboard";
  lines.push(element("p", { text: `Score ${rounded}, far from the border: ${meaning} (1 − smallest / largest count).` }));
  const ways = waysOf(problem);
  if (ways.length) {
    lines.push(element("p", { text: "Nearest parameters without the pattern, with the same output size:" }));
    lines.push(element("ul", { id: "ways", className: "ways" }, ...ways.map((way) => wayItem(way, take))));
  }
  byId("overlap-text").replaceChildren(...lines);
}

function wayItem(way, take) {
  const button = element("button", { type: "button", text: "take it", "aria-label": `take ${way.text}` });
  button.addEventListener("click", () => {
    take(way.problem);
    byId("overlap-text").focus(); // the button is gone
  });
  return element("li", { className: "numbers" }, button, " ", element("span", { text: wayText(way) }));
}

// --- the cost ------------------------------------------------------------------------------------------------------------

function drawCost(model) {
  const rows = costFacts(model.problem, costOf(model)).map(([name, text]) =>
    element("tr", {}, element("th", { scope: "row", text: name }), element("td", { text })),
  );
  byId("cost").replaceChildren(...rows);
}

// --- the program ---------------------------------------------------------------------------------------------------------

function drawProgram(problem) {
  byId("program").textContent = programText(problem);
  byId("program").scrollTo(0, 0);
  const size = own(problem, problem.input_sizes).join("x");
  byId("program-command").textContent = `trainloop explain-conv --problem "${problemText(problem)}" --input ${size} --code`;
  byId("copied").textContent = "";
}

// Select the text and copy the selection: that needs no permission. Where even that is refused, the text stays selected.
function copyProgram() {
  getSelection().selectAllChildren(byId("program"));
  const copied = document.execCommand("copy");
  byId("copied").textContent = copied ? "copied" : "selected: Ctrl-C copies it";
}
byId("copy").addEventListener("click", copyProgram);
