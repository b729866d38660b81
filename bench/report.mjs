// Writes what bench/results holds into bench/README.md, as tables between marks, and draws a picture for each group. What
// is called flow-*.json is of bench/flow, all else of bench/micro.
//
//   npm run bench:report
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dotPlot } from './dot-plot.mjs';

const BENCH = dirname(fileURLToPath(import.meta.url));
const RESULTS = join(BENCH, 'results');
const README = join(BENCH, 'README.md');

/** What stands between two marks: the runs whose file has such a name, and rows by the first word of theirs. */
const SECTIONS = [
  {
    marks: ['<!-- results: made by report.mjs -->', '<!-- end of results -->'],
    files: /^(?!flow-).*\.json$/,
    isShort: true,
    groups: [
      { name: 'aead', title: 'AES-256-GCM', rows: /^M[1-4] / },
      { name: 'receive', title: 'Receiving a frame', rows: /^M5 / },
      { name: 'crc', title: 'CRC-32', rows: /^M6 / },
      { name: 'routes', title: 'Finding a session', rows: /^M7 / },
      { name: 'packet', title: 'Reading and writing a record', rows: /^M8 / },
      { name: 'size', title: 'Size of the modules', rows: /^M9 / },
      { name: 'timing', title: 'Constant time', rows: /^timing / },
    ],
  },
  {
    marks: ['<!-- flow results: made by report.mjs -->', '<!-- end of flow results -->'],
    files: /^flow-.*\.json$/,
    isShort: false,
    groups: [
      { name: 'flow-streams', title: 'Echo, messages, bulk and dial on loopback', rows: /^F[1-4] (?!.* net$)/ },
      { name: 'flow-net', title: 'The same between two namespaces', rows: /^F[1-4] .* net$/ },
      { name: 'flow-paths', title: '5 MB over a path, and fairness', rows: /^(link|F5) / },
      { name: 'flow-memory', title: 'Memory of a connected peer', rows: /^F7 / },
      { name: 'flow-load', title: 'Pairs of agents under load', rows: /^F8 / },
    ],
  },
];

function readRuns(files) {
  const names = readdirSync(RESULTS).filter((name) => files.test(name));
  // node-20 before node-22, then the others by name.
  names.sort((a, b) => Number(b.startsWith('node')) - Number(a.startsWith('node')) || (a < b ? -1 : 1));
  return names.map((name) => JSON.parse(readFileSync(join(RESULTS, name), 'utf8')));
}

/** One line for each row, subject and peer that occurs in any run. */
function linesOf(runs, pattern) {
  const lines = new Map();
  runs.forEach((run, at) => {
    for (const row of run.rows.filter(({ name }) => pattern.test(name))) {
      const named = Object.keys(row.peers);
      // A line of its own for a target that is about no peer.
      const isAboutNone = targetsOf(row).some((target) => target.peer === undefined);
      const peers = named.length === 0 || isAboutNone ? ['', ...named] : named;
      for (const peer of peers) {
        const key = [row.name, row.subject, peer].join('\n');
        const line = lines.get(key) ?? { name: row.name, subject: row.subject, peer, cells: runs.map(() => undefined) };
        line.cells[at] = cellOf(row, peer);
        lines.set(key, line);
      }
    }
  });
  return [...lines.values()];
}

/** A row has one target, or several about different peers, or none. */
function targetsOf({ target }) {
  return target === undefined ? [] : [target].flat();
}

function isAimed({ cells }) {
  return cells.some((cell) => cell?.target !== undefined);
}

/** Lines that a target is about, and for runs that have nothing in these the first that they have; all are in the JSON. */
function shortened(lines) {
  const kept = new Set(lines.filter(isAimed));
  const covered = new Map();
  const rowOf = ({ name, subject }) => `${name}\n${subject}`;
  const cover = (line) => {
    kept.add(line);
    const runs = covered.get(rowOf(line)) ?? new Set();
    line.cells.forEach((cell, at) => {
      if (cell !== undefined) runs.add(at);
    });
    covered.set(rowOf(line), runs);
  };
  for (const line of kept) cover(line);
  for (const line of lines) {
    if (line.cells.some((cell, at) => cell !== undefined && covered.get(rowOf(line))?.has(at) !== true)) cover(line);
  }
  return lines.filter((line) => kept.has(line));
}

