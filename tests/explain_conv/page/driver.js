// Reads questions as JSON from standard input and answers with what the page's scripts make of them.
function answerToSolve(text, transposed) {
  const asked = parseSolve(text);
  if (asked.broken) return asked;
  const solved = solve(asked.input_sizes, asked.output_sizes, transposed), words = solveWords(solved);
  const listed = ({ title, rows, more }) => [title, words.heads.join(" "), ...rows.map((row) => row.join(" ")), more];
  const lines = [words.title, words.tried, ...words.lists.flatMap(listed), ...words.nearest];
  const plain = (numbers) => SOLVED.map((name) => numbers[name]);
  return {
    ...solved,
    bounds: Object.values(solved.bounds),
    solutions: solved.solutions.map(plain),
    per_axis: solved.per_axis.map((found) => found.map(plain)),
    lines: lines.map((line) => line.trim()).filter(Boolean),
  };
}

const facts = JSON.parse(require("fs").readFileSync(0, "utf-8")).map((question) => {
  const { problem, cell, pixel } = question;
  if ("solve" in question) return answerToSolve(question.solve, question.transposed);
  if ("large" in question) {
    const near = nearestSmaller(question.large), what = tooLarge(question.large);
    return { what, nearest: near && [problemText(near), near.input_sizes.join("x")] };
  }
  if ("bytes" in question) return bytesText(question.bytes);
  const broken = brokenRule(problem);
  if (broken) {
    const near = nearestProblem(problem);
    return { broken, nearest: near && { text: problemText(near), input_sizes: near.input_sizes } };
  }
  const model = makeModel(problem), [rows, columns] = model.output;
  const cube = (depth, height, width, value) =>
    range(depth).map((i) => range(height).map((j) => range(width).map((k) => value(i, j, k))));
  const { in_channels: inputs, out_channels: outputs } = problem, transposed = isTransposed(problem);
  const plane = (value) => cube(outputs, rows, columns, value);
  const sized = (depth, size, value) =>
    cube(depth, size(problem, 0), size(problem, 1), (...place) => value(problem, ...place));
  const area = transposed ? model.output : problem.input_sizes;
  const cost = costOf(model);
  const views = Object.entries(viewsOf(problem)).map(([name, view]) => [name, plane((o, p, q) => view(model, o, p, q))]);
  return {
    broken,
    text: problemText(problem),
    output_sizes: model.output,
    sizes: [0, 1].map((axis) => sizeFormula(problem, axis)),
    taps: model.axes.map(({ taps }) => taps.map((row) => row.map(({ tap, at, source, kind }) => [tap, at, source, kind]))),
    reach: model.axes.map(({ reach }) => reach.map((row) => row.map(({ output, tap }) => [output, tap]))),
    input: cube(inputs, ...problem.input_sizes, (...place) => inputValue(problem, ...place)),
    bias: range(problem.out_channels).map((o) => biasValue(problem, o)),
    output: plane((o, p, q) => cellValue(model, o, p, q)),
    views: Object.fromEntries(views),
    terms: cellTerms(model, ...cell),
    effects: pixelEffects(model, ...pixel),
    counts: range(area[0]).map((r) => range(area[1]).map((c) => overlapCount(model, r, c))),
    phases: [0, 1]
      .slice(2 - numAxes(problem))
      .map((axis) => ({ counts: phaseCounts(problem, axis), why: overlapReason(problem, axis) })),
    score: overlapScore(problem),
    ways: waysOf(problem).map((way) => ({ text: way.text, output_sizes: outputSizes(way.problem), changed: way.changed })),
    ways_in_words: waysOf(problem).map(wayText),
    cost,
    cost_in_words: costFacts(problem, cost),
    program: programText(problem),
    size_notes: distinctAxes(problem).map(([names, axis]) => [names, sizeNotes(model, axis, names)]),
    symbols: symbolsText(problem),
    rule: ruleLines(model, cell[0], cell.slice(1)),
    taps_in_words: tapsText(cellTerms(model, ...cell)),
    overlap_in_words: [...overlapTexts(problem), scoreText(problem)],
    uncropped: transposed ? sized(outputs, uncroppedSize, uncroppedValue) : null,
    spread: transposed ? sized(inputs, spreadSize, spreadValue) : null,
    padded: transposed ? null : sized(inputs, paddedSize, paddedValue),
  };
});
process.stdout.write(JSON.stringify(facts));
