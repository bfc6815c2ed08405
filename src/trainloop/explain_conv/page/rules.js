// What numbers go together, the rule that they break otherwise, and the nearest that do. In the words of the command line.

const MOST_PRODUCTS = 400_000_000;
const MOST_NUMBERS = 20_000_000;
const LARGEST = 999_999; // number of an argument
const MOST_ALONG_AXIS = 4096; // what the page lists taps for
const FIELDS = ["output_padding", "padding", "kernel_size", "dilation", "stride", "input_sizes"];
const COUNTS = ["groups", "in_channels", "out_channels"];
const LEAST = { output_padding: 0, padding: 0 };
const FURTHEST = 64;

const product = (numbers) => numbers.reduce((a, b) => a * b, 1);
const commas = (number) => number.toLocaleString("en-US");
const tuple = (numbers) => (numbers.length === 1 ? `(${numbers[0]},)` : `(${numbers.join(", ")})`);
const oneOrTuple = (numbers) => (new Set(numbers).size === 1 ? `${numbers[0]}` : tuple(numbers));
const axisLetters = (problem) => [..."HW"].slice(2 - numAxes(problem));

// "same" in numbers: of an odd number of elements the end gets one more.
function withPaddingWord(problem) {
  if (problem.padding_word !== "same") return problem;
  const totals = [0, 1].map((axis) => extent(problem, axis) - 1);
  return {
    ...problem,
    padding: totals.map((total) => Math.floor(total / 2)),
    padding_after: totals.map((total) => total - Math.floor(total / 2)),
  };
}

function weightShape(problem) {
  const [first, second] = isTransposed(problem)
    ? [problem.in_channels, problem.out_channels]
    : [problem.out_channels, problem.in_channels];
  return [first, Math.floor(second / problem.groups), ...problem.kernel_size];
}

// What a word for the padding does not go with.
const brokenWord = (problem) =>
  problem.padding_word === "same" && Math.max(...problem.stride) > 1
    ? `padding='same' needs stride=1, as in torch (stride is ${oneOrTuple(own(problem, problem.stride))}); use stride=1, or a ` +
      "padding in numbers"
    : null;

// The rule that the numbers break, with the numbers; null where there is such a convolution.
function brokenRule(problem) {
  const brokenKind = isTransposed(problem) ? brokenTransposed : brokenWindow;
  return brokenCount(problem) ?? brokenGroups(problem) ?? brokenKind(problem);
}

function brokenCount(problem) {
  for (const name of ["in_channels", "out_channels"]) {
    if (problem[name] < 1) return `${name} (=${problem[name]}) must be at least 1`;
  }
  for (const [name, label] of [["kernel_size", "kernel_size"], ["input_sizes", "the input's size"]]) {
    const numbers = own(problem, problem[name]);
    if (Math.min(...numbers) < 1) return `${label} (=${oneOrTuple(numbers)}) must be at least 1 along every spatial axis`;
  }
  for (const [name, least] of [["stride", 1], ["padding", 0], ["dilation", 1]]) {
    const numbers = own(problem, problem[name]);
    if (Math.min(...numbers) < least) return `${name} (=${oneOrTuple(numbers)}) must be at least ${least} along every spatial axis`;
  }
  return problem.groups < 1 ? `groups (=${problem.groups}) must be at least 1` : null;
}

function indivisible(problem, name) {
  const channels = problem[name], groups = problem.groups, rest = channels % groups;
  if (!rest) return null;
  const equation = `${channels} = ${Math.floor(channels / groups)}·${groups} + ${rest}`;
  return `${name} (=${channels}) must be divisible by groups (=${groups}): ${equation}`;
}

function brokenGroups(problem) {
  const broken = indivisible(problem, "out_channels");
  if (broken) return broken;
  const shape = weightShape(problem);
  if (shape[1] < 1) {
    const ownShape = [...shape.slice(0, 2), ...own(problem, problem.kernel_size)];
    return `weight of shape ${tuple(ownShape)} has an axis of size 0; only the batch may be empty`;
  }
  return isTransposed(problem) ? indivisible(problem, "in_channels") : null;
}

function brokenTransposed(problem) {
  const pads = own(problem, problem.output_padding), letters = axisLetters(problem), first = 2 - numAxes(problem);
  if (Math.min(...pads) < 0) return `output_padding (=${tuple(pads)}) must be at least 0 along every spatial axis`;
  for (const [i, letter] of letters.entries()) {
    const more = pads[i], step = problem.stride[first + i], spread = problem.dilation[first + i];
    if (more >= Math.max(step, spread)) {
      return (
        `output_padding (=${more}) must be smaller than stride (=${step}) or dilation (=${spread}) along ${letter}: it ` +
        `chooses among the ${step} sizes that a convolution with this stride maps to one, which is 0 to ${step - 1} ` +
        "more than the smallest; to get more, pad the output"
      );
    }
  }
  for (const [i, letter] of letters.entries()) {
    const axis = first + i, size = outputSize(problem, axis), padding = problem.padding[axis];
    if (size < 1) {
      const { symbols, numbers } = sizeFormula(problem, axis);
      return (
        `the output would have size ${size} along ${letter}: ${symbols} = ${numbers}, expected at least 1; padding cuts ` +
        `${2 * padding} off ${size + 2 * padding}: use a padding of at most ${padding + Math.floor((size - 1) / 2)}`
      );
    }
  }
  return null;
}

