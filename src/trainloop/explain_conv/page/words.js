// What is to be said of a problem and of a cell, in the words of the terminal. No drawing in here.

const MOST_NAMED = 8; // of a list of places
const MOST_MEETINGS = 6; // of an axis that are written out
const MOST_COUNTS = 8; // of a period that are written out

// The module's own axes with their names; both in one where their arithmetic is the same.
function distinctAxes(problem) {
  const own = [0, 1].slice(2 - numAxes(problem)), [first, second] = own.map((axis) => sizeFormula(problem, axis).numbers);
  return first === second ? [["H and W", 0]] : own.map((axis) => ["HW"[axis], axis]);
}

// 0, 1, 2 and 7, of a long run 3 to 9.
function indicesText(numbers) {
  const runs = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run && number === run.at(-1) + 1) run.push(number);
    else runs.push([number]);
  }
  let texts = runs.flatMap((run) => (run.length > 2 ? [`${run[0]} to ${run.at(-1)}`] : run.map(String)));
  if (texts.length > MOST_NAMED) texts = [...texts.slice(0, MOST_NAMED), `… ${texts.at(-1)}`];
  return texts.length > 1 ? `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}` : texts[0];
}

// --- the size ------------------------------------------------------------------------------------------------------------

const isEvenlyPadded = (problem) => `${problem.padding}` === `${problem.padding_after}`;

// What the letters of the formulas stand for.
const symbolsText = (problem) =>
  `s stride, ${isEvenlyPadded(problem) ? "p padding" : "a and b padding before and behind"}, d dilation, k kernel size`;

// What is to be said of the size along an axis; names: of the axes that this is said of, such as "H and W".
function sizeNotes(model, axis, names) {
  const { problem } = model, never = unreadOf(model, axis);
  if (isTransposed(problem)) {
    const cropped = `Input elements ${indicesText(never)} have no effect: padding cuts their stamps off.`;
    return [...sharedNotes(model, axis, names), ...(never.length ? [cropped] : [])];
  }
  const notes = [], before = problem.padding[axis], after = problem.padding_after[axis], last = problem.input_sizes[axis] - 1;
  if (before !== after) {
    notes.push(`a = ${before} before and b = ${after} behind: padding='same' puts the odd one of them behind, as torch does.`);
  }
  if (never.length) notes.push(`Never read along ${names}: ${indicesText(never)} of 0 to ${last}. ${whyUnread(problem, axis, never)}`);
  else if (problem.stride[axis] > 1) notes.push(`Along ${names} every input element is read.`);
  return notes;
}

const unreadOf = ({ problem, axes }, axis) => range(problem.input_sizes[axis]).filter((i) => !axes[axis].reach[i].length);

function whyUnread(problem, axis, never) {
  const size = problem.input_sizes[axis] + problem.padding[axis] + problem.padding_after[axis];
  const left = (size - extent(problem, axis)) % problem.stride[axis];
  if (left && never[0] >= problem.input_sizes[axis] - left) {
    const counted = problem.padding_after[axis] ? ", padding included," : "";
    return `The division leaves ${left} over: so many places${counted} lie behind the last window.`;
  }
  return `No tap of any window falls there${left ? `, and the division leaves ${left} over` : ""}.`;
}

// Which sizes share one, and what output_padding makes of it.
function sharedNotes(model, axis, names) {
  const { problem } = model, notes = [], more = problem.output_padding[axis], stride = problem.stride[axis];
  const smallest = model.output[axis] - more, shared = range(stride).filter((i) => smallest + i > 0);
  if (shared.length > 1 && shared.includes(more)) {
    const sizes = shared.map((i) => `${smallest + i}`);
    const picks = shared.map((i) => `${i} → ${smallest + i}${i === more ? " (this one)" : ""}`).join(", ");
    notes.push(
      `${sizes.slice(0, -1).join(", ")} and ${sizes.at(-1)} share one size: the convolution with these numbers maps each of ` +
        `them to ${problem.input_sizes[axis]}. output_padding says which one is meant: ${picks}.`,
    );
  }
  if (more >= stride) {
    notes.push(
      `output_padding ${more} is not below the stride ${stride}, which the dilation allows: so the convolution with these ` +
        `numbers leads from ${model.output[axis]} back to ${problem.input_sizes[axis] + Math.floor(more / stride)}, not to ` +
        `${problem.input_sizes[axis]}.`,
    );
  }
  if (!more) return notes;
  return [...notes, extraNote(model, axis, Math.min(more, model.output[axis]), names.includes(" and "))];
}

