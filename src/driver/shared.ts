/** What the endpoints of a process share, with all that speaking takes. A page gets there in two steps (meeting.ts). */
import type { Host } from '../carrier/host.ts';
import { BufferPool } from '../core/buffer.ts';
import { Contacts } from '../core/contacts.ts';
import { Owners, type Shared } from '../driver.ts';
import type { Engine } from '../engine/engine.ts';
import { MeetingRoom, type Meetings } from './meeting.ts';

/** Makes what the endpoints of a process share. */
export function createShared(host: Host, engine: Engine): Shared {
  const room = new MeetingRoom(createMeetings(engine));
  return { host, engineName: engine.name, room, owners: new Owners(), drivers: new Set() };
}

/** Makes what speaking takes. */
export function createMeetings(engine: Engine): Meetings {
  return {
    engine,
    pool: new BufferPool(),
    makeContacts: (presence, means, settle) => new Contacts(presence, means, settle),
  };
}
