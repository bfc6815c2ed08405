// What each picture shows of the chosen cell. Everything is drawn from one `focus`:
//   {plane: "output" | "input", channel, row, column}, with the channels (input, output) that the planes show.

const key = (row, column) => row * 100_000 + column;
const middleOf = (places, fallback) => (places.length ? places[Math.floor(places.length / 2)] : fallback);

// output[5,5], with channels output[1,5,5], in a row output[5].
function placeName(problem, plane, channel, row, column) {
  const channels = plane === "output" ? problem.out_channels : problem.in_channels;
  const place = numAxes(problem) === 1 ? [column] : [row, column];
  return `${plane}[${[...(channels > 1 ? [channel] : []), ...place]}]`;
}

// weight[1,0], by torch's own index, where there are several.
function weightName(problem, input, output) {
  const [first, second] = weightShape(problem), transposed = isTransposed(problem);
  if (first === 1 && second === 1) return "weight";
  return transposed ? `weight[${input},${output % second}]` : `weight[${output},${input % second}]`;
}

// Sums that were computed already: drawing asks for the same ones again and again.
function remembered(model, name, compute, ...place) {
  model.sums ??= new Map();
  const at = `${name} ${place}`;
  if (!model.sums.has(at)) model.sums.set(at, compute());
  return model.sums.get(at);
}

// The places that belong to the chosen cell on the planes that are shown.
function relations(model, focus, shown) {
  const here = [focus.row, focus.column];
  if (focus.plane === "output") {
    const terms = cellTerms(model, focus.channel, ...here).filter((term) => term.channel === shown.input);
    const read = terms.filter((term) => term.source);
    return { terms, inputs: read.map((term) => term.source), taps: read.map((term) => term.tap), outputs: [here] };
  }
  const effects = pixelEffects(model, focus.channel, ...here).filter((effect) => effect.channel === shown.output);
  return { terms: [], inputs: [here], taps: effects.map((e) => e.tap), outputs: effects.map((e) => e.place) };
}

const marker = (places, className) => {
  const keys = new Set(places.map(([row, column]) => key(row, column)));
  return (row, column) => (keys.has(key(row, column)) ? className : "");
};

const channelText = (problem, plane, channel) =>
  (plane === "output" ? problem.out_channels : problem.in_channels) > 1 ? `, channel ${channel}` : "";

// Input, weight and output of the pair of channels that is shown.
function drawPlanes(grids, model, focus, shown, related, held) {
  const { problem } = model, fromOutput = focus.plane === "output", here = [focus.row, focus.column];
  const markInput = marker(related.inputs, fromOutput ? "related" : "chosen");
  grids.input.show({
    caption: `input ${sizeText(problem, problem.input_sizes)}${channelText(problem, "input", shown.input)}`,
    size: problem.input_sizes,
    near: fromOutput ? middleOf(related.inputs, [0, 0]) : here,
    hold: held === "input",
    text: (r, c) => inputValue(problem, shown.input, r, c),
    mark: markInput,
  });
  grids.weight.show({
    caption: `${weightName(problem, shown.input, shown.output)} ${sizeText(problem, problem.kernel_size)}`,
    size: problem.kernel_size,
    near: middleOf(related.taps, [0, 0]),
    text: (r, c) => weightValue(problem, shown.input, shown.output, r, c),
    mark: marker(related.taps, "related"),
  });
  grids.output.show({
    caption: `output ${sizeText(problem, model.output)}${channelText(problem, "output", shown.output)}`,
    size: model.output,
    near: fromOutput ? here : middleOf(related.outputs, [0, 0]),
    hold: held === "output",
    text: (r, c) => remembered(model, "output", () => cellValue(model, shown.output, r, c), shown.output, r, c),
    mark: marker(related.outputs, fromOutput ? "chosen" : "related"),
  });
}

// The sum with its numbers, at most so many products of it.
const MOST_PRODUCTS_SHOWN = 60;

function formulaText(model, focus) {
  const { problem } = model, { plane, channel, row, column } = focus;
  const name = placeName(problem, plane, channel, row, column);
  if (plane === "output") {
    const terms = cellTerms(model, channel, row, column), read = terms.filter((term) => term.source);
    const products = read.slice(0, MOST_PRODUCTS_SHOWN).map((term) => `${term.value}·${term.weight}`);
    if (read.length > products.length) products.push(`… (${read.length - products.length} more products)`);
    const bias = problem.bias ? [`${biasValue(problem, channel)} (bias)`] : [];
    const sums = [...products, ...bias].join(" + ") || "0";
    return `${name} = ${sums} = ${cellValue(model, channel, row, column)} (${tapsText(terms)})`;
  }
  const effects = pixelEffects(model, channel, row, column), value = inputValue(problem, channel, row, column);
  const goes = effects.slice(0, MOST_PRODUCTS_SHOWN).map((effect) => {
    const target = placeName(problem, "output", effect.channel, ...effect.place);
    return `${target} + ${value}·${effect.weight}`;
  });
  if (effects.length > goes.length) goes.push(`… (${effects.length - goes.length} more)`);
  const count = effects.length === 1 ? "1 output" : `${effects.length} outputs`;
  return effects.length ? `${name} = ${value} goes into ${count}: ${goes.join(", ")}` : `${name} = ${value} goes into no output`;
}

