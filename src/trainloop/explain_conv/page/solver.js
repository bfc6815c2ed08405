// Which parameters map one size to another: all of them, within bounds, the simplest first.

const BOUNDS = { kernel_size: 11, stride: 8, dilation: 4 };
const MOST_SIZE = 4096; // of an axis
const MOST_SOLUTIONS = 20; // of a list that is shown
const SOLVED = ["kernel_size", "stride", "padding", "dilation", "output_padding"];

// {input_sizes, output_sizes} from 7x7:14x14, or {broken} with what, found and expected.
function parseSolve(text) {
  const sides = text.replaceAll("→", ":").split(":").map((side) => side.trim().toLowerCase().split(/[x×,]/));
  const whole = (part) => /^\d{1,9}$/.test(part.trim()) && Number(part) >= 1 && Number(part) <= MOST_SIZE;
  const [input, output] = sides;
  if (sides.length !== 2 || input.length !== output.length || input.length > 2 || !sides.flat().every(whole)) {
    const expected = `IN:OUT such as 7x7:14x14 or 7:14, each number from 1 to ${MOST_SIZE}`;
    return { broken: { what: "these are not two sizes", found: text, expected } };
  }
  return { input_sizes: input.map(Number), output_sizes: output.map(Number) };
}

// Everything within the bounds; a kernel of one tap has no dilation, or every one, which is the same. The loops stand in the
// order by which solutions are simple, so the simplest come first; behind all others those that leave gaps.
function combinations(transposed) {
  const found = [], from = (first, last) => range(last - first + 1).map((i) => first + i);
  const most = transposed ? Math.max(BOUNDS.stride, BOUNDS.dilation) : 1;
  for (const dilation of from(1, BOUNDS.dilation)) {
    for (const output_padding of range(most)) {
      for (const kernel_size of from(dilation > 1 ? 2 : 1, BOUNDS.kernel_size)) {
        for (const padding of from(0, dilation * (kernel_size - 1))) {
          for (const stride of from(1, BOUNDS.stride)) {
            if (output_padding >= Math.max(stride, dilation)) continue;
            found.push({ kernel_size, stride, padding, dilation, output_padding });
          }
        }
      }
    }
  }
  return [...found.filter((one) => !leavesGaps(one)), ...found.filter(leavesGaps)];
}

const countsOf = ({ kernel_size, stride, dilation }) =>
  phaseCounts({ kernel_size: [kernel_size], stride: [stride], dilation: [dilation] }, 0);

// Whether a convolution skips input elements between those it reads, a transposed one leaves outputs unwritten.
const leavesGaps = (one) => countsOf(one).includes(0) || unreached(one) > 0;

const COMBINATIONS = {};
const allCombinations = (transposed) => (COMBINATIONS[transposed] ??= combinations(transposed));

// The output's size along one axis; below 1 where there is none.
function solvedSize(size, { kernel_size, stride, padding, dilation, output_padding }, transposed) {
  const reach = dilation * (kernel_size - 1);
  if (transposed) return (size - 1) * stride - 2 * padding + reach + output_padding + 1;
  return Math.floor((size + 2 * padding - reach - 1) / stride) + 1;
}

const sameNumbers = (one, other) => SOLVED.every((name) => one[name] === other[name]);

function solve(input_sizes, output_sizes, transposed) {
  const all = allCombinations(transposed);
  const axes = input_sizes.map((size, axis) => all.filter((one) => solvedSize(size, one, transposed) === output_sizes[axis]));
  const others = axes.slice(1).map((found) => new Set(found));
  const solutions = axes[0].filter((one) => others.every((other) => other.has(one)));
  const reachable = {};
  axes.forEach((found, axis) => {
    if (!found.length) reachable[axis] = nearestSizes(input_sizes[axis], output_sizes[axis], transposed);
  });
  const apart = solutions.length || axes.length === 1 ? [] : axes;
  return { input_sizes, output_sizes, transposed, bounds: BOUNDS, tried: all.length, solutions, per_axis: apart, reachable };
}

// The nearest output sizes that there are: at most one smaller and one larger.
function nearestSizes(size, wanted, transposed) {
  const reachable = allCombinations(transposed).map((one) => solvedSize(size, one, transposed));
  const below = reachable.filter((other) => other >= 1 && other < wanted), above = reachable.filter((other) => other > wanted);
  const extreme = (numbers, pick) => (numbers.length ? [numbers.reduce((a, b) => pick(a, b))] : []);
  return [...extreme(below, Math.max), ...extreme(above, Math.min)];
}

