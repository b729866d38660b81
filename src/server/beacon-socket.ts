/**
 * A beacon on a UDP socket: datagrams in and out, signatures to the runtime. Relayed frames are copied once, for the
 * socket may read them after the buffer that they came in is used again.
 */
import type { Host, HostPort, UdpSocket } from '../carrier/host.ts';
import { PilotError } from '../errors.ts';
import { Beacon, type BeaconOptions } from './beacon.ts';

/** Datagrams up to this are copied into kept buffers; longer ones into new ones. */
const POOL_BYTES = 1_500;
const POOL_SIZE = 256;
/** There is one socket; every other path is a link. */
const PATH = 0;
const TOKENS = 0x7fff_ffff;

/** One beacon with its socket. */
export class BeaconSocket {
  readonly beacon: Beacon;
  readonly #host: Host;
  readonly #pool: Uint8Array[] = [];
  readonly #lent = new Map<number, Uint8Array>();
  #nextToken = 0;
  #socket: UdpSocket | undefined;
  readonly #carry: (path: number, bytes: Uint8Array) => void;
  /** Times that the network said no. */
  unreachables = 0;

  /** @param carry - Takes what is for a link; the bytes are borrowed. */
  constructor(host: Host, options: BeaconOptions, carry: (path: number, bytes: Uint8Array) => void) {
    this.#host = host;
    this.#carry = carry;
    this.beacon = new Beacon(options);
  }

  get port(): number {
    return this.#socket?.local.port ?? 0;
  }

  /** @throws PilotError `PORT_IN_USE` and what else the socket says. */
  async bind(host: string, port: number): Promise<void> {
    if (port > 0xffff) throw new PilotError('PORT_IN_USE', `Cannot bind the beacon: there is no port ${port}`);
    this.#socket = await this.#host.bindUdp({
      host,
      port,
      handler: {
        datagram: (bytes, from) => {
          this.beacon.handleDatagram(this.#host.now(), PATH, from, bytes);
          this.flush();
        },
        released: (token) => this.#release(token),
        unreachable: () => {
          this.unreachables += 1;
        },
      },
    });
  }

  /** Something waits for a node at the registry. */
  notify(nodeId: number): void {
    this.beacon.notify(this.#host.now(), nodeId);
    this.flush();
  }

  /** To be called about once a second. */
  handleTick(): void {
    this.beacon.handleTimeout(this.#host.now());
    this.flush();
  }

  /** Does what the beacon asks for. */
  flush(): void {
    for (let job = this.beacon.pollJob(); job !== undefined; job = this.beacon.pollJob()) {
      const { id, publicKey, message, signature } = job;
      const isValid = this.#host.jobs.verify(publicKey, message, signature);
      if (isValid instanceof Promise) isValid.then((result) => this.#verified(id, result));
      else this.beacon.handleJob(this.#host.now(), id, isValid);
    }
    for (let next = this.beacon.pollTransmit(); next !== undefined; next = this.beacon.pollTransmit()) {
      if (next.path > PATH) this.#carry(next.path, next.bytes);
      else this.#send(next.bytes, { host: next.host, port: next.port });
    }
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #verified(id: number, isValid: boolean): void {
    this.beacon.handleJob(this.#host.now(), id, isValid);
    this.flush();
  }

  #send(bytes: Uint8Array, to: HostPort): void {
    if (this.#socket === undefined) return;
    if (bytes.length > POOL_BYTES || this.#lent.size >= POOL_SIZE) {
      this.#socket.send(bytes.slice(), to, -1);
      return;
    }
    const buffer = this.#pool.pop() ?? new Uint8Array(POOL_BYTES);
    buffer.set(bytes);
    const token = this.#nextToken;
    this.#nextToken = (token + 1) % TOKENS;
    this.#lent.set(token, buffer);
    this.#socket.send(buffer.subarray(0, bytes.length), to, token);
  }

  #release(token: number): void {
    const buffer = this.#lent.get(token);
    if (buffer === undefined) return;
    this.#lent.delete(token);
    this.#pool.push(buffer);
  }
}
