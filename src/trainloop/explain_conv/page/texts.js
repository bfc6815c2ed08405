// What the page says in sentences and tables: the size, the overlap, the cost, the program.

// --- the size ------------------------------------------------------------------------------------------------------------

function drawSize(model) {
  const { problem } = model, lines = [element("p", { className: "hint", text: symbolsText(problem) })];
  for (const [names, axis] of distinctAxes(problem)) {
    const { symbols, numbers } = sizeFormula(problem, axis);
    lines.push(element("p", { className: "numbers", text: `${names} → ${symbols} = ${numbers}` }));
    for (const note of sizeNotes(model, axis, names)) lines.push(element("p", { text: note }));
  }
  byId("size").replaceChildren(...lines);
}

// --- the overlap ---------------------------------------------------------------------------------------------------------

// take: puts a problem into the form.
function drawOverlapText(problem, take) {
  const lines = overlapTexts(problem).map((text) => element("p", { text }));
  lines.push(element("p", { text: `score ${overlapScore(problem).toFixed(2)}: ${scoreText(problem)}` }));
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
