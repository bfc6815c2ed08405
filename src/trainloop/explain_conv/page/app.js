// The page: one state, one way to draw it, and the events that change it.

const FACTS = JSON.parse(byId("facts").textContent);
const STEP_MS = 700;

const state = {
  model: makeModel(FACTS.problem),
  // The cell that stays; what the pointer is over takes its place for as long as it is there.
  focus: { plane: "output", channel: FACTS.output[0], row: FACTS.output[1], column: FACTS.output[2] },
  over: null,
  pinned: false,
  shown: { input: 0, output: 0, pairs: 1 },
  timer: null,
};

const handlers = (plane) => ({
  over: (row, column) => {
    if (!state.pinned && !state.timer) point(plane, row, column);
  },
  leave: () => {
    if (state.over) { state.over = null; draw(plane); }
  },
  pick: (row, column) => {
    pause();
    const same = state.pinned && state.focus.plane === plane && state.focus.row === row && state.focus.column === column;
    choose({ plane, channel: state.shown[plane], row, column }, plane);
    pin(!same);
  },
});

const grids = {
  input: new Grid(byId("planes"), "input", handlers("input")),
  weight: new Grid(byId("planes"), "weight"),
  output: new Grid(byId("planes"), "output", handlers("output")),
  overlap: new Grid(byId("overlap"), "overlap-grid"),
};
let views = {};

function point(plane, row, column) {
  state.over = { plane, channel: state.shown[plane], row, column };
  draw(plane);
}

function choose(focus, held = null) {
  state.focus = focus;
  state.over = null;
  draw(held);
}

function pin(pinned) {
  state.pinned = pinned;
  byId("pin").hidden = !pinned;
}

// --- drawing -------------------------------------------------------------------------------------------------------------

// The shown channels are the chosen cell's own, and on the other side one that is connected with it.
function chooseChannels(focus) {
  const { problem } = state.model, { shown } = state;
  shown[focus.plane] = focus.channel;
  const fromOutput = focus.plane === "output", other = fromOutput ? "input" : "output";
  const connected = (fromOutput ? channelsOfOutput : channelsOfInput)(problem, focus.channel);
  if (!connected.includes(shown[other])) shown[other] = connected[0];
  shown.pairs = problem.in_channels * problem.out_channels;
  byId("in-channel").value = shown.input;
  byId("out-channel").value = shown.output;
}

// held: the plane that the pointer is on, whose window stays where it is.
function draw(held = null) {
  const { model, shown } = state, focus = state.over ?? state.focus;
  chooseChannels(focus);
  const related = relations(model, focus, shown);
  drawPlanes(grids, model, focus, shown, related, held);
  const text = formulaText(model, focus);
  byId("formula").textContent = text;
  if (!state.over) byId("live").textContent = text;
  const rule = focus.plane === "output" ? ruleLines(model, focus.channel, [focus.row, focus.column]) : [];
  byId("rule").replaceChildren(...rule.map((line, i) => element("p", { className: i ? "numbers" : "hint", text: line })));
  byId("where").textContent = placeName(model.problem, focus.plane, focus.channel, focus.row, focus.column);
  const index = (focus.channel * model.output[0] + focus.row) * model.output[1] + focus.column;
  if (focus.plane === "output") byId("slider").value = index;
  byId("slider").setAttribute("aria-valuetext", byId("where").textContent);
  if (views.scatter) drawScatter(views.scatter, model, focus, shown);
  drawSpread(views.spread, model, focus, shown);
  if (views.turned) drawTurned(views.turned, model, shown, related);
  drawMatrix(views.matrix, model, focus, shown, related);
  drawMatrixMap(views.map, model, focus);
  drawOverlap(grids.overlap, model, focus, related);
  drawEqual(focus);
}

// The cell by every view, each in its own way.
function drawEqual(focus) {
  const { model } = state, { problem } = model;
  if (focus.plane !== "output") return (byId("equal").textContent = "");
  const { channel, row, column } = focus, bias = biasValue(problem, channel);
  const values = Object.entries(viewsOf(problem)).map(([name, view]) => [name, view(model, channel, row, column)]);
  const same = values.every(([, value]) => value + bias === cellValue(model, channel, row, column));
  const added = problem.bias ? `, and the bias adds ${bias}` : "";
  const listed = values.map(([name, value]) => `${name.replace("_", " ")} ${value}`).join(", ");
  const verdict = same ? "all the same" : "NOT the same";
  return (byId("equal").textContent = `${placeName(problem, "output", channel, row, column)}: ${listed}: ${verdict}${added}`);
}

