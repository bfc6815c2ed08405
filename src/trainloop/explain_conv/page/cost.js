// What a convolution costs: multiplications with and without those on padding, parameters, and the memory of im2col.

const FLOAT_BYTES = 4;

// The cost of one image.
function costOf({ problem, axes, output }) {
  const transposed = isTransposed(problem), { groups } = problem;
  const [inputs, outputs, kernel] = [problem.input_sizes, output, problem.kernel_size].map(product);
  const weights = product(weightShape(problem)), pairs = weights / kernel;
  const onElements = product(axes.map(({ taps }) => sum(taps.map((row) => row.filter((tap) => tap.kind === INPUT).length))));
  const first = transposed ? problem.out_channels : problem.in_channels, places = transposed ? inputs : outputs;
  const columns = [(first / groups) * kernel, places], products = pairs * kernel * places;
  return {
    products,
    useful: pairs * onElements,
    zero_insert_products: transposed ? pairs * kernel * outputs : 0,
    weights,
    biases: problem.bias ? problem.out_channels : 0,
    columns,
    columns_bytes: FLOAT_BYTES * groups * product(columns),
    input_bytes: FLOAT_BYTES * problem.in_channels * inputs,
    output_bytes: FLOAT_BYTES * problem.out_channels * outputs,
    kind: groups === 1 ? "dense" : groups === problem.in_channels ? "depthwise" : "grouped",
    dense_products: products * groups,
  };
}

// A number with one decimal; of one that lies in the middle between two, the even one, as Python writes it.
function oneDecimal(number) {
  const tenths = number * 10, below = Math.floor(tenths);
  return tenths - below === 0.5 ? ((below + (below % 2)) / 10).toFixed(1) : number.toFixed(1);
}

// 512 B, 3.4 KiB, 1.2 MiB or 2.0 GiB.
function bytesText(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const unit = bytes < 1024 ** 2 ? 1 : bytes < 1024 ** 3 ? 2 : 3;
  return `${oneDecimal(bytes / 1024 ** unit)} ${["KiB", "MiB", "GiB"][unit - 1]}`;
}

// The cost in words: [name, text] of each fact.
function costFacts(problem, cost) {
  const transposed = isTransposed(problem), { groups } = problem, wasted = cost.products - cost.useful;
  const where = transposed ? "are cut off again" : "are with padding";
  const without = wasted ? `, of which ${commas(wasted)} ${where} (${commas(cost.useful)} without them)` : "";
  const facts = [["products", `${commas(cost.products)}${without}`]];
  if (transposed) {
    const all = commas(cost.zero_insert_products), zeros = commas(cost.zero_insert_products - cost.useful);
    facts.push(["zero_insert", `${all} products if the spread input is convolved, ${zeros} of them with a zero`]);
  }
  const biases = cost.biases > 1 ? ` + ${commas(cost.biases)} biases` : cost.biases ? " + 1 bias" : "";
  facts.push(["parameters", `${commas(cost.weights + cost.biases)}: ${commas(cost.weights)} weight${cost.weights > 1 ? "s" : ""}${biases}`]);
  const times = groups > 1 ? `, ${groups} times` : "";
  facts.push([
    "im2col",
    `${cost.columns.map(commas).join(" × ")} numbers${times}: ${bytesText(cost.columns_bytes)} in float32, beside ` +
      `${bytesText(cost.input_bytes)} of input and ${bytesText(cost.output_bytes)} of output`,
  ]);
  if (cost.kind !== "dense") {
    const dense = `1/${groups} of the ${commas(cost.dense_products)} products that it would take without`;
    facts.push(["groups", `${cost.kind}, ${groups} groups: ${dense}`]);
  }
  if (Math.max(...problem.dilation) > 1) {
    const window = sizeText(problem, [0, 1].map((axis) => extent(problem, axis)));
    facts.push(["dilation", `a window of ${window} at the cost of ${sizeText(problem, problem.kernel_size)} taps`]);
  }
  return facts;
}
