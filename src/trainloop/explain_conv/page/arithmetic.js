// The arithmetic of the page: where each tap falls, the made-up numbers, the sums. No drawing in here.
//
// A problem is an object with the fields of problem.py, each pair as [along H, along W]. The same functions run in the tests,
// which compare them with Python's. Legend: C input channels and O output channels of one group, H W input, K L kernel, P Q output.

const INPUT = "input", PADDING = "padding", INSERTED = "inserted";
// What the row of a problem of one axis has along the axis that it lacks.
const NEUTRAL = { kernel_size: 1, stride: 1, padding: 0, dilation: 1, output_padding: 0, input_sizes: 1 };

const isTransposed = (problem) => problem.module.includes("Transpose");
const numAxes = (problem) => (problem.module.endsWith("1d") ? 1 : 2);
const own = (problem, pair) => pair.slice(2 - numAxes(problem));
const extent = (problem, axis) => problem.dilation[axis] * (problem.kernel_size[axis] - 1) + 1;
const range = (count) => Array.from({ length: count }, (_, i) => i);
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const modulo = (a, b) => ((a % b) + b) % b;

// --- sizes ---------------------------------------------------------------------------------------------------------------

function outputSize(problem, axis) {
  const size = problem.input_sizes[axis], stride = problem.stride[axis];
  if (isTransposed(problem)) {
    return (size - 1) * stride - 2 * problem.padding[axis] + extent(problem, axis) + problem.output_padding[axis];
  }
  const padded = size + problem.padding[axis] + problem.padding_after[axis];
  return Math.floor((padded - extent(problem, axis)) / stride) + 1;
}

const outputSizes = (problem) => [outputSize(problem, 0), outputSize(problem, 1)];

// The formula of the size along an axis, in symbols and with the numbers put in.
function sizeFormula(problem, axis) {
  const name = "HW"[axis], size = problem.input_sizes[axis], stride = problem.stride[axis];
  const before = problem.padding[axis], after = problem.padding_after[axis];
  const kernel = problem.kernel_size[axis], dilation = problem.dilation[axis], value = outputSize(problem, axis);
  if (isTransposed(problem)) {
    const more = problem.output_padding[axis];
    return {
      symbols: `(${name} − 1)·s − 2·p + d·(k − 1) + output_padding + 1`,
      numbers: `(${size} − 1)·${stride} − 2·${before} + ${dilation}·(${kernel} − 1) + ${more} + 1 = ${value}`,
    };
  }
  const even = before === after, steps = size + before + after - extent(problem, axis);
  const added = even ? `2·${before}` : `${before} + ${after}`;
  const top = `(${size} + ${added} − ${dilation}·(${kernel} − 1) − 1)`;
  return {
    symbols: `⌊(${name} + ${even ? "2·p" : "a + b"} − d·(k − 1) − 1) / s⌋ + 1`,
    numbers: `⌊${top} / ${stride}⌋ + 1 = ⌊${steps}/${stride}⌋ + 1 = ${Math.floor(steps / stride)} + 1 = ${value}`,
  };
}

// --- along one axis: taps and reach --------------------------------------------------------------------------------------

// Which element a place outside the input shows; null for a zero.
function borderSource(at, size, mode) {
  if (mode === "reflect") return at < 0 ? -at : 2 * (size - 1) - at;
  if (mode === "replicate") return at < 0 ? 0 : size - 1;
  return mode === "circular" ? modulo(at, size) : null;
}

// The taps of one output along an axis: {tap, at, source, kind}.
function tapsOf(problem, axis, output) {
  const size = problem.input_sizes[axis], stride = problem.stride[axis], padding = problem.padding[axis];
  return range(problem.kernel_size[axis]).map((tap) => {
    const step = tap * problem.dilation[axis];
    if (!isTransposed(problem)) {
      const at = output * stride + step - padding;
      if (at >= 0 && at < size) return { tap, at, source: at, kind: INPUT };
      return { tap, at, source: borderSource(at, size, problem.padding_mode), kind: PADDING };
    }
    const at = output + padding - step;
    if (at < 0 || at > (size - 1) * stride) return { tap, at, source: null, kind: PADDING };
    if (at % stride) return { tap, at, source: null, kind: INSERTED };
    return { tap, at, source: at / stride, kind: INPUT };
  });
}