// What depends on the problem alone.
function drawProblem() {
  const { model } = state, { problem } = model;
  byId("module").textContent = problemText(problem);
  const cube = (channels, sizes) => `${channels > 1 ? `${channels}×` : ""}${sizeText(problem, sizes)}`;
  byId("shape").textContent = `${cube(problem.in_channels, problem.input_sizes)} → ${cube(problem.out_channels, model.output)}`;
  document.title = `${problemText(problem)}, explained`;
  byId("slider").max = problem.out_channels * product(model.output) - 1;
  for (const [name, count] of [["in", problem.in_channels], ["out", problem.out_channels]]) {
    byId(`${name}-channel`).max = count - 1;
    byId(`${name}-label`).hidden = count === 1;
  }
  drawSize(model);
  makeViews();
  drawOverlapText(problem, take);
  drawCost(model);
  drawProgram(problem);
  solver.follow(problem);
}

const VIEW_TEXTS = {
  scatter:
    "Scatter: every input element stamps the kernel, times itself; where stamps overlap they add up. Padding then cuts off " +
    "the border, and output_padding keeps more at the end.",
  zero_insert:
    "Insert zeros: spread the input, put zeros between and around, and convolve it with stride 1 and the kernel turned by " +
    "half a turn.",
  transposed:
    "Matrix: M is the matrix of the convolution that leads back. This output is Mᵀ times the input: it is the matrix that is " +
    "transposed, hence the name. Nothing is inverted.",
  gather: "Gather: each output is the sum under its window on the padded input.",
  matrix: "Matrix: the output is M times the input; a row holds the kernel at one place of the window.",
};

function makeViews() {
  const transposed = isTransposed(state.model.problem), parts = [];
  const part = (name) => {
    const planes = element("div", { className: "planes" });
    const [title, text] = VIEW_TEXTS[name].split(/: (.*)/s);
    const hint = element("p", { className: "hint", text: text[0].toUpperCase() + text.slice(1) });
    parts.push(element("div", { className: "view" }, element("h3", { text: title }), hint, planes));
    return planes;
  };
  views = {};
  if (transposed) views.scatter = new Grid(part("scatter"), "scatter");
  const spread = part(transposed ? "zero_insert" : "gather");
  views.spread = new Grid(spread, transposed ? "spread" : "padded");
  if (transposed) views.turned = new Grid(spread, "turned");
  const matrix = part(transposed ? "transposed" : "matrix");
  views.matrix = new Grid(matrix, "matrix");
  views.map = element("canvas", { id: "map", role: "img" });
  matrix.append(views.map);
  byId("views").replaceChildren(...parts);
}

// --- a problem from the form ---------------------------------------------------------------------------------------------

function changed(problem, message) {
  if (!problem) return refuse(message);
  const word = brokenWord(problem), single = { ...problem, stride: [1, 1] };
  if (word) return refuse(word, brokenRule(single) ? nearestProblem(single) : single);
  const broken = brokenRule(problem);
  if (broken) return refuse(broken, nearestProblem(problem));
  const large = tooLarge(problem);
  if (large) return refuse(`${large}; smaller numbers show the same`, nearestSmaller(problem));
  return accept(problem);
}

function accept(problem) {
  pause();
  pin(false);
  byId("refused").hidden = true;
  state.model = makeModel(problem);
  const [rows, columns] = state.model.output;
  drawProblem();
  choose({ plane: "output", channel: 0, row: Math.floor(rows / 2), column: Math.floor(columns / 2) });
  byId("checked").textContent = "computed in this page";
}

// Put a problem into the form, as if it were typed; returns what is said against it, or nothing.
function take(problem) {
  form.write(problem);
  changed(...form.read());
  return byId("refused").hidden ? "" : byId("refused").firstChild.textContent;
}

// What does not fit together, by the rule with the numbers; the pictures stay as they were.
function refuse(message, near = null) {
  pause();
  const box = byId("refused");
  box.replaceChildren(element("p", { text: message }));
  if (near) {
    const button = element("button", { type: "button", id: "nearest", text: "take it" });
    const use = withPaddingWord(near);
    button.addEventListener("click", () => {
      take(use);
      form.fields.module.focus(); // the button is gone
    });
    box.append(element("p", { text: `Nearest: ${problemText(near)} of ${sizeText(near, near.input_sizes)} ` }, button));
  }
  box.hidden = false;
}

// --- stepping ------------------------------------------------------------------------------------------------------------

