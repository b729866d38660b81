/** What was asked for on the command line. */
import { parseArgs } from 'node:util';
import { readRecording } from '../micro/compare.ts';
import type { Recording } from '../micro/record.ts';
import { PEERS } from './streams.ts';
import { VARIANTS } from './subject.ts';

/** All of it, checked. */
export interface Options {
  readonly wanted: RegExp;
  readonly isQuick: boolean;
  /** Only the names of the rows. */
  readonly isList: boolean;
  readonly subjects: readonly string[];
  /** Peers that take part; undefined: all. */
  readonly peers: readonly string[] | undefined;
  readonly json: string | undefined;
  readonly before: Recording | undefined;
  /** Where profiles of our processes are put. */
  readonly profiles: string | undefined;
}

const OPTIONS = {
  only: { type: 'string', default: '' },
  quick: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  subjects: { type: 'string', default: 'js,addon' },
  peers: { type: 'string' },
  json: { type: 'string' },
  compare: { type: 'string' },
  profile: { type: 'string' },
} as const;

/** Reads the words behind `--`. @throws Error for people: what is wrong with them. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const subjects = words(values.subjects);
  const peers = values.peers === undefined ? undefined : words(values.peers);
  refuseUnknown(
    'subject',
    subjects,
    VARIANTS.map(({ name }) => name),
  );
  refuseUnknown('peer', peers ?? [], PEERS);
  return {
    wanted: new RegExp(values.only, 'i'),
    isQuick: values.quick,
    isList: values.list,
    subjects,
    peers,
    json: values.json,
    before: values.compare === undefined ? undefined : readRecording(values.compare),
    profiles: values.profile,
  };
}

function refuseUnknown(kind: string, names: readonly string[], known: readonly string[]): void {
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`No ${kind} ${unknown.join(', ')}: there are ${known.join(', ')}`);
}

function words(text: string): string[] {
  return text.split(',').filter((word) => word !== '');
}
