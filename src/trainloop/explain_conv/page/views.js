// The equal views, each computed in its own way; all give the output before the bias.

// --- scatter: every input element stamps the kernel, times itself --------------------------------------------------------

const uncroppedSize = (problem, axis) =>
  (problem.input_sizes[axis] - 1) * problem.stride[axis] + extent(problem, axis) + problem.output_padding[axis];

// Which stamps cover a place of the uncropped plane along an axis: {source, tap}.
function stampsAt(problem, axis, place) {
  const stamps = [], stride = problem.stride[axis], dilation = problem.dilation[axis];
  for (let source = 0; source < problem.input_sizes[axis]; source += 1) {
    const inside = place - source * stride;
    if (inside >= 0 && inside % dilation === 0 && inside / dilation < problem.kernel_size[axis]) {
      stamps.push({ source, tap: inside / dilation });
    }
  }
  return stamps;
}

// What all stamps add up to at a place of the uncropped plane.
function uncroppedValue(problem, output, row, column) {
  let total = 0;
  const downs = stampsAt(problem, 0, row), acrosses = stampsAt(problem, 1, column);
  for (const channel of channelsOfOutput(problem, output)) {
    for (const down of downs) {
      for (const across of acrosses) {
        const weight = weightValue(problem, channel, output, down.tap, across.tap);
        total += inputValue(problem, channel, down.source, across.source) * weight;
      }
    }
  }
  return total;
}

const scatterOutput = (model, output, row, column) =>
  uncroppedValue(model.problem, output, row + model.problem.padding[0], column + model.problem.padding[1]);

// --- insert zeros: spread the input, then convolve with stride 1 and the turned kernel -----------------------------------

// How many zeros lie before the first element; below zero, how much is cut off.
const spreadBefore = (problem, axis) => extent(problem, axis) - 1 - problem.padding[axis];
const spreadSize = (problem, axis) =>
  (problem.input_sizes[axis] - 1) * problem.stride[axis] + 1 + 2 * spreadBefore(problem, axis) + problem.output_padding[axis];

// Which element lies at a place of the spread plane along an axis; null for a zero.
function spreadSource(problem, axis, place) {
  const at = place - spreadBefore(problem, axis), stride = problem.stride[axis];
  return at >= 0 && at % stride === 0 && at / stride < problem.input_sizes[axis] ? at / stride : null;
}

function spreadValue(problem, channel, row, column) {
  const down = spreadSource(problem, 0, row), across = spreadSource(problem, 1, column);
  return down === null || across === null ? 0 : inputValue(problem, channel, down, across);
}

const turnedWeight = (problem, channel, output, k, l) =>
  weightValue(problem, channel, output, problem.kernel_size[0] - 1 - k, problem.kernel_size[1] - 1 - l);

function zeroInsertOutput(model, output, row, column) {
  const { problem } = model;
  let total = 0;
  for (const channel of channelsOfOutput(problem, output)) {
    for (const k of range(problem.kernel_size[0])) {
      for (const l of range(problem.kernel_size[1])) {
        const value = spreadValue(problem, channel, row + k * problem.dilation[0], column + l * problem.dilation[1]);
        total += value * turnedWeight(problem, channel, output, k, l);
      }
    }
  }
  return total;
}

// --- matrix --------------------------------------------------------------------------------------------------------------

// The matrix's number between an input pixel and an output; 0 where they have no tap in common.
function matrixEntry(model, channel, source, output, place) {
  const { problem, axes } = model;
  const taps = [0, 1].map((axis) => axes[axis].reach[source[axis]].filter((touch) => touch.output === place[axis]));
  const weight = (down, across) => weightValue(problem, channel, output, down.tap, across.tap);
  return sum(taps[0].flatMap((down) => taps[1].map((across) => weight(down, across))));
}

// The input elements along an axis that an output has a tap on, each once.
function sourcesOf(model, axis, place) {
  const sources = model.axes[axis].taps[place].map((tap) => tap.source);
  return [...new Set(sources.filter((source) => source !== null))].sort((a, b) => a - b);
}

function matrixOutput(model, output, row, column) {
  const { problem } = model;
  let total = 0;
  for (const channel of channelsOfOutput(problem, output)) {
    for (const h of sourcesOf(model, 0, row)) {
      for (const w of sourcesOf(model, 1, column)) {
        total += matrixEntry(model, channel, [h, w], output, [row, column]) * inputValue(problem, channel, h, w);
      }
    }
  }
  return total;
}

// --- gather: the padded input of a convolution ---------------------------------------------------------------------------

const paddedSize = (problem, axis) => problem.input_sizes[axis] + problem.padding[axis] + problem.padding_after[axis];

// Which element a place of the padded plane shows along an axis; null for a zero.
function paddedSource(problem, axis, place) {
  const at = place - problem.padding[axis], size = problem.input_sizes[axis];
  return at >= 0 && at < size ? at : borderSource(at, size, problem.padding_mode);
}

function paddedValue(problem, channel, row, column) {
  const down = paddedSource(problem, 0, row), across = paddedSource(problem, 1, column);
  return down === null || across === null ? 0 : inputValue(problem, channel, down, across);
}

function gatherOutput(model, output, row, column) {
  const { problem } = model;
  let total = 0;
  for (const channel of channelsOfOutput(problem, output)) {
    for (const k of range(problem.kernel_size[0])) {
      for (const l of range(problem.kernel_size[1])) {
        const down = row * problem.stride[0] + k * problem.dilation[0];
        const across = column * problem.stride[1] + l * problem.dilation[1];
        total += paddedValue(problem, channel, down, across) * weightValue(problem, channel, output, k, l);
      }
    }
  }
  return total;
}

const viewsOf = (problem) =>
  isTransposed(problem)
    ? { scatter: scatterOutput, zero_insert: zeroInsertOutput, matrix: matrixOutput }
    : { gather: gatherOutput, matrix: matrixOutput };