function stepTo(index) {
  const [rows, columns] = state.model.output, plane = rows * columns;
  const count = state.model.problem.out_channels * plane, at = modulo(index, count);
  choose({ plane: "output", channel: Math.floor(at / plane), row: Math.floor((at % plane) / columns), column: at % columns });
}

const step = (by) => stepTo(Number(byId("slider").value) + by);

function pause() {
  clearInterval(state.timer);
  state.timer = null;
  byId("play").textContent = "play";
  byId("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (state.timer) return pause();
  pin(false);
  state.timer = setInterval(() => step(1), STEP_MS);
  byId("play").textContent = "pause";
  return byId("play").setAttribute("aria-pressed", "true");
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function move([down, across]) {
  pause();
  const plane = ["input", "output"].find((name) => document.activeElement === grids[name].body) ?? state.focus.plane;
  const { problem, output } = state.model, size = plane === "input" ? problem.input_sizes : output;
  // On the other plane than the chosen cell's, the keys begin in its middle.
  const middle = { plane, channel: state.shown[plane], row: size[0] >> 1, column: size[1] >> 1 };
  const shown = state.over ?? state.focus, from = shown.plane === plane ? shown : middle;
  const held = (at, count) => Math.max(0, Math.min(count - 1, at));
  choose({ ...from, row: held(from.row + down, size[0]), column: held(from.column + across, size[1]) });
}

document.addEventListener("keydown", (event) => {
  const { target } = event, button = target.closest("button");
  const typing = target.closest("input, select") && (target.type !== "range" || event.key in ARROWS);
  if (event.key === "Escape") { pause(); pin(false); choose(state.focus); return; }
  // A text that scrolls keeps its keys.
  if (typing || target.closest("#program") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in ARROWS) move(ARROWS[event.key]);
  else if (event.key === " " && !button) play();
  else if (event.key === "Enter" && !button) { pause(); choose(state.over ?? state.focus); pin(true); }
  else return;
  event.preventDefault();
});

byId("slider").addEventListener("input", () => { pause(); pin(false); stepTo(Number(byId("slider").value)); });
byId("play").addEventListener("click", play);
byId("next").addEventListener("click", () => { pause(); step(1); });
byId("previous").addEventListener("click", () => { pause(); step(-1); });
for (const [name, plane] of [["in-channel", "input"], ["out-channel", "output"]]) {
  byId(name).addEventListener("input", ({ target }) => {
    if (target.value !== "" && target.checkValidity()) chooseChannel(plane, Number(target.value));
  });
  // What is no channel gives way to the one that is shown.
  byId(name).addEventListener("change", ({ target }) => (target.value = state.shown[plane]));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

// Another channel: of the chosen cell's own plane, or of the other as far as the two are connected.
function chooseChannel(plane, channel) {
  const { problem } = state.model, { focus } = state;
  pause();
  if (focus.plane === plane) return choose({ ...focus, channel });
  const connected = plane === "input" ? channelsOfOutput(problem, focus.channel) : channelsOfInput(problem, focus.channel);
  if (connected.includes(channel)) { state.shown[plane] = channel; return draw(); }
  const [rows, columns] = plane === "input" ? problem.input_sizes : state.model.output;
  return choose({ plane, channel, row: rows >> 1, column: columns >> 1 });
}

// --- the first problem: the same numbers as those that were checked against torch? ---------------------------------------

const SLICE_MS = 8;

function compareWithPython(model, index = 0, total = 0) {
  if (state.model !== model) return;
  const [rows, columns] = model.output, plane = rows * columns, until = performance.now() + SLICE_MS;
  while (index < FACTS.numbers && performance.now() < until) {
    const value = cellValue(model, Math.floor(index / plane), Math.floor((index % plane) / columns), index % columns);
    total += value * ((index % 997) + 1);
    index += 1;
  }
  if (index < FACTS.numbers) {
    byId("checked").textContent = `comparing this page's numbers: ${commas(index)} of ${commas(FACTS.numbers)}`;
    setTimeout(compareWithPython, 0, model, index, total);
    return;
  }
  const same = total === FACTS.weighted_sum && FACTS.same;
  const torch = `the command's, which were compared with torch ${FACTS.torch_version}`;
  byId("checked").textContent = same
    ? `all ${commas(index)} outputs of this page are ${torch}: same`
    : `the outputs of this page are NOT ${torch}`;
}

const form = new Form(byId("form"), changed);
const solver = new Solver(byId("solver"), take);
form.write(FACTS.problem);
state.shown.input = FACTS.input[0];
drawProblem();
draw();
compareWithPython(state.model);
