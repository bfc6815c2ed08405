// How often each output is written, why that can make a checkerboard, and which parameters avoid it.

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

// How often an output of a transposed convolution is written; of a convolution, how often an input is read.
function overlapCount(model, row, column) {
  const along = (axis, i) =>
    isTransposed(model.problem)
      ? model.axes[axis].taps[i].filter((tap) => tap.kind === INPUT).length
      : model.axes[axis].reach[i].length;
  return along(0, row) * along(1, column);
}

// How many taps meet an output of each phase, far from the border.
function phaseCounts(problem, axis) {
  const counts = range(problem.stride[axis]).map(() => 0);
  for (const tap of range(problem.kernel_size[axis])) counts[(tap * problem.dilation[axis]) % counts.length] += 1;
  return counts;
}

// How many outputs of a transposed convolution lie behind the last stamp, along an axis: only the bias is there.
const unreached = ({ padding, output_padding }) => Math.max(0, output_padding - padding);

function overlapScore(problem) {
  const phases = [0, 1].slice(2 - numAxes(problem)).map((axis) => phaseCounts(problem, axis));
  const product = (pick) => phases.reduce((total, counts) => total * pick(...counts), 1);
  return 1 - product(Math.min) / product(Math.max);
}

// Why outputs are written (of a convolution: inputs read) as often as they are.
function overlapReason(problem, axis) {
  const kernel = problem.kernel_size[axis], stride = problem.stride[axis], dilation = problem.dilation[axis];
  const [what, verb] = isTransposed(problem) ? ["output is written", "written"] : ["input is read", "read"];
  const times = (count) => ["never", "once", "twice"][count] ?? `${count} times`;
  if (stride === 1) return `stride 1: along the axis every ${what} ${times(kernel)}`;
  const shared = divisor(stride, dilation);
  if (shared > 1) {
    const ordinal = { 2: "second", 3: "third" }[shared] ?? `${shared}th`;
    return (
      `stride ${stride} and dilation ${dilation} are both multiples of ${shared}: the taps lie on every ` +
      `${ordinal} place only, and the places between are never ${verb}`
    );
  }
  const whole = Math.floor(kernel / stride), rest = kernel % stride, others = stride - rest;
  if (!rest) return `kernel ${kernel} = ${whole}·stride ${stride}: along the axis every ${what} ${times(whole)}`;
  return (
    `kernel ${kernel} = ${whole}·${stride} + ${rest}: along the axis ${rest} of every ${stride} places ` +
    `${rest === 1 ? "is" : "are"} ${verb} ${times(whole + 1)}, ${others} ${times(whole)}`
  );
}

// --- other parameters without the pattern ---------------------------------------------------------------------------------

const MOST_WAYS = 3;
const FURTHEST_KERNEL = 4; // how far another kernel size may be away, in strides
const WAY_NUMBERS = ["kernel_size", "padding", "output_padding", "dilation"];

const numbersOf = (problem, axis) => Object.fromEntries(WAY_NUMBERS.map((name) => [name, problem[name][axis]]));
const isEven = (problem) => [0, 1].every((axis) => new Set(phaseCounts(problem, axis)).size === 1);

// The nearest problems without the pattern and with the same output size: {problem, text, changed: {name: [before, after]}}.
function waysOf(problem) {
  if (!isTransposed(problem) || isEven(problem)) return [];
  const [downs, acrosses] = [0, 1].map((axis) => {
    const ways = axisWays(problem, axis), near = nearestFirst(ways, (way) => [way], problem, [axis]);
    // Distances add up over the axes, so the nearest pairs are made of the nearest along each axis. In their first order, which
    // decides between pairs that are equally far.
    return ways.filter((way) => near.includes(way));
  });
  const alike = [...WAY_NUMBERS, "stride", "input_sizes"].every((name) => problem[name][0] === problem[name][1]);
  const pairs = downs.flatMap((down) => acrosses.map((across) => [down, across]));
  // What is alike along both axes stays so.
  const square = ([a, b]) => WAY_NUMBERS.every((name) => a[name] === b[name]);
  const kept = alike && numAxes(problem) === 2 ? pairs.filter(square) : pairs;
  return nearestFirst(kept, (pair) => pair, problem, [0, 1]).map((pair) => makeWay(problem, pair));
}

// Kernel sizes that the stride divides, with the padding and output_padding that keep the output's size.
function axisWays(problem, axis) {
  const numbers = numbersOf(problem, axis), stride = problem.stride[axis], kernel = numbers.kernel_size;
  let { dilation } = numbers;
  if (divisor(stride, dilation) === 1 && kernel % stride === 0) return [numbers];
  while (divisor(stride, dilation) > 1) dilation -= 1;
  const wanted = outputSize(problem, axis) - (problem.input_sizes[axis] - 1) * stride - 1, found = [];
  for (let multiple = 1; multiple < Math.floor(kernel / stride) + FURTHEST_KERNEL; multiple += 1) {
    for (const more of range(Math.max(stride, dilation))) {
      const padding = (dilation * (multiple * stride - 1) + more - wanted) / 2;
      if (!Number.isInteger(padding) || padding < 0) continue;
      found.push({ kernel_size: multiple * stride, padding, output_padding: more, dilation });
    }
  }
  // An output_padding above the padding keeps outputs behind the last stamp: no cure for uneven outputs.
  const reached = found.filter((numbers) => !unreached(numbers));
  return reached.length ? reached : found;
}

// How far numbers are away: the kernel first, then the rest; of equals a larger kernel, which loses nothing.
function distance(problem, numbers, axes) {
  const moved = (name) => sum(axes.map((axis, i) => Math.abs(numbers[i][name] - problem[name][axis])));
  const kernels = sum(numbers.map((one) => one.kernel_size));
  return [...["kernel_size", "dilation", "padding", "output_padding"].map(moved), -kernels];
}

function nearestFirst(ways, numbersIn, problem, axes) {
  const measured = ways.map((way) => ({ way, far: distance(problem, numbersIn(way), axes) }));
  return measured.sort((a, b) => compareNumbers(a.far, b.far)).slice(0, MOST_WAYS).map(({ way }) => way);
}

function compareNumbers(one, other) {
  const differing = one.findIndex((number, i) => number !== other[i]);
  return differing < 0 ? 0 : one[differing] - other[differing];
}

function makeWay(problem, pair) {
  const numbers = Object.fromEntries(WAY_NUMBERS.map((name) => [name, pair.map((one) => one[name])]));
  const other = { ...problem, ...numbers, padding_after: numbers.padding };
  const changed = WAY_NUMBERS.map((name) => [name, [own(problem, problem[name]), own(problem, other[name])]]);
  const differs = ([, [before, after]]) => `${before}` !== `${after}`;
  return { problem: other, text: problemText(other), changed: Object.fromEntries(changed.filter(differs)) };
}

function wayText({ text, changed }) {
  const number = (numbers) => (new Set(numbers).size === 1 ? `${numbers[0]}` : numbers.join("×"));
  const changes = Object.entries(changed).map(([name, [old, after]]) => `${name} ${number(old)} → ${number(after)}`);
  return `${text}   (${changes.join(", ")})`;
}
