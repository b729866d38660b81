// The page and the worker of the tests: each has an actor; the page's worker answers calls by message.

import * as pilotwire from '/plain/browser.js';
import { createActor } from './actor.mjs';

const sockets = new Set();

/** The class of the browser, but the tests can cut its links without a word. */
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.add(this);
  }
};
globalThis.cut = () => {
  for (const socket of sockets) socket.close();
  sockets.clear();
};

const actor = createActor(pilotwire);

if ('document' in globalThis) {
  globalThis.actor = actor;
  globalThis.startWorker = () => {
    const worker = new Worker('./page.mjs', { type: 'module' });
    const answers = new Map();
    worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = answers.get(id);
      answers.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    let last = 0;
    globalThis.workerActor = new Proxy(
      {},
      {
        get:
          (_, name) =>
          (...args) =>
            new Promise((resolve, reject) => {
              last += 1;
              answers.set(last, { resolve, reject });
              worker.postMessage({ id: last, name, args });
            }),
      },
    );
  };
} else {
  globalThis.onmessage = async ({ data: { id, name, args } }) => {
    try {
      globalThis.postMessage({ id, result: await actor[name](...args) });
    } catch (error) {
      globalThis.postMessage({ id, error: `${error.code ?? ''} ${error.stack}` });
    }
  };
}