// --- in words ------------------------------------------------------------------------------------------------------------

const howMany = (number) => `${number ? commas(number) : "no"} solution${number === 1 ? "" : "s"}`;

// What is to be known of a solution.
function solutionNote(one, transposed) {
  if (!transposed) return leavesGaps(one) ? "skips elements" : "";
  const counts = countsOf(one), behind = unreached(one);
  if (counts.includes(0)) return "leaves outputs empty";
  const end = behind ? `the last ${behind > 1 ? behind : "output"} empty` : "";
  return [new Set(counts).size > 1 ? "checkerboard" : "", end].filter(Boolean).join(", ");
}

// {title, tried, lists: [{title, axis, solutions, rows, more}], nearest}; axis is null where the numbers serve all axes.
function solveWords(solved) {
  const { input_sizes: sizes, output_sizes: wanted, transposed, bounds } = solved;
  const what = `${transposed ? "transposed " : ""}convolution ${sizes.join("×")} → ${wanted.join("×")}`;
  const limits =
    `kernel_size ≤ ${bounds.kernel_size}, stride ≤ ${bounds.stride}, dilation ≤ ${bounds.dilation} (1 for a kernel of 1), ` +
    `padding ≤ dilation·(kernel_size − 1)${transposed ? ", output_padding < max(stride, dilation)" : ""}`;
  const alone = solved.per_axis.map((found, axis) => {
    const pair = `${sizes[axis]} → ${wanted[axis]}`;
    return solutionList(found, transposed, axis, `along ${"HW"[axis]} alone, ${pair}: ${howMany(found.length)}`);
  });
  const nearest = Object.entries(solved.reachable).map(([axis, found]) => {
    const name = sizes.length > 1 ? ` along ${"HW"[axis]}` : "";
    return `nearest sizes${name} that ${sizes[axis]} leads to: ${found.join(" and ")}`;
  });
  return {
    title: `${what}: ${howMany(solved.solutions.length)}`,
    tried: `of ${commas(solved.tried)} combinations tried: ${limits}`,
    heads: ["kernel", "stride", "padding", "dilation", ...(transposed ? ["output_padding"] : [])],
    lists: [solutionList(solved.solutions, transposed, null, ""), ...alone].filter((list) => list.solutions.length),
    nearest,
  };
}

function solutionList(found, transposed, axis, title) {
  const solutions = found.slice(0, MOST_SOLUTIONS), names = transposed ? SOLVED : SOLVED.slice(0, -1);
  const rows = solutions.map((one) => [...names.map((name) => `${one[name]}`), solutionNote(one, transposed)]);
  const left = found.length - solutions.length;
  return { title, axis, solutions, rows, more: left ? `… and ${commas(left)} more, less simple` : "" };
}

// --- a solution as a problem ---------------------------------------------------------------------------------------------

// The numbers of a problem along an axis, if they answer what was asked; else null.
function answerOf(problem, solved, at) {
  const { input_sizes: sizes, output_sizes: wanted } = solved, axis = at + 2 - sizes.length;
  const numbers = Object.fromEntries(SOLVED.map((name) => [name, problem[name][axis]]));
  const fits =
    isTransposed(problem) === solved.transposed && numAxes(problem) === sizes.length &&
    problem.input_sizes[axis] === sizes[at] && problem.padding_after[axis] === numbers.padding &&
    solvedSize(sizes[at], numbers, solved.transposed) === wanted[at];
  return fits ? numbers : null;
}

// The problem with the numbers of a solution. One that serves an axis alone leaves to the other what it has, if that is an
// answer too, or its simplest.
function solvedProblem(problem, solved, solution, axis) {
  const { input_sizes: sizes, transposed } = solved, count = sizes.length;
  const along = sizes.map((_, at) => {
    if (axis === null || axis === at) return solution;
    return answerOf(problem, solved, at) ?? solved.per_axis[at][0] ?? NEUTRAL;
  });
  const pair = (name) => [...[NEUTRAL[name]].slice(count - 1), ...along.map((numbers) => numbers[name])];
  const numbers = Object.fromEntries(SOLVED.map((name) => [name, pair(name)]));
  return {
    ...problem,
    ...numbers,
    module: `Conv${transposed ? "Transpose" : ""}${count}d`,
    padding_after: numbers.padding,
    padding_word: "",
    padding_mode: "zeros",
    input_sizes: [...[1].slice(count - 1), ...sizes],
  };
}