/** What one run says: the ratio where there is a peer, and the target where one is about this peer. */
function cellOf(row, peer) {
  const { unit, median } = row;
  const value = peer === '' ? median : row.peers[peer].ratio;
  const target = targetsOf(row).find(
    (one) => (one.peer ?? '') === (one.peer === 'fastest' && isFastest(row, peer) ? 'fastest' : peer),
  );
  return { value, unit: peer === '' ? unit : '', median, medianUnit: unit, target };
}

function isFastest({ peers }, peer) {
  return Object.values(peers).every(({ median }) => median >= peers[peer].median);
}

function isMet({ value, target }) {
  return value <= (target.most ?? value) && value >= (target.least ?? value);
}

function tableOf(runs, lines) {
  const head = ['row', 'subject', 'peer', 'target', ...runs.map(({ runtime }) => runtime)];
  const body = lines.map(({ name, subject, peer, cells }) => {
    const target = cells.find((cell) => cell?.target !== undefined)?.target;
    return [name, subject, peer, target === undefined ? '' : limitText(target, cells), ...cells.map(cellText)];
  });
  return [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function limitText({ most, least }, cells) {
  const unit = cells.find((cell) => cell !== undefined).unit;
  const limits = [
    least === undefined ? [] : `≥ ${figure(least, unit)}`,
    most === undefined ? [] : `≤ ${figure(most, unit)}`,
  ];
  return limits.flat().join(', ');
}

function cellText(cell) {
  if (cell === undefined) return '';
  const { value, unit, median, medianUnit, target } = cell;
  const text = unit === '' ? `${figure(value, '')} (${figure(median, medianUnit)})` : figure(value, unit);
  if (target === undefined) return text;
  return isMet(cell) ? `${text} ✓` : `**${text}** ✗`;
}

function figure(value, unit) {
  if (unit === '') return value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toFixed(3);
  if (unit === 'ns' && value >= 10_000) return `${(value / 1000).toPrecision(3)} µs`;
  if (unit === 't') return value.toFixed(1);
  return `${value >= 100 ? Math.round(value) : value.toPrecision(3)} ${unit}`;
}

function provenance(runs) {
  const lines = runs.map(({ runtime, commit, machine, date, absent }) => {
    const missing = absent.length > 0 ? `; without ${absent.map((line) => line.split(': ')[0]).join(', ')}` : '';
    return `- ${runtime}: commit ${commit}, ${machine}, ${date.slice(0, 10)}${missing}`;
  });
  return lines.join('\n');
}

/** The tables of one section; draws its pictures. */
function sectionOf({ files, groups, isShort }) {
  const runs = readRuns(files);
  const runtimes = runs.map(({ runtime }) => runtime);
  const parts = groups.map(({ name, title, rows }) => {
    const lines = linesOf(runs, rows);
    if (lines.length === 0) return '';
    writeFileSync(join(RESULTS, `${name}.svg`), dotPlot(title, runtimes, lines.filter(isAimed)));
    const table = tableOf(runs, isShort ? shortened(lines) : lines);
    return `### ${title}\n\n![${title}](results/${name}.svg)\n\n${table}\n`;
  });
  return `${provenance(runs)}\n\n${parts.filter((part) => part !== '').join('\n')}`;
}

let text = readFileSync(README, 'utf8');
for (const section of SECTIONS) {
  const [first, last] = section.marks;
  const [before, rest] = text.split(first);
  const after = rest.split(last)[1];
  text = `${before}${first}\n\n${sectionOf(section)}\n${last}${after}`;
}
writeFileSync(README, text);