function brokenWindow(problem) {
  const word = brokenWord(problem);
  if (word) return word;
  const letters = axisLetters(problem), first = 2 - numAxes(problem), mode = problem.padding_mode;
  for (const [i, letter] of letters.entries()) {
    const axis = first + i, added = Math.max(problem.padding[axis], problem.padding_after[axis]);
    const size = problem.input_sizes[axis], leftOut = mode === "reflect" ? 1 : 0;
    if (["reflect", "circular"].includes(mode) && added > size - leftOut) {
      const what =
        mode === "reflect"
          ? "it has the neighbours of the edge to fill the border with"
          : "it has the elements of the other end to fill the border with";
      const there = leftOut ? `${size} − 1 = ${size - 1}` : `${size}`;
      return (
        `padding_mode '${mode}' cannot add ${added} elements along ${letter}: ${what}, and there are ${there}; use a ` +
        "smaller padding, or padding_mode 'replicate' or 'zeros'"
      );
    }
  }
  const broken = indivisible(problem, "in_channels");
  if (broken) return broken;
  return letters.map((letter, i) => brokenReach(problem, first + i, letter)).find(Boolean) ?? null;
}

// A kernel that is larger than the padded input. What the mode or an uneven "same" adds counts as input.
function brokenReach(problem, axis, letter) {
  const before = problem.padding[axis], after = problem.padding_after[axis];
  const padding = problem.padding_mode === "zeros" ? before : 0;
  const size = problem.input_sizes[axis] + before + after - 2 * padding, reach = extent(problem, axis);
  if (reach <= size + 2 * padding) return null;
  const kernel = problem.kernel_size[axis], dilation = problem.dilation[axis], stride = problem.stride[axis];
  const steps = size + 2 * padding - reach, rounded = steps % stride === 0 ? "" : ", rounded down,";
  return (
    `the kernel is larger than the padded input along ${letter}: (${letter} + 2·p − d·(k − 1) − 1) / s + 1 = ` +
    `(${size} + 2·${padding} − ${dilation}·(${kernel} − 1) − 1) / ${stride} + 1${rounded} = ${Math.floor(steps / stride) + 1}, ` +
    `expected at least 1; a kernel of ${kernel} with dilation ${dilation} reaches over ${reach} elements, and ` +
    `${size} + 2·${padding} = ${size + 2 * padding} are there: use a padding of at least ` +
    `${-Math.floor((size - reach) / 2)}, or a smaller kernel or dilation`
  );
}

// More than can be explained in a moment; null where it is not.
function tooLarge(problem) {
  const outputs = outputSizes(problem), weights = product(weightShape(problem));
  const products = weights * product(isTransposed(problem) ? problem.input_sizes : outputs);
  if (products > MOST_PRODUCTS) {
    return `${commas(products)} multiplications are too many to explain: expected at most ${commas(MOST_PRODUCTS)}`;
  }
  for (const [name, numbers] of [
    ["input", problem.in_channels * product(problem.input_sizes)],
    ["weight", weights],
    ["output", problem.out_channels * product(outputs)],
  ]) {
    if (numbers > MOST_NUMBERS) {
      return `an ${name} of ${commas(numbers)} numbers is too large to explain: expected at most ${commas(MOST_NUMBERS)}`;
    }
  }
  const longest = Math.max(...problem.input_sizes, ...outputs, ...problem.kernel_size);
  const most = commas(MOST_ALONG_AXIS);
  return longest > MOST_ALONG_AXIS ? `${commas(longest)} along an axis are too many for a page: expected at most ${most}` : null;
}

// A problem that is too large with its largest numbers halved until it is not; null where that leads nowhere.
function nearestSmaller(problem) {
  let smaller = problem;
  while (smaller && tooLarge(smaller)) smaller = halvedProblems(smaller).find((other) => !brokenRule(other)) ?? null;
  return smaller;
}

