// A picture of ratios: a line for each row, a dot for each runtime, a tick where the target is; logarithmic.

const COLOURS = ['#1b6ac9', '#d1495b', '#2a9d5c', '#e39b1f', '#7a4fc0', '#3a3a3a', '#17a2b8'];
const ROW = 20;
const LEFT = 290;
const WIDTH = 900;
const RIGHT = 20;
const TOP = 64;
/** Width of one, about. */
const CHARACTER = 7;

/**
 * @param title - Above the picture.
 * @param runtimes - Names, in the order of the cells.
 * @param lines - Rows with a target: `{ name, subject, peer, cells }`, a cell being undefined or `{ value, target }`.
 * @returns The text of an SVG.
 */
export function dotPlot(title, runtimes, lines) {
  const limitOf = ({ cells }) => {
    const { target } = cells.find((cell) => cell?.target !== undefined);
    return target.most ?? target.least;
  };
  // Bytes and the like are drawn as parts of their limit, so that all share one axis.
  const scaled = lines.map((line) => {
    const limit = limitOf(line);
    const unit = line.peer === '' ? limit : 1;
    const values = line.cells.map((cell) => (cell === undefined ? undefined : Math.max(cell.value / unit, 1e-3)));
    return { ...line, limit: limit / unit, values };
  });
  const all = scaled.flatMap(({ limit, values }) => [limit, ...values.filter((value) => value !== undefined)]);
  const low = Math.floor(Math.log10(Math.min(...all, 0.1)));
  const high = Math.ceil(Math.log10(Math.max(...all, 1)));
  const x = (value) => LEFT + ((Math.log10(value) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const height = TOP + scaled.length * ROW + 30;
  const parts = [
    ...legend(runtimes),
    ...Array.from({ length: high - low + 1 }, (_, i) => gridLine(10 ** (low + i), x, height)),
    ...scaled.flatMap((line, i) => drawLine(line, TOP + i * ROW + ROW / 2, x)),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="22" font-size="15" fill="#222222">${escaped(title)}: subject ÷ peer, or part of the limit; | is the target</text>
${parts.join('\n')}
</svg>
`;
}

function legend(runtimes) {
  let next = 16;
  return runtimes.map((name, i) => {
    const at = next;
    next += 26 + name.length * CHARACTER;
    return `<circle cx="${at.toFixed(1)}" cy="42" r="5" fill="${COLOURS[i]}"/><text x="${(at + 10).toFixed(1)}" y="46" fill="#222222">${escaped(name)}</text>`;
  });
}

function gridLine(value, x, height) {
  const at = x(value).toFixed(1);
  const colour = value === 1 ? '#999999' : '#dddddd';
  return `<line x1="${at}" x2="${at}" y1="${TOP - 6}" y2="${height - 24}" stroke="${colour}"/><text x="${at}" y="${height - 8}" text-anchor="middle" fill="#555555">${Number(value.toPrecision(1))}</text>`;
}

function drawLine({ name, subject, peer, limit, values }, y, x) {
  const label = peer === '' ? `${name}, ${subject}` : `${name}, ${subject} ÷ ${peer}`;
  const tick = x(limit).toFixed(1);
  return [
    `<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end" fill="#222222">${escaped(label)}</text>`,
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="#eeeeee"/>`,
    `<line x1="${tick}" x2="${tick}" y1="${y - 8}" y2="${y + 8}" stroke="#222222" stroke-width="2"/>`,
    ...values.map((value, i) =>
      value === undefined
        ? ''
        : `<circle cx="${x(value).toFixed(1)}" cy="${y}" r="5" fill="${COLOURS[i]}" fill-opacity="0.8"/>`,
    ),
  ].filter((part) => part !== '');
}

function escaped(text) {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