// Both lists of an axis: taps[output] and reach[input element] = [{output, tap}].
function makeAxis(problem, axis) {
  const taps = range(outputSize(problem, axis)).map((output) => tapsOf(problem, axis, output));
  const reach = range(problem.input_sizes[axis]).map(() => []);
  taps.forEach((row, output) => {
    for (const { tap, source } of row) if (source !== null) reach[source].push({ output, tap });
  });
  return { taps, reach };
}

// --- the numbers ---------------------------------------------------------------------------------------------------------

// How far the first number of the next channel is along, and after how many biases the count begins anew.
const CHANNEL_STEP = 5, OTHER_CHANNEL_STEP = 7, BIASES = 9;

const span = (columns) => (columns % 9 ? 9 : 8);

function inputValue(problem, channel, row, column) {
  const width = problem.input_sizes[1];
  return (CHANNEL_STEP * channel + width * row + column) % span(width) + 1;
}

// The weight between an input and an output channel of one group.
function weightValue(problem, channel, output, k, l) {
  const inputs = problem.in_channels / problem.groups, outputs = problem.out_channels / problem.groups;
  const [a, b] = isTransposed(problem) ? [channel, output % outputs] : [output, channel % inputs];
  const width = problem.kernel_size[1];
  return (CHANNEL_STEP * a + OTHER_CHANNEL_STEP * b + width * k + l) % span(width) + 1;
}

const biasValue = (problem, output) => (problem.bias ? output % BIASES : 0);

// --- the model: a problem with its axes, and everything that can be asked about it ---------------------------------------

function makeModel(problem) {
  return { problem, axes: [makeAxis(problem, 0), makeAxis(problem, 1)], output: outputSizes(problem) };
}

// The input channels that an output channel reads, or the output channels that an input channel goes into.
function partners(problem, from, to, channel) {
  const group = Math.floor(channel / (from / problem.groups)), count = to / problem.groups;
  return range(count).map((i) => group * count + i);
}
const channelsOfOutput = (problem, output) => partners(problem, problem.out_channels, problem.in_channels, output);
const channelsOfInput = (problem, channel) => partners(problem, problem.in_channels, problem.out_channels, channel);

// All products of the sum that makes an output, those with a zero included.
function cellTerms(model, output, row, column) {
  const { problem, axes } = model, terms = [];
  for (const channel of channelsOfOutput(problem, output)) {
    for (const down of axes[0].taps[row]) {
      for (const across of axes[1].taps[column]) {
        const zero = down.source === null || across.source === null;
        const kinds = [down.kind, across.kind];
        terms.push({
          channel,
          place: [down.at, across.at],
          source: zero ? null : [down.source, across.source],
          tap: [down.tap, across.tap],
          kind: [PADDING, INSERTED].find((kind) => kinds.includes(kind)) ?? INPUT,
          value: zero ? 0 : inputValue(problem, channel, down.source, across.source),
          weight: weightValue(problem, channel, output, down.tap, across.tap),
        });
      }
    }
  }
  return terms;
}

// The sum itself, without making a list of it.
function cellValue(model, output, row, column) {
  const { problem, axes } = model;
  let total = biasValue(problem, output);
  for (const channel of channelsOfOutput(problem, output)) {
    for (const down of axes[0].taps[row]) {
      if (down.source === null) continue;
      for (const across of axes[1].taps[column]) {
        if (across.source === null) continue;
        const weight = weightValue(problem, channel, output, down.tap, across.tap);
        total += inputValue(problem, channel, down.source, across.source) * weight;
      }
    }
  }
  return total;
}

// All outputs that an input pixel goes into.
function pixelEffects(model, channel, row, column) {
  const { problem, axes } = model, effects = [];
  for (const output of channelsOfInput(problem, channel)) {
    for (const down of axes[0].reach[row]) {
      for (const across of axes[1].reach[column]) {
        const tap = [down.tap, across.tap];
        effects.push({
          channel: output,
          place: [down.output, across.output],
          tap,
          weight: weightValue(problem, channel, output, ...tap),
        });
      }
    }
  }
  return effects;
}