// --- the views -----------------------------------------------------------------------------------------------------------

// Where the taps of a stamp or window lie that belongs to a cell, and whose neighbours lie `step` apart.
const placesOf = (problem, cell, step) =>
  range(problem.kernel_size[0]).flatMap((k) =>
    range(problem.kernel_size[1]).map((l) => [k, l].map((tap, i) => cell[i] * step[i] + tap * problem.dilation[i])),
  );

// All stamps added up; what padding cuts off is marked, and so is the stamp of a chosen input.
function drawScatter(grid, model, focus, shown) {
  const { problem } = model, pads = problem.padding, size = [uncroppedSize(problem, 0), uncroppedSize(problem, 1)];
  const here = [focus.row, focus.column], fromOutput = focus.plane === "output";
  const stamp = fromOutput ? [] : placesOf(problem, here, problem.stride);
  const chosen = fromOutput ? [here.map((at, i) => at + pads[i])] : [];
  const marks = marker(stamp, "related"), picks = marker(chosen, "chosen");
  const inside = (at, axis) => at >= pads[axis] && at < pads[axis] + model.output[axis];
  grid.show({
    caption: "all stamps added up",
    size,
    near: fromOutput ? chosen[0] : middleOf(stamp, [0, 0]),
    label: (i, axis) => i - pads[axis],
    text: (r, c) => remembered(model, "scatter", () => uncroppedValue(problem, shown.output, r, c), shown.output, r, c),
    mark: (r, c) => picks(r, c) || marks(r, c) || (inside(r, 0) && inside(c, 1) ? "" : "border"),
  });
}

// The input with a zero wherever there is none, and the window of the chosen output on it.
function drawSpread(grid, model, focus, shown) {
  const { problem } = model, transposed = isTransposed(problem), here = [focus.row, focus.column];
  // How far apart the windows lie, and how far apart the elements.
  const [step, spacing] = transposed ? [[1, 1], problem.stride] : [problem.stride, [1, 1]];
  const [before, sizeOf, source, value] = transposed
    ? [spreadBefore, spreadSize, spreadSource, spreadValue]
    : [(_, axis) => problem.padding[axis], paddedSize, paddedSource, paddedValue];
  const origin = [0, 1].map((axis) => before(problem, axis)), size = [0, 1].map((axis) => sizeOf(problem, axis));
  const fromOutput = focus.plane === "output", window = fromOutput ? placesOf(problem, here, step) : [];
  const own = fromOutput ? null : here.map((at, i) => at * spacing[i] + origin[i]);
  const marks = marker(window, "related"), picks = marker(own ? [own] : [], "chosen");
  const zero = (r, c) => source(problem, 0, r) === null || source(problem, 1, c) === null;
  const last = (axis) => origin[axis] + (problem.input_sizes[axis] - 1) * spacing[axis];
  const outside = (i, axis) => i < origin[axis] || i > last(axis);
  grid.show({
    caption: transposed ? "spread input" : "padded input",
    size,
    near: own ?? middleOf(window, [0, 0]),
    label: (i, axis) => i - origin[axis],
    text: (r, c) => (zero(r, c) ? "·" : value(problem, shown.input, r, c)),
    mark: (r, c) => picks(r, c) || marks(r, c) || (outside(r, 0) || outside(c, 1) ? "border" : zero(r, c) ? "zero" : ""),
  });
}

function drawTurned(grid, model, shown, related) {
  const { problem } = model, last = problem.kernel_size.map((kernel) => kernel - 1);
  const turned = related.taps.map((tap) => tap.map((t, i) => last[i] - t));
  grid.show({
    caption: "turned weight",
    size: problem.kernel_size,
    near: middleOf(turned, [0, 0]),
    text: (r, c) => turnedWeight(problem, shown.input, shown.output, r, c),
    mark: marker(turned, "related"),
  });
}