// What the outputs are that output_padding adds: computed, or behind the last stamp.
function extraNote(model, axis, more, both) {
  const row = axis ? "column" : "row", ends = both ? [row, "column"] : [row], first = model.output[axis] - more;
  const which = ends.map((end) => (more === 1 ? `last ${end}` : `last ${more} ${end}s`)).join(" and ");
  const [reached, empty] = [true, false].map((wanted) =>
    range(more)
      .map((i) => first + i)
      .filter((place) => model.axes[axis].taps[place].some((tap) => tap.kind === INPUT) === wanted),
  );
  const told = reached[0] ?? first, along = model.output[1 - axis];
  const numbers = range(Math.min(along, MOST_NAMED)).map((i) => cellValue(model, 0, ...(axis ? [i, told] : [told, i])));
  const shown = numbers.join(" ") + (along > MOST_NAMED ? " …" : ""), keeps = `output_padding keeps the ${which}`;
  if (!reached.length) return `${keeps}: no stamp reaches there with these numbers, only the bias is left (${shown}).`;
  if (!empty.length) {
    const are = ends.length === 1 && more === 1 ? "it is" : "they are";
    return `${keeps}, and ${are} computed, not filled with zeros: ${row} ${told} is ${shown}`;
  }
  const some = reached.length === 1 ? `${row} ${told} is` : `${row}s ${indicesText(reached)} are`;
  return (
    `${keeps}${both ? "; both alike" : ""}: ${some} computed, not filled with zeros (${row} ${told} is ${shown}); no stamp ` +
    `reaches ${row}${empty.length > 1 ? "s" : ""} ${indicesText(empty)}, where only the bias is left.`
  );
}

// --- a cell --------------------------------------------------------------------------------------------------------------

// The rule by which a cell is found by hand, then its own numbers along each axis.
function ruleLines(model, channel, place) {
  const { problem } = model, flat = numAxes(problem) === 1, line = flat ? "" : "row ";
  const rule = isTransposed(problem)
    ? `input ${line}i goes into output ${line}y through kernel ${line}t where i·s + t·d − p = y`
    : `output ${line}y reads input ${line}i through kernel ${line}t where i = y·s + t·d − ${isEvenlyPadded(problem) ? "p" : "a"}`;
  const rest = flat ? "Each is one product" : "Columns likewise; each such row with each such column is one product";
  const bias = problem.bias ? " Then the bias is added." : "";
  const own = [0, 1].slice(2 - numAxes(problem));
  const names = flat ? ["", "output"] : ["row", "column"];
  return [`By hand: ${rule}. ${rest}${channelsText(problem, channel)}.${bias}`, ...own.map((axis) => `${names[axis]} ${place[axis]}: ${meetingsText(model, axis, place[axis])}`)];
}

// Which input channels the products are of; nothing where there is one.
function channelsText(problem, output) {
  const channels = channelsOfOutput(problem, output);
  if (problem.in_channels === 1) return "";
  if (channels.length === 1) return `, of input channel ${channels[0]}`;
  return `, in each of the input channels ${channels[0]} to ${channels.at(-1)}`;
}

function meetingsText({ problem, axes }, axis, place) {
  const numbers = ["stride", "dilation", "padding"].map((name) => problem[name][axis]), [stride, dilation, padding] = numbers;
  const met = axes[axis].taps[place].filter((tap) => tap.source !== null);
  const sums = met.slice(0, MOST_MEETINGS).map(({ tap, at, source, kind }) => {
    const [from, to] = isTransposed(problem) ? [source, place] : [place, at];
    const shows = kind === INPUT ? "" : ` (padding, which shows ${source})`;
    return `${from}·${stride} + ${tap}·${dilation} − ${padding} = ${`${to}`.replace("-", "−")}${shows}`;
  });
  if (met.length > MOST_MEETINGS) sums.push(`and ${met.length - MOST_MEETINGS} more`);
  return sums.join(", ") || "none";
}

