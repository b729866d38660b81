// What goes over the page's two ports: a chat is lines of UTF-8 on a stream, a file is one line of JSON and then its
// bytes, answered by one line of JSON with the hash of what arrived. Knows agents and streams, and nothing of the page.

export const CHAT_PORT = 1001;
export const FILE_PORT = 1002;
/** Characters of one line of chat. */
export const LINE_LENGTH = 2_000;
/** A file is in memory until it is saved. */
export const FILE_BYTES = 256 * 1024 * 1024;

const HEADER_LENGTH = 4_096;
const NAME_LENGTH = 255;
const CHUNK_BYTES = 65_536;
/** Files that come in at a time; one more is refused. */
const INCOMING = 4;
const ENCODER = new TextEncoder();

/** One conversation with each peer, on whichever stream was opened first or last came in. */
export class Chat {
  #agent;
  #onLine;
  #writers = new Map();

  /** @param onLine - Called with the peer's address and what it said. */
  constructor(agent, onLine) {
    this.#agent = agent;
    this.#onLine = onLine;
  }

  /** Takes streams until the agent is closed. */
  async serve() {
    for await (const connection of this.#agent.listen(CHAT_PORT)) this.#adopt(connection);
  }

  /** Says a line. Resolves when it is on its way. */
  async say(peer, text) {
    const writer = this.#writers.get(peer) ?? this.#adopt(await this.#agent.dial(`${peer}:${CHAT_PORT}`));
    await writer.write(ENCODER.encode(`${text.replace(/\s*\n\s*/g, ' ').slice(0, LINE_LENGTH)}\n`));
  }

  #adopt(connection) {
    const peer = `${connection.peer}`;
    const writer = connection.writable.getWriter();
    this.#writers.set(peer, writer);
    const forget = () => {
      if (this.#writers.get(peer) === writer) this.#writers.delete(peer);
      connection.abort();
    };
    this.#read(connection, peer).then(forget, forget);
    return writer;
  }

  async #read(connection, peer) {
    const lines = new Lines(connection.readable, LINE_LENGTH);
    for (let line = await lines.next(); line !== undefined; line = await lines.next()) this.#onLine(peer, line);
  }
}

/**
 * Sends a file.
 *
 * @param onProgress - Called with the bytes that were handed to the stream.
 * @returns The hash that the receiver found, and whether it is ours; undefined where a page has no WebCrypto.
 */
export async function sendFile({ agent, peer, file, onProgress }) {
  if (file.size > FILE_BYTES) throw new Error(`Cannot send ${file.name}: more than 256 MiB`);
  const connection = await agent.dial(`${peer}:${FILE_PORT}`);
  try {
    const writer = connection.writable.getWriter();
    await writer.write(ENCODER.encode(`${JSON.stringify({ name: file.name.slice(-NAME_LENGTH), size: file.size })}\n`));
    for (let at = 0; at < file.size; at += CHUNK_BYTES) {
      await writer.write(new Uint8Array(await file.slice(at, at + CHUNK_BYTES).arrayBuffer()));
      onProgress(Math.min(at + CHUNK_BYTES, file.size));
    }
    await writer.close();
    const answer = await new Lines(connection.readable, HEADER_LENGTH).next();
    if (answer === undefined) throw new Error(`${peer} did not say that it has ${file.name}`);
    const { sha256 } = JSON.parse(answer);
    const own = await hashOf(file);
    return { sha256, isSame: sha256 === undefined || own === undefined ? undefined : sha256 === own };
  } catch (error) {
    connection.abort();
    throw error;
  }
}

/**
 * Takes files until the agent is closed.
 *
 * @param onFile - Called with `{ peer, name, size }` for each; answers with what is told of it: `progress(bytes)`,
 *   `done({ blob, sha256 })`, `failed(error)`.
 */
export async function receiveFiles(agent, onFile) {
  let coming = 0;
  const receive = async (connection) => {
    let news;
    coming += 1;
    try {
      const peer = `${connection.peer}`;
      const lines = new Lines(connection.readable, HEADER_LENGTH);
      const { name, size } = parseHeader((await lines.next()) ?? '');
      news = onFile({ peer, name, size });
      const blob = await lines.rest(size, (bytes) => news.progress(bytes));
      const sha256 = await hashOf(blob);
      const writer = connection.writable.getWriter();
      await writer.write(ENCODER.encode(`${JSON.stringify({ sha256 })}\n`));
      await writer.close();
      news.done({ blob, sha256 });
    } catch (error) {
      connection.abort();
      news?.failed(error);
    } finally {
      coming -= 1;
    }
  };
  for await (const connection of agent.listen(FILE_PORT)) {
    if (coming < INCOMING) receive(connection);
    else connection.abort();
  }
}

/** A stranger's words until here: name and size are what they should be, or there is no file. */
function parseHeader(line) {
  const { name, size } = JSON.parse(line);
  const isName = typeof name === 'string' && name.length > 0 && name.length <= NAME_LENGTH;
  const isSize = Number.isSafeInteger(size) && size >= 0 && size <= FILE_BYTES;
  if (!isName || !isSize) throw new Error('Cannot take a file without a name, or of more than 256 MiB');
  return { name, size };
}

/** Lines of a stream, and what follows them. */
class Lines {
  #reader;
  #longest;
  #buffer = new Uint8Array(0);

  /** @param longest - Characters; a longer line is an error. */
  constructor(readable, longest) {
    this.#reader = readable.getReader();
    this.#longest = longest;
  }

  /** @returns Undefined at the end. */
  async next() {
    for (;;) {
      const end = this.#buffer.indexOf(0x0a);
      // Three bytes of UTF-8 for a UTF-16 unit at most.
      if ((end < 0 ? this.#buffer.length : end) > 3 * this.#longest) throw new Error('A line is too long');
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#buffer.subarray(0, end));
        this.#buffer = this.#buffer.slice(end + 1);
        return line;
      }
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      const joined = new Uint8Array(this.#buffer.length + value.length);
      joined.set(this.#buffer);
      joined.set(value, this.#buffer.length);
      this.#buffer = joined;
    }
  }

  /** All that follows, which has to be that long. */
  async rest(size, onProgress) {
    const chunks = [];
    let length = 0;
    for (let bytes = this.#buffer; bytes !== undefined; bytes = (await this.#reader.read()).value) {
      length += bytes.length;
      if (length > size) throw new Error('More came than was announced');
      chunks.push(bytes);
      onProgress(length);
    }
    if (length < size) throw new Error(`Only ${length} of ${size} bytes came`);
    return new Blob(chunks);
  }
}

async function hashOf(blob) {
  if (globalThis.crypto.subtle === undefined) return undefined;
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