// The problem with one number halved, the largest number first. Channels are halved for each group, so the groups stay; numbers
// of an axis along every axis that has the largest.
function halvedProblems(problem) {
  const { groups } = problem;
  const channels = ["in_channels", "out_channels"].map((name) => {
    const number = Math.floor(problem[name] / groups);
    return { number, halved: { ...problem, [name]: groups * Math.floor(number / 2) } };
  });
  const pairs = ["input_sizes", "kernel_size", ...(problem.padding_word ? [] : ["padding"])].map((name) => {
    const largest = Math.max(...problem[name]);
    const half = problem[name].map((number) => (number === largest ? Math.floor(number / 2) : number));
    return { number: largest, halved: { ...problem, [name]: half, ...(name === "padding" ? { padding_after: half } : {}) } };
  });
  const able = [...channels, ...pairs].filter(({ number }) => number > 1);
  return able.sort((one, other) => other.number - one.number).map(({ halved }) => halved);
}

// The problem that fits after the change that the rule's help names, else after the smallest of one number; or null. Numbers
// that are too small, an output_padding that is too large and the stride of padding="same" are mended first.
function nearestProblem(problem) {
  const raised = raiseNumbers(problem);
  for (const choices of [[raised], advisedProblems(raised), changedProblems(raised)]) {
    for (const choice of choices) if (!brokenRule(choice)) return choice;
  }
  return null;
}

function raiseNumbers(problem) {
  const raised = { ...problem };
  for (const name of FIELDS) raised[name] = problem[name].map((number) => Math.max(number, LEAST[name] ?? 1));
  raised.output_padding = problem.output_padding.map((more, axis) =>
    Math.min(Math.max(more, 0), Math.max(problem.stride[axis], problem.dilation[axis], 1) - 1),
  );
  for (const name of COUNTS) raised[name] = Math.max(problem[name], 1);
  if (problem.padding_word === "same") raised.stride = [1, 1];
  if (`${problem.padding}` === `${problem.padding_after}`) raised.padding_after = raised.padding;
  return raised;
}

// The problem with a padding that fits along every axis, then with a kernel that does: the least change of each.
function* advisedProblems(problem) {
  if (!problem.padding_word) {
    const padding = [0, 1].map((axis) => fittingPadding(problem, axis));
    yield { ...problem, padding, padding_after: padding };
  }
  if (!isTransposed(problem)) yield { ...problem, kernel_size: [0, 1].map((axis) => fittingKernel(problem, axis)) };
}

function fittingPadding(problem, axis) {
  const size = problem.input_sizes[axis], mode = problem.padding_mode;
  let padding = problem.padding[axis];
  if (isTransposed(problem)) return Math.min(padding, padding + Math.floor((outputSize(problem, axis) - 1) / 2));
  if (["reflect", "circular"].includes(mode)) padding = Math.min(padding, size - (mode === "reflect" ? 1 : 0));
  return Math.max(padding, -Math.floor((size - extent(problem, axis)) / 2));
}

function fittingKernel(problem, axis) {
  const padded = problem.input_sizes[axis] + problem.padding[axis] + problem.padding_after[axis];
  return Math.min(problem.kernel_size[axis], Math.floor((padded - 1) / problem.dilation[axis]) + 1);
}

// Problems with one number changed, the smallest changes first.
function* changedProblems(problem) {
  const which = numAxes(problem) === 1 ? [[1]] : [[0], [1], [0, 1]];
  for (let distance = 1; distance <= FURTHEST; distance += 1) {
    for (const step of [-distance, distance]) {
      for (const name of FIELDS) {
        if (name === "padding" && problem.padding_word) continue;
        for (const axes of which) {
          const numbers = problem[name].map((number, axis) => number + (axes.includes(axis) ? step : 0));
          yield { ...problem, [name]: numbers, ...(name === "padding" ? { padding_after: numbers } : {}) };
        }
      }
      for (const name of COUNTS) yield { ...problem, [name]: problem[name] + step };
    }
  }
}

// The module as one writes it, without what has torch's default.
function problemText(problem) {
  const number = (pair) => {
    const numbers = own(problem, pair);
    return new Set(numbers).size === 1 ? `${numbers[0]}` : `(${numbers.join(", ")})`;
  };
  const named = [
    ["stride", number(problem.stride), "1"],
    ["padding", problem.padding_word ? `'${problem.padding_word}'` : number(problem.padding), "0"],
    ["output_padding", number(problem.output_padding), "0"],
    ["dilation", number(problem.dilation), "1"],
    ["groups", `${problem.groups}`, "1"],
    ["bias", problem.bias ? "True" : "False", "True"],
    ["padding_mode", `'${problem.padding_mode}'`, "'zeros'"],
  ];
  const given = named.filter(([, text, usual]) => text !== usual).map(([name, text]) => `${name}=${text}`);
  return `${problem.module}(${[problem.in_channels, problem.out_channels, number(problem.kernel_size), ...given].join(", ")})`;
}

const sizeText = (problem, sizes) => own(problem, sizes).join("×");
