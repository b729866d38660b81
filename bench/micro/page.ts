/** What the page runs: leaves `measure` for the program that opened it, and tells by the console where it is. */
import { run, type Selection } from './run.ts';

Object.assign(globalThis, {
  measure: (selection: Selection) => run(selection, (line) => console.info(line)),
});