// The matrix of the convolution, between the two planes that are shown. Rows are the small side's elements.
function drawMatrix(grid, model, focus, shown, related) {
  const { problem } = model, transposed = isTransposed(problem), width = problem.input_sizes[1], columns = model.output[1];
  const sizes = { input: product(problem.input_sizes), output: product(model.output) };
  const flat = { input: ([h, w]) => h * width + w, output: ([p, q]) => p * columns + q };
  const split = { input: (i) => [Math.floor(i / width), i % width], output: (i) => [Math.floor(i / columns), i % columns] };
  const [down, across] = transposed ? ["input", "output"] : ["output", "input"];
  const near = { input: flat.input(middleOf(related.inputs, [0, 0])), output: flat.output(middleOf(related.outputs, [0, 0])) };
  const entry = (r, c) => {
    const place = { [down]: split[down](r), [across]: split[across](c) };
    return matrixEntry(model, shown.input, place.input, shown.output, place.output);
  };
  const isFocus = (r, c) => (focus.plane === down ? r : c) === flat[focus.plane]([focus.row, focus.column]);
  const blocks = { input: width, output: columns }, name = shown.pairs > 1 ? "M of these two channels" : "M";
  grid.show({
    caption: `${name}, ${sizes[down]}×${sizes[across]}: a row for each ${down}, a column for each ${across}`,
    size: [sizes[down], sizes[across]],
    near: [near[down], near[across]],
    limits: [MOST_ROWS, 24],
    label: (i, axis) => split[axis ? across : down](i).slice(2 - numAxes(problem)).join(","),
    text: (r, c) => entry(r, c) || "·",
    mark: (r, c) =>
      [
        entry(r, c) ? (isFocus(r, c) ? "related" : "") : "zero",
        (c + 1) % blocks[across] === 0 && numAxes(problem) > 1 ? "band" : "",
        (r + 1) % blocks[down] === 0 && numAxes(problem) > 1 ? "under" : "",
      ].join(" "),
  });
}

// The whole matrix as a picture, a dot for each number in it; very large ones are left to the window of numbers.
const MOST_DOTS = 60_000, LONGEST_SIDE = 1200;

function drawMatrixMap(canvas, model, focus) {
  const { problem, axes } = model, transposed = isTransposed(problem);
  const inputs = product(problem.input_sizes), outputs = product(model.output);
  const width = problem.input_sizes[1], columns = model.output[1];
  const [rows, across] = transposed ? [inputs, outputs] : [outputs, inputs];
  const dots = product(axes.map((axis) => sum(axis.taps.map((row) => row.length))));
  canvas.hidden = dots > MOST_DOTS || Math.max(rows, across) > LONGEST_SIDE;
  if (canvas.hidden) return;
  const scale = Math.max(1, Math.min(6, Math.floor(600 / across)));
  canvas.width = across * scale;
  canvas.height = rows * scale;
  const size = `${rows} rows and ${across} columns`;
  canvas.setAttribute("aria-label", `the whole matrix, ${size}; a dot for each number that is not a structural zero`);
  const style = getComputedStyle(document.documentElement), context = canvas.getContext("2d");
  const names = ["paper", "accent", "chosen"];
  const colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`)]));
  const dot = (input, output) => (transposed ? [output, input] : [input, output]).map((at) => at * scale);
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  axes[0].taps.forEach((down, p) =>
    axes[1].taps.forEach((taps, q) => {
      for (const { source: h } of down) {
        for (const { source: w } of taps) {
          if (h === null || w === null) continue;
          const [row, column] = focus.plane === "output" ? [p, q] : [h, w];
          const isFocus = focus.row === row && focus.column === column;
          context.fillStyle = isFocus ? colours.chosen : colours.accent;
          context.fillRect(...dot(h * width + w, p * columns + q), scale, scale);
        }
      }
    }),
  );
}

// --- overlap -------------------------------------------------------------------------------------------------------------

function drawOverlap(grid, model, focus, related) {
  const { problem } = model, transposed = isTransposed(problem), size = transposed ? model.output : problem.input_sizes;
  const places = transposed ? related.outputs : related.inputs;
  grid.show({
    caption: transposed ? "how often each output is written" : "how often each input is read",
    size,
    near: middleOf(places, [0, 0]),
    text: (r, c) => overlapCount(model, r, c),
    mark: marker(places, (focus.plane === "output") === transposed ? "chosen" : "related"),
  });
  const counts = grid.cells.map((row) => row.map((cell) => Number(cell.textContent)));
  const most = Math.max(1, ...counts.flat());
  grid.cells.forEach((row, i) =>
    row.forEach((cell, j) => {
      const marked = cell.className.trim() !== "cell";
      cell.style.backgroundColor = marked ? "" : `rgba(var(--heat), ${(0.45 * counts[i][j]) / most})`;
    }),
  );
}
