/**
 * The registry's link over a WebSocket: one text message is one JSON object (server/web.ts). To its user it is a link
 * like those of TCP, with the length in front of each object.
 */
import { LIMITS } from '../config.ts';
import { WEB_PROTOCOL } from '../wire/compat.ts';
import { FRAME_PREFIX_BYTES, frame } from '../wire/registry.ts';
import type { Host, Link, LinkHandler } from './host.ts';

const ENCODER: TextEncoder = new TextEncoder();
const DECODER: TextDecoder = new TextDecoder();

/** Opens the link. Writes are whole frames; there is no `drain`, for one request waits at a time. */
export function connectRegistrySocket(host: Host, target: { url: string; pin?: string }, handler: LinkHandler): Link {
  const { registryFrameBytes: maxMessageBytes } = LIMITS;
  const link = host.connectWebSocket(
    { ...target, protocol: WEB_PROTOCOL, maxMessageBytes },
    {
      open: () => handler.open(),
      message: (message) => {
        // Bytes are no answer: an empty frame is refused as one that is malformed.
        handler.data(frame(typeof message === 'string' ? ENCODER.encode(message) : new Uint8Array(0)));
      },
      closed: ({ error }) => handler.closed(error),
    },
  );
  return {
    write: (bytes) => {
      link.send(DECODER.decode(bytes.subarray(FRAME_PREFIX_BYTES)));
      return true;
    },
    close: () => link.close(),
    destroy: () => link.destroy(),
    unref: () => link.unref(),
  };
}
