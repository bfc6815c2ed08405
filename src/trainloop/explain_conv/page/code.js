// A problem as a program of Python: plain loops and torch's own lines, which give exactly the numbers of the page.

const INDENT = "    ";
// What the loops call the places along H and along W.
const LOOP_NAMES = [
  { axis: 0, input: "h", tap: "k", output: "p" },
  { axis: 1, input: "w", tap: "l", output: "q" },
];

const programText = (problem) =>
  [...valueLines(problem), "", ...loopLines(problem), "", ...torchLines(problem)].map((line) => `${line}\n`).join("");

// The lines that make x, weight and bias.
function valueLines(problem) {
  const axes = own(problem, LOOP_NAMES), [first, second] = weightShape(problem);
  const places = (name, sizes) => axes.map((one) => [one[name], sizes[one.axis]]);
  const x = countedText([["c", problem.in_channels, CHANNEL_STEP]], places("input", problem.input_sizes));
  const channels = [["a", first, CHANNEL_STEP], ["b", second, OTHER_CHANNEL_STEP]];
  const weight = countedText(channels, places("tap", problem.kernel_size));
  const [one, other] = isTransposed(problem) ? ["in", "out"] : ["out", "in"];
  return [
    `# ${problemText(problem)} of an input of ${own(problem, problem.input_sizes).join("x")}`,
    `x = ${x}  # channels, ${numAxes(problem) === 2 ? "rows, columns" : "columns"}`,
    `weight = ${weight}  # ${one}_channels, ${other}_channels / groups, kernel`,
    `bias = [${problem.bias ? `o % ${BIASES}` : "0"} for o in range(${problem.out_channels})]`,
  ];
}

// Nested lists that count row by row, as inputValue and weightValue do.
function countedText(channels, places) {
  const columns = places.at(-1)[1];
  const steps = [...channels.map(([name, , step]) => [name, step])];
  places.forEach(([name], i) => steps.push([name, i === places.length - 1 ? 1 : columns]));
  const total = steps.map(([name, step]) => (step === 1 ? name : `${step} * ${name}`)).join(" + ");
  const loops = [...channels, ...places].reverse();
  return loops.reduce((text, [name, size]) => `[${text} for ${name} in range(${size})]`, `(${total}) % ${span(columns)} + 1`);
}

function loopLines(problem) {
  const axes = own(problem, LOOP_NAMES), sizes = outputSizes(problem);
  const nested = (text, one) => `[${text} for ${one.output} in range(${sizes[one.axis]})]`;
  const zeros = [...axes].reverse().reduce(nested, "bias[o]");
  const say = isTransposed(problem) ? "every input element stamps the kernel" : "every output gathers what its taps see";
  const loops = [...channelLoops(problem), ...placeLoops(problem, axes)];
  return [
    `# plain loops: ${say}`,
    `y = [${zeros} for o in range(${problem.out_channels})]`,
    ...loops.map(([name, values], depth) => `${INDENT.repeat(depth)}for ${name} in ${values}:`),
    ...bodyLines(problem, axes).map((line) => INDENT.repeat(loops.length) + line),
  ];
}

function channelLoops(problem) {
  const { groups } = problem, inputs = problem.in_channels / groups, outputs = problem.out_channels / groups;
  if (groups === 1) return [["o", `range(${outputs})`], ["c", `range(${inputs})`]];
  const share = (size) => (size === 1 ? "range(g, g + 1)" : `range(${size} * g, ${size} * (g + 1))`);
  return [["g", `range(${groups})`], ["o", share(outputs)], ["c", share(inputs)]];
}

function placeLoops(problem, axes) {
  const [name, sizes] = isTransposed(problem) ? ["input", problem.input_sizes] : ["output", outputSizes(problem)];
  const places = axes.map((one) => [one[name], `range(${sizes[one.axis]})`]);
  return [...places, ...axes.map((one) => [one.tap, `range(${problem.kernel_size[one.axis]})`])];
}

// What happens for one pair of places and one tap.
function bodyLines(problem, axes) {
  const transposed = isTransposed(problem), mode = problem.padding_mode;
  const here = axes.map((one) => (transposed ? one.output : one.input));
  const sizes = transposed ? outputSizes(problem) : problem.input_sizes;
  const index = (name) => axes.map((one) => `[${one[name]}]`).join("");
  const add = `y[o]${index("output")} += weight${weightIndex(problem)}${index("tap")} * x[c]${index("input")}`;
  const place = `${here.join(", ")} = ${axes.map((one) => placeText(problem, one)).join(", ")}`;
  const border = ({ axis, input }) => `${input} = ${borderText(mode, input, sizes[axis])}`;
  if (mode !== "zeros") return [place, ...axes.map(border), add];
  const inside = axes.map((one, i) => `0 <= ${here[i]} < ${sizes[one.axis]}`).join(" and ");
  return [place, `if ${inside}:`, INDENT + add];
}

// The channels of a weight: the second one counts within its group.
function weightIndex(problem) {
  const [first, second, channels] = isTransposed(problem) ? ["c", "o", problem.out_channels] : ["o", "c", problem.in_channels];
  const perGroup = channels / problem.groups;
  if (problem.groups === 1) return `[${first}][${second}]`;
  return perGroup === 1 ? `[${first}][0]` : `[${first}][${second} % ${perGroup}]`;
}

// 2 * h + k - 1: where a stamp's tap lies, or what a window's tap sees.
function placeText(problem, { axis, input, tap, output }) {
  const times = (factor, name) => (factor === 1 ? name : `${factor} * ${name}`);
  const start = times(problem.stride[axis], isTransposed(problem) ? input : output);
  const padding = problem.padding[axis];
  return `${start} + ${times(problem.dilation[axis], tap)}${padding ? ` - ${padding}` : ""}`;
}

// Which element is seen outside the input.
const borderText = (mode, name, size) =>
  ({
    reflect: `${size - 1} - abs(${size - 1} - abs(${name}))`,
    replicate: `min(max(${name}, 0), ${size - 1})`,
    circular: `${name} % ${size}`,
  })[mode];

function torchLines(problem) {
  const rows = [`${INDENT}for row in channel:`, `${INDENT.repeat(2)}print(*row)`];
  return [
    "# the same by torch; whole numbers are exact in float64",
    "import torch",
    "",
    `module = torch.nn.${problemText(problem).slice(0, -1)}, dtype=torch.float64)`,
    "with torch.no_grad():",
    `${INDENT}module.weight.copy_(torch.tensor(weight))`,
    ...(problem.bias ? [`${INDENT}module.bias.copy_(torch.tensor(bias))`] : []),
    `${INDENT}by_torch = module(torch.tensor([x], dtype=torch.float64))[0].long().tolist()`,
    "for channel in y:",
    ...(numAxes(problem) === 2 ? rows : [`${INDENT}print(*channel)`]),
    'print("loops and torch agree:", y == by_torch)',
  ];
}
