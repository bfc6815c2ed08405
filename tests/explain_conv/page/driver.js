// Reads problems as JSON from standard input and answers with what the page's arithmetic makes of them.
const facts = JSON.parse(require("fs").readFileSync(0, "utf-8")).map(({ problem, cell, pixel }) => {
  const broken = brokenRule(problem);
  if (broken) {
    const near = nearestProblem(problem);
    return { broken, nearest: near && { text: problemText(near), input_sizes: near.input_sizes } };
  }
  const model = makeModel(problem), [rows, columns] = model.output;
  const plane = (value) => range(problem.out_channels).map((o) => range(rows).map((p) => range(columns).map((q) => value(o, p, q))));
  const area = isTransposed(problem) ? model.output : problem.input_sizes;
  const views = Object.entries(viewsOf(problem)).map(([name, view]) => [name, plane((o, p, q) => view(model, o, p, q))]);
  return {
    broken,
    text: problemText(problem),
    output_sizes: model.output,
    sizes: [0, 1].map((axis) => sizeFormula(problem, axis)),
    taps: model.axes.map(({ taps }) => taps.map((row) => row.map(({ tap, at, source, kind }) => [tap, at, source, kind]))),
    reach: model.axes.map(({ reach }) => reach.map((row) => row.map(({ output, tap }) => [output, tap]))),
    input: range(problem.in_channels).map((c) => range(problem.input_sizes[0]).map((h) => range(problem.input_sizes[1]).map((w) => inputValue(problem, c, h, w)))),
    bias: range(problem.out_channels).map((o) => biasValue(problem, o)),
    output: plane((o, p, q) => cellValue(model, o, p, q)),
    views: Object.fromEntries(views),
    terms: cellTerms(model, ...cell),
    effects: pixelEffects(model, ...pixel),
    counts: range(area[0]).map((r) => range(area[1]).map((c) => overlapCount(model, r, c))),
    phases: [0, 1].slice(2 - numAxes(problem)).map((axis) => ({ counts: phaseCounts(problem, axis), why: overlapReason(problem, axis) })),
    score: overlapScore(problem),
    uncropped: isTransposed(problem) ? range(problem.out_channels).map((o) => range(uncroppedSize(problem, 0)).map((r) => range(uncroppedSize(problem, 1)).map((c) => uncroppedValue(problem, o, r, c)))) : null,
    spread: isTransposed(problem) ? range(problem.in_channels).map((c) => range(spreadSize(problem, 0)).map((r) => range(spreadSize(problem, 1)).map((q) => spreadValue(problem, c, r, q)))) : null,
    padded: isTransposed(problem) ? null : range(problem.in_channels).map((c) => range(paddedSize(problem, 0)).map((r) => range(paddedSize(problem, 1)).map((q) => paddedValue(problem, c, r, q)))),
  };
});
process.stdout.write(JSON.stringify(facts));