// How many taps there are and where they fall.
function tapsText(terms) {
  const parts = [[INPUT, "meet", "an input element"], [PADDING, "fall", "on padding"], [INSERTED, "fall", "between two elements"]]
    .map(([kind, verb, where]) => [terms.filter((term) => term.kind === kind).length, verb, where])
    .filter(([count]) => count)
    .map(([count, verb, where]) => `${count} ${verb}${count === 1 ? "s" : ""} ${where}`);
  return `${terms.length} tap${terms.length > 1 ? "s" : ""}: ${parts.join(", ")}`;
}

// --- the overlap ---------------------------------------------------------------------------------------------------------

// Why outputs are written (of a convolution: inputs read) as often as they are, for each axis that differs.
function overlapTexts(problem) {
  const texts = new Map();
  for (const axis of [0, 1].slice(2 - numAxes(problem))) {
    const far = problem.stride[axis] > 1 ? ` (far from the border: ${periodText(phaseCounts(problem, axis))}, over and over)` : "";
    const text = `${overlapReason(problem, axis)}${far}`;
    texts.set(text, [...(texts.get(text) ?? []), "HW"[axis]]);
  }
  return [...texts].map(([text, names]) => `${names.join(" and ")}: ${text}`);
}

// 2 1, of a long period 3 times 1, 61 times 0.
function periodText(counts) {
  if (counts.length <= MOST_COUNTS) return counts.join(" ");
  const runs = [];
  for (const value of counts) {
    if (runs.at(-1)?.value === value) runs.at(-1).length += 1;
    else runs.push({ value, length: 1 });
  }
  const texts = runs.map(({ value, length }) => `${length} times ${value}`);
  return texts.slice(0, MOST_COUNTS).join(", ") + (texts.length > MOST_COUNTS ? ", …" : "");
}

// Whether along each axis a whole period of places is far from the border, where all taps are met.
const hasInside = (problem) => [0, 1].slice(2 - numAxes(problem)).every((axis) => {
  const stride = problem.stride[axis], padding = problem.padding[axis], reach = extent(problem, axis) - 1;
  const ends = [problem.input_sizes[axis], outputSize(problem, axis)];
  const [steps, places] = isTransposed(problem) ? ends : ends.reverse();
  const first = Math.max(reach, padding), last = Math.min((steps - 1) * stride, padding + places - 1);
  return last - first + 1 >= stride;
});

// What the score means, with its numbers.
function scoreText(problem) {
  const near = hasInside(problem) ? "" : " (of larger inputs: here every place is near the border)";
  const repeats = !isTransposed(problem) && problem.padding_mode !== "zeros" && problem.padding_after.some((count) => count > 0);
  const more = repeats ? `; ${problem.padding_mode} padding reads some more often` : "";
  return `${scoreMeaning(problem)}${more}${near}`;
}

function scoreMeaning(problem) {
  const phases = [0, 1].slice(2 - numAxes(problem)).map((axis) => phaseCounts(problem, axis));
  const [least, most] = [Math.min, Math.max].map((pick) => phases.map((counts) => pick(...counts)));
  const [fewest, often] = [least, most].map(howOften), verb = isTransposed(problem) ? "written" : "read";
  if (product(least) === product(most)) return `even: far from the border each is ${verb} ${often}; no checkerboard`;
  if (product(least) === 0) return `some are never ${verb}, others ${often}: holes`;
  const uneven = phases.filter((counts) => new Set(counts).size > 1).length;
  const pattern = uneven === 2 ? "a checkerboard" : phases.length === 2 ? "stripes" : "a pattern";
  const other = isTransposed(problem) ? "" : " (its gradient has the pattern, its output has not)";
  return `${pattern}: ${fewest} to ${often}, 1 − ${product(least)}/${product(most)}${other}`;
}

// How often, of two axes as a product: 2·2 = 4 times.
function howOften(factors) {
  const total = product(factors);
  if (total === 1) return "once";
  return factors.length > 1 ? `${factors.join("·")} = ${total} times` : `${total} times`;
}
